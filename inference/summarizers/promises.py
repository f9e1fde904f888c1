"""Who promised what, and by when: read off a sentence's wording, in English, German, French and Spanish."""

import re

from inference.summarizers.due import SAID, due_date
from inference.summarizers.sentences import Sentence
from memory.model import Commitment

_ACTIONS = (
    r"add|arrange|ask|attach|bake|book|bring|build|buy|call|cancel|change|check (?:in|with|whether|if|on|the|that|for|and|your|my|our|it)"
    r"|clean|collect|complete|confirm|contact|cook|correct(?! myself)|create|deliver|deploy|draft|drop (?:off|by|you|it)|e-?mail"
    r"|file|find out|finish|fix|follow up|forward|get back|give (?:you|them|him|her|it) (?:a call|an answer|the|back)"
    r"|hand in|include|install|invite|invoice|let (?:you|them|him|her) know|look (?:into|up|after)|mail|make (?:the|an?|sure)"
    r"|measure|meet|message|move|note|notify|order|organi[sz]e|pass (?:it|this|that) on|pay|phone|pick (?:up|you|it|them)"
    r"|ping|plan|post|prepare|present|print|propose|publish|put (?:together|the|in|it|you|your|a|up)|raise|redo|refund|register"
    r"|remind|remove|renew|rent|repair|replace|reply|report|request|reschedule|reserve|return|review|ring|rotate|run"
    r"|schedule|send|set up|set (?:the|a)|share|ship|sign|sort (?:it|that|this|out)|speak (?:to|with)|start"
    r"|submit|swap|switch|take (?:you|him|her|it|care|the)|talk (?:to|with)|test|text|transfer|translate"
    r"|try (?:the|that|this|it)|turn in|update|upload|visit|wait for|wash|water|work out|write"
)
_WILL = (
    r"(?:'ll|’ll| will| shall|'m going to|’m going to| am going to|'re going to| are going to| promise to| have to"
    r"| need to| must|'ve got to| agreed to)"
)
_SOFT = r"(?: (?:also|then|just|definitely|certainly|now|first|try to|personally|gladly|happily)){0,3}"
_OWN = re.compile(
    rf"\b(?:I|we){_WILL}{_SOFT} (?P<what>(?:{_ACTIONS})\b.*)|\blet me (?P<let>(?:{_ACTIONS})\b.*)", re.IGNORECASE
)
_ANY_VERB = re.compile(
    r"\b(?:I|we)(?:'ll|’ll| will| promise to) (?P<what>(?!(?:be|have|never|not|see|think|know|love|like|miss|want|need|say|bet"
    r"|keep|probably|go (?:with|for)|take|stick|choose|pick|try|remember|continue|always|stay|feel|find|get|still)\b)\w+ .*)",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"\b(?P<ask>(?:please |can you |could you |don't (?:let me )?forget to |remember to |remind me to ){1,2}"
    rf"(?P<what>(?:{_ACTIONS})\b.*))",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    r"\b(?P<who>(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er) [a-z]+(?: [A-Z]\w+)?|(?!(?:I|We|It|That|This|You|What|There|Who|All|The|Everything|Nobody|One|Then|And|But|So)\b)[A-Z]\w+(?:'s \w+)?|[Hh]e|[Ss]he|[Tt]hey)"
    r"(?:'ll| will| has promised to| have promised to| promised to| promised (?:me |us )?(?:he|she|they)(?:'d| would)| agreed to| offered to"
    rf"| is going to| wants to) (?P<what>(?:{_ACTIONS}|do)\b.*)"
)
_GERMAN_STATES = (
    r"(?:habe|hätte|wäre|würde|könnte|möchte|glaube|denke|weiß|hoffe|finde|wohne|heiße|arbeite|suche nach|bin|war|kenne|meine"
    r"|brauche|lebe|mag|liebe|hasse|freue|wünsche)\b"
)
_GERMAN = re.compile(
    rf"\b[Ii]ch (?P<me>(?!{_GERMAN_STATES})[a-zäöüß]{{2,}}e)\b|\b(?P<back>(?!{_GERMAN_STATES})[a-zäöüß]{{2,}}e|[Mm]ach) ich\b"
    r"|\b(?:[Ii]ch|[Ww]ir) (?:werden?|muss|müssen)\b"
)
_GERMAN_OTHERS = re.compile(
    r"^(?:[Uu]nd |[Dd]ann |[Aa]ber |[Dd]as |[Aa]lso )?(?P<who>(?:(?:Mein|Unser|Sein|Ihr)e? )?[A-ZÄÖÜ]\w+(?: [A-ZÄÖÜ]\w+)?)(?: (?:aus|von|vom) (?:\w+ ){1,2}| )"
    r"(?:(?!ist\b|gilt\b|steht\b|liegt\b|kostet\b|beginnt\b|nicht\b|kommt\b|findet\b|beträgt\b|heißt\b|passiert\b|reicht\b)[a-zäöüß]{2,}t\b|(?P<given>hat|haben)\b)"
)
_IS_GERMAN = re.compile(r"\b(?:der|die|das|den|dem|uns|bis|auf|mit|ein|eine|einen|zum|zur|im|vor|nach|und|nicht|ist)\b")
_GIVEN = re.compile(r"\b(?:versprochen|zugesagt|angeboten)\b")
_TO_YOU = re.compile(
    r"\b(?:dir|dich|euch|ihnen|ihm|mich drum|mich darum|te|vous|t'|le|les|os|lo haré|me encargo|m'en occupe)\b",
    re.IGNORECASE,
)
_ROMANCE = re.compile(
    r"\b(?:je (?:te |vous |t'|lui |leur |m'en |m'|le |la |les |l'|y ){0,2}(?:\w+rai)\b|j'(?:\w+rai)\b"
    r"|je (?:te |vous |t'|lui |leur |m'|me )?(?:vais|dois) (?:te |vous |lui |leur |m'|le |la |l')?(?!être|avoir|voir)\w+(?:er|ir|re)\b"
    r"|je m'en (?:occupe|charge)|(?:te |le |les |os |lo |la |me ){0,2}(?!estaré|seré|tendré|iré|veré|sabré)\w{2,}(?:aré|eré|iré)\b"
    r"|(?:te |le |les |os |lo |la |me )?(?:voy|vamos) a (?!ser|estar|ver|tener)\w+(?:ar|er|ir)(?:te|le|les|lo|la|os)?\b|me encargo de)",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"^\s*+(?:if|when|once|unless|would|should|do you want|shall|wenn|falls|sobald|soll(?:en)? |si |quand |cuando )"
    r"|\b(?:won't|will not|could|might|would|könnte|würde|werde (?:\w+ ){0,3}nicht|pourrais|podría)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“„«][^\"“”„«»]{20,2000}[\"”“»]")
_LETTER = re.compile(
    r"(?:^|\n|[\"“„«])\s{0,4}(?:dear|sehr geehrte[rs]?|liebe[rs]?|bonjour|chère?s?|estimad[oa]s?|querid[oa]s?|hi all|hello all)\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[A-Z][a-z]{2,}\b")
_NO_NAMES = frozenset(
    "The And But Then This That There They She His Her Yes Yeah Not Now Great Good Okay Fine Well Thanks Also Spoke"
    " Lovely Perfect Right Sure Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May"
    " June July August September October November December Hello Our Your What When Where How Who Why For".split()
)
_LOOKED_AT = 2_000
_LEAST = 8


def commitment(sentence: Sentence) -> Commitment | None:
    """The promise or errand in a sentence: what, who, and by when, as it was said and as a date."""
    text = sentence.text
    if text.rstrip("\"'”’) ").endswith(("?", "？")) and not _ASKED.search(text):
        return None
    if _NOT.search(text) or is_drafted(sentence):
        return None
    found = _asked(text) or _own(text) or _by_others(text, _before(sentence)) or _elsewhere(text)
    if found is None or len(found[1]) < _LEAST:
        return None
    who, what = found
    name = sentence.message.speaker or f"the {sentence.message.role}" if who == "" else who
    match = SAID.search(text)
    said = match.group().strip() if match else None
    due = due_date(said, sentence.message.occurred_at)
    return Commitment(what, name, said, sentence.message.message_id, due.isoformat() if due else None)


def promises(text: str) -> bool:
    """Whether the text promises something, or asks for it."""
    return bool(_asked(text) or _own(text) or _by_others(text))


def is_drafted(sentence: Sentence) -> bool:
    """Whether the sentence stands in a letter or a longer quotation that its message holds: nobody says it here."""
    content = sentence.message.content[:20_000]
    letter = _LETTER.search(content)
    plain = sentence.text.strip('"“”„«» ')
    if letter is not None and plain and content.find(plain, letter.start()) >= 0:
        return True
    return any(plain and plain in quote.group() for quote in _QUOTED.finditer(content))


def _own(text: str) -> tuple[str, str] | None:
    match = _OWN.search(text)
    if match is None and SAID.search(text) is not None:
        match = _ANY_VERB.search(text)
    return ("", _trimmed(next(part for part in match.groups() if part))) if match else None


def _asked(text: str) -> tuple[str | None, str] | None:
    match = _ASKED.search(text)
    return (None, _trimmed(match["what"])) if match else None


def _by_others(text: str, before: str = "") -> tuple[str, str] | None:
    match = _OTHERS.search(text)
    if match is None:
        return None
    return _named(match["who"], before + text[: match.start()]), _trimmed(match["what"])


def _before(sentence: Sentence) -> str:
    content = sentence.message.content[:_LOOKED_AT]
    return content[: max(0, content.find(sentence.text[:40]))]


def _named(who: str, before: str) -> str:
    """A name for a pronoun: the last one before it."""
    if who.lower() not in ("he", "she", "they"):
        return who
    names = [name for name in _NAME.findall(before[-_LOOKED_AT:]) if name not in _NO_NAMES]
    return names[-1] if names else who


def _elsewhere(text: str) -> tuple[str, str] | None:
    """In the other languages the words of a promise stand apart: all of the sentence is what was promised."""
    timed = SAID.search(text) is not None
    if _ROMANCE.search(text) or ((timed or _TO_YOU.search(text)) and _GERMAN.search(text)):
        return "", _trimmed(text)
    other = _GERMAN_OTHERS.match(text) if _IS_GERMAN.search(text) else None
    given = _GIVEN.search(text) is not None
    if other is not None and (given or (timed and not other["given"])):
        return other["who"], _trimmed(text)
    return None


def _trimmed(text: str) -> str:
    return text.strip(" .!?\"'")
