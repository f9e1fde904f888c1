"""What a sentence does: promise, decide, ask, state a fact. Read off its wording, without a model."""

import re
from collections.abc import Sequence

from inference.summarizers.sentences import ByWord, Sentence, telling
from memory.model import Commitment, Fact, Message

_ACTIONS = (
    r"add|arrange|ask|attach|book|bring|buy|call|cancel|change|check (?:in|with|whether|if|on|the|that|for|and)"
    r"|collect|complete|confirm|contact|cook|correct|create|deliver|deploy|draft|drop (?:off|by|you|it)|e-?mail"
    r"|file|find out|finish|fix|follow up|forward|get back|give (?:you|them|him|her) (?:a call|an answer|the)"
    r"|hand in|include|invite|invoice|let (?:you|them|him|her) know|look into|look up|mail|make (?:the|an?|sure)"
    r"|meet|message|move|note|notify|order|organi[sz]e|pass (?:it|this|that) on|pay|phone|pick (?:up|you|it|them)"
    r"|ping|plan|prepare|present|print|propose|publish|put (?:together|the|in|it|you|a)|raise|refund|register"
    r"|remind|remove|renew|rent|repair|replace|reply|report|request|reschedule|reserve|return|review|ring|run"
    r"|schedule|send|set up|set (?:the|a)|share|ship|sign|sort (?:it|that|this|out)|speak (?:to|with)|start"
    r"|submit|swap|switch|take (?:you|him|her|care|the)|talk (?:to|with)|test|text|transfer"
    r"|try (?:the|that|this|it)|turn in|update|upload|visit|wait for|wash|write"
    r"|schicke|rufe|melde|buche|überweise|kümmere|enverrai|appellerai|enviaré|llamaré"
)
_WILL = (
    r"(?:'ll|’ll| will| shall|'m going to|’m going to| am going to|'re going to| are going to| promise to| have to"
    r"| need to| must|'ve got to| agreed to)"
)
_PROMISE = re.compile(
    rf"\b(?:I|we){_WILL}(?: (?:also|then|just|definitely|certainly|now|first|try to))*"
    rf" (?P<what>(?:{_ACTIONS})\b.*)"
    rf"|\b(?P<ask>(?:please |can you |could you |don't (?:let me )?forget to |remember to |remind me to ){{1,2}}"
    rf"(?P<asked>(?:{_ACTIONS})\b.*))"
    rf"|\b(?:let me|lass mich|ich werde|je vais|voy a) (?P<let>(?:{_ACTIONS})\b.*)",
    re.IGNORECASE,
)
_OFFER = re.compile(r"^\s*(?:if|when|once|unless|would|should|do you want|shall)\b", re.IGNORECASE)
_PART = r"(?: (?:morning|afternoon|evening|night))?"
_LEAD = r"(?:by|before|until|till|no later than|on|at|this|next|within|in|from)"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|march|april|may|june|july|aug(?:ust)?|sep(?:tember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
_SPAN = r"(?:end of (?:the |this |next )?(?:day|week|month|quarter|year)|(?:this|next|coming|over the) )"
_WHEN = re.compile(
    rf"\b(?:{_LEAD} )?(?:the )?(?:{_SPAN} ?)?(?:{_DAY}s?{_PART}"
    rf"|(?:the )?{_NTH} (?:of )?{_MONTH}(?: \d{{4}})?|{_MONTH} {_NTH}(?:,? \d{{4}})?|\d{{4}}-\d{{2}}-\d{{2}}"
    rf"|tomorrow{_PART}|tonight|today|noon|midnight|end of day|eod)\b(?: at \d{{1,2}}(?::\d{{2}})?(?: ?[ap]\.?m\b)?)?"
    r"|\b(?:by|before|until|till) (?:the )?(?:end of (?:the |this |next )?(?:day|week|month|quarter|year)"
    rf"|\d{{1,2}}(?:st|nd|rd|th)|\d{{1,2}}(?::\d{{2}})?(?: ?[ap]\.?m\b| o'clock)?|{_MONTH}|then)"
    r"|\b(?:this|next|over the) (?:week|weekend|month|year|morning|afternoon|evening|quarter|spring|summer|autumn|fall"
    r"|winter)\b|\b(?:with)?in (?:a|an|one|two|three|four|five|\d+) (?:few )?(?:minute|hour|day|week|month)s?\b"
    r"|\bat \d{1,2}(?::\d{2})? ?[ap]\.?m\b"
    r"|\bbis (?:morgen|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag)\b|\bmorgen\b|\bdemain\b|\bmañana\b",
    re.IGNORECASE,
)
_DECISION = re.compile(
    r"\b(?:let'?s|let’s) (?:go with|go for|use|book|stick (?:with|to)|make it|do (?:it|that|the|this|\w+day)|take|say"
    r"|meet|move (?:it|the))\b"
    r"|\b(?:we|I)(?:'ve| have|’ve)? (?:finally )?(?:decided|agreed|settled on|opted|chosen|picked)\b"
    r"|\b(?:I|we)(?:'ll|’ll| will| would like to|'d like to) (?:go with|go for|take|stick with|choose|pick)\b"
    r"|\b(?:I'm|I’m|we're|we’re|I am|we are) going (?:with|ahead)\b"
    r"|\b(?:it's|that's|it’s|that’s) (?:settled|decided|a deal)\b"
    r"|\bdecision (?:is|was)\b|\b(?:agreed|deal)\b[.,:!]|\bgo ahead (?:and|with)\b|\bwent with\b"
    r"|\b(?:entschieden|beschlossen|machen wir so|on a décidé|nous avons décidé|hemos decidido|decidimos)\b",
    re.IGNORECASE,
)
_FACT = re.compile(
    r"\bmy (?:[\w-]+ ){1,3}(?:is|are|was|were|will be|has|have|had|lives?|works?|moved|died|turns?|turned|loves?"
    r"|hates?)\b"
    r"|\bI(?:'m|’m| am) (?:an?|the|from|allergic|vegetarian|vegan|married|single|divorced|pregnant|diabetic|based|\d+"
    r"|originally|learning|studying|training|working|moving|looking for|saving|planning)\b"
    r"|\bI (?:live|lived|work|worked|moved|was born|have|had|grew up|study|studied|graduated|own|bought|sold|adopted"
    r"|speak|prefer|can't (?:eat|stand|have|drink)|cannot|don't (?:eat|drink|like|want)|never|always|usually|quit"
    r"|lost|got (?:a|an|my|married|engaged|promoted|the|into)|started|joined|signed up|need|teach|play|run|volunteer"
    r"|met|went|visited|won|finished|made|painted|wrote|just|recently|finally)\b"
    r"|\b(?:I've|I’ve) (?:been|got|had|started|always|never|just|recently|finally|worked|lived)\b"
    r"|\bwe(?:'re|’re| are)? (?:live|moved|married|have|bought|met|went|visited|got|expecting|planning|moving)\b"
    r"|\b(?:mein|meine|meinen) \w+ (?:ist|sind|heißt)\b|\bich (?:wohne|arbeite|heiße|bin)\b"
    r"|\bje (?:suis|m'appelle|vis|travaille|préfère)\b|\b(?:vivo|trabajo|me llamo|prefiero|soy)\b",
    re.IGNORECASE,
)
_SPECIFIC = re.compile(r"\d|[€$£]|(?<!^)(?<![.!?] )\b[A-Z][a-z]{2,}")
_PHATIC = re.compile(
    r"(?:hi|hey|hello|wow|oh|aw+|yeah|yep|yes|no|ok(?:ay)?|thanks?|thank you|thx|cool|great|awesome|nice|congrats"
    r"|congratulations|good|glad|sorry|bye|take care|see you|talk (?:to you )?soon|catch you|cheers|absolutely|totally"
    r"|definitely|exactly|of course|sure|no problem|sounds|that(?:'s|’s| is| sounds| must| looks?)"
    r"|it(?:'s|’s) (?:great|good|nice|awesome|amazing)"
    r"|you(?:'re|’re| are) (?:so |such |doing |really |an? |amazing|welcome|right|inspiring)"
    r"|so (?:proud|happy|glad|cool|sweet)|i(?:'m|’m| am) (?:so |really )?(?:glad|happy|proud|sorry|here for)|what a"
    r"|how (?:cool|nice|sweet|awesome|are|'s|is it)|looks? (?:great|good|amazing|awesome)|love (?:it|that|the|your)"
    r"|keep (?:it )?(?:up|going|on|doing|pushing|me|at)|have (?:fun|a (?:great|good|nice))|hope (?:you|it|that))\b",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"\b(?:I|I'm|I’m|I've|I’ve|I'd|I'll|my|mine|we|we're|we've|we'll|he|she|they|his|her|their|ich|wir|mein\w*+|je|j"
    r"|nous|mon|ma|mes|yo|mi|mis|nosotros)\b"
)
_LEANS_BACK = re.compile(
    r"(?:and |but |so |also,? |plus,? )?(?:it|its|that|this|those|these|they|them|there|he|she|which|being able)\b",
    re.IGNORECASE,
)
_AGO = r"(?:week|month|year|night|weekend|\w+day|summer|spring|fall|autumn|winter)"
_TIME = re.compile(
    rf"\b(?:yesterday|tomorrow|tonight|today|ago|(?:last|next) {_AGO}|since (?:\d|I|we|last)"
    rf"|for (?:a|\w+) (?:years|months|weeks)|{_DAY}|january|february|april|june|july|august|september|october"
    r"|november|december|\d{1,2}(?:st|nd|rd|th|:\d\d|am|pm)|(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_DEFERRED = re.compile(
    r"\b(?:not sure|don't know|do not know|no idea|(?:I'll|I will|let me) (?:check|find out|ask|look into|get back|see)"
    r"|have to (?:check|ask)|need to (?:check|ask|think)|still (?:open|deciding|thinking about it)|haven't decided"
    r"|unclear|tbd|weiß nicht|je ne sais pas|no sé)\b",
    re.IGNORECASE,
)
_DONE = re.compile(
    r"\b(?:I|we)(?:'ve| have|’ve)?(?: just| already| finally)? (?!will\b|'ll\b)(?:\w+ed|sent|bought|paid|made|brought"
    r"|met|spoke|wrote|told|took|gave|found|did|done|got|went)\b"
    r"|\b(?:it's|is|it’s|that's|all) (?:done|sent|booked|paid|set|sorted|fixed|ready|arranged|confirmed)\b",
    re.IGNORECASE,
)
_OF = r"(?:of|de|da|do|dos|du|des|di|the|van|von|der|del|la|le|el)"
_CAPITALS = re.compile(rf"(?<![.!?:\"“] )(?<!^)\b(?<!-)[A-ZÄÖÜÉ][\w'’&-]+(?: (?:{_OF} )?[A-ZÄÖÜÉ][\w'’&-]+)*")
_PRECISE = re.compile(
    r"(?<![\w.+-])[\w.+-]++@[\w-]++\.[\w.-]+\w|\+?\d[\d ()-]{7,}\d|[€$£] ?\d[\d.,]*\w?|\b[A-Z]{2,}-?\d{2,}\b"
)
_PUT_OFF = " Put off by "
_NO_NAME = frozenset(
    ("I", "OK", "Ok", "TV", "LOL", "OMG", "BTW", "Yeah", "Yes", "No", "I'm", "I'd", "I'll", "I've", "I’m", "I’ve")
)


class Later:
    """What was said later: those of its sentences that report something as done, and those that can be an answer,
    each looked for by its words."""

    def __init__(self, found: Sequence[Sentence]) -> None:
        self.first = found[:3]
        self.done = ByWord([s for s in found if _DONE.search(s.text)])
        self.answers = ByWord([s for s in found if not is_question(s.text) and not _DEFERRED.search(s.text)])


def is_question(text: str) -> bool:
    """Whether the sentence asks."""
    return text.rstrip("\"'”’) ").endswith(("?", "？"))


def is_phatic(sentence: Sentence) -> bool:
    """Whether it greets, thanks or cheers and says little else."""
    return len(sentence.words) < 2 or (bool(_PHATIC.match(sentence.text)) and len(sentence.words) < 6)


def opens_phatic(text: str) -> bool:
    """Whether it begins like a greeting, thanks or praise."""
    return bool(_PHATIC.match(text))


def is_general(text: str) -> bool:
    """Whether it speaks of nobody's own doing: a maxim, or praise of the other."""
    return not _OWN.search(text) and not specifics(text)


def leans_back(text: str) -> bool:
    """Whether it begins with a word that only the sentence before explains."""
    return bool(_LEANS_BACK.match(text))


def tells_when(text: str) -> bool:
    """Whether it places what it tells in time."""
    return bool(_TIME.search(text))


def is_decision(text: str) -> bool:
    """Whether it settles something, and says what."""
    return not is_question(text) and bool(_DECISION.search(text)) and len(text) > 24


def states_fact(text: str) -> bool:
    return not is_question(text) and bool(_FACT.search(text))


def specifics(text: str) -> int:
    """How many numbers, sums and names it holds."""
    return len(_SPECIFIC.findall(text))


def speaker(message: Message) -> str:
    """The speaker's name, else the role, as it stands in a summary."""
    return message.speaker or f"the {message.role}"


def said_by(sentence: Sentence) -> Fact:
    """The sentence with its speaker and its source."""
    return Fact(f"{sentence_start(speaker(sentence.message))}: {sentence.text}", sentence.message.message_id)


def sentence_start(name: str) -> str:
    """`name` as a sentence begins."""
    return name[:1].upper() + name[1:]


def matters(text: str) -> bool:
    """Whether it decides, promises or states a fact."""
    return is_decision(text) or states_fact(text) or bool(_PROMISE.search(text))


def is_kept_promise(line: str, later: Later) -> bool:
    """Whether the line promises something that a later sentence reports as done."""
    match = _PROMISE.search(line)
    return match is not None and is_kept(match.group(), later)


def commitment(sentence: Sentence) -> Commitment | None:
    """The promise or errand in a sentence: what, who, and by when as it was said."""
    match = _PROMISE.search(sentence.text)
    if match is None or _OFFER.match(sentence.text) or (is_question(sentence.text) and not match["ask"]):
        return None
    what = (match["what"] or match["asked"] or match["let"]).strip(" .!?\"'")
    if len(what) < 8:
        return None
    who = None if match["asked"] else speaker(sentence.message)
    when = _WHEN.search(sentence.text, match.start())
    return Commitment(what, who, when.group().strip() if when else None, sentence.message.message_id)


def open_questions(found: Sequence[Sentence]) -> list[Fact]:
    """Questions that were put off (with the words that did so), or that nobody has answered yet."""
    open_ones: list[Fact] = []
    for index, sentence in enumerate(found):
        if not is_question(sentence.text) or sentence.length < 5 or len(sentence.words) < 2:
            continue
        reply = _reply(sentence, found[index + 1 : index + 41])
        put_off = next((s for s in reply if _DEFERRED.search(s.text)), None)
        if put_off is not None:
            asked = said_by(sentence)
            open_ones.append(
                Fact(f"{asked.text}{_PUT_OFF}{speaker(put_off.message)}: {put_off.text}", asked.message_id)
            )
        elif not reply:
            open_ones.append(said_by(sentence))
    return open_ones


def still_open(question: Fact, later: Later) -> bool:
    """Whether a question from before `later` is open after it."""
    if _is_answered(question.text.split(_PUT_OFF)[0].partition(": ")[2], later):
        return False
    return _PUT_OFF in question.text or not later.first or any(_DEFERRED.search(s.text) for s in later.first)


def _reply(asked: Sentence, later: Sequence[Sentence]) -> list[Sentence]:
    """The first sentences of the first message by somebody else."""
    asker = (asked.message.role, asked.message.speaker)
    others = [s for s in later if (s.message.role, s.message.speaker) != asker]
    return [s for s in others if s.message.seq == others[0].message.seq][:3]


def _is_answered(question: str, later: Later) -> bool:
    """Whether a later sentence takes up most of the question's words without asking or putting off."""
    asked = telling(question)
    return bool(asked) and later.answers.has(asked, len(asked) // 2 + 1)


def is_kept(promise: str, later: Later, after_seq: int = 0) -> bool:
    """Whether a sentence of a message after `after_seq` reports the promise as done."""
    promised = telling(promise)
    return bool(promised) and later.done.has(promised, (len(promised) + 1) // 2, after_seq)


def entities(found: Sequence[Sentence]) -> list[str]:
    """Names, addresses, numbers and sums in the order of first mention."""
    names: dict[str, None] = {}
    for sentence in found:
        for match in (*_CAPITALS.finditer(sentence.text), *_PRECISE.finditer(sentence.text)):
            name = match.group().strip(" '’").removesuffix("'s").removesuffix("’s")
            if name not in _NO_NAME and len(name) > 2:
                names[name] = None
    return list(names)
