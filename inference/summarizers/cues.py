"""What a sentence does: promise, decide, ask, state a fact. Read off its wording, without a model."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from inference.summarizers.due import SAID
from inference.summarizers.promises import promises
from inference.summarizers.sentences import ByWord, Sentence, telling
from memory.model import Fact, Message

_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DECISION = re.compile(
    r"\b(?:let'?s|let’s) (?:go with|go for|use|book|stick (?:with|to)|make it|do (?:it|that|the|this|\w+day)|take|say"
    r"|meet|move (?:it|the))\b"
    r"|\b(?:we|I)(?:'ve| have|’ve)? (?:finally )?(?:decided|agreed|settled on|opted|chosen|picked)\b"
    r"|\b(?:I|we)(?:'ll|’ll| will| would like to|'d like to) (?:go with|go for|take|stick with|choose|pick)\b"
    r"|\b(?:I'm|I’m|we're|we’re|I am|we are) going (?:with|ahead)\b"
    r"|\b(?:it's|that's|it’s|that’s) (?:settled|decided|a deal)\b"
    r"|\bdecision (?:is|was)\b|\b(?:agreed|deal)\b[.,:!]|\bgo ahead (?:and|with)\b|\bwent with\b"
    r"|\b(?:we're|we’re|we are|I'm|I’m) (?:doing|taking|having|keeping|using|moving to|sticking with|dropping|skipping)\b"
    r"|\bmake it (?:\d|one|two|three|four|five|six|seven|eight|nine|ten|the)|\b(?:stays|stay) as (?:it is|they are)\b"
    r"|\b(?:so|then) no \w+,|^no \w+, please\b|\bhas decided|\bhave decided|\b(?:they've|they have|it's been) (?:settled|agreed)\b"
    r"|\b(?:entschieden|beschlossen|machen wir so|dabei bleibt es|on a décidé|nous avons décidé|c'est décidé|hemos decidido|decidimos)\b"
    r"|\bwir (?:nehmen|lassen|kaufen|bleiben|behalten|machen|buchen|fahren|verzichten)\b|\b(?:nehmen|lassen|kaufen|bleiben|behalten) wir\b"
    r"|\b(?:on|nous) (?:prend|prenons|garde|gardons|part sur|choisit|choisissons)\b"
    r"|\b(?:nos quedamos con|vamos con|elegimos|cogemos|tomamos|dejamos)\b",
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
    r"\b(?:I|we|he|she|they|[A-Z]\w+)(?:'ve| have| has|'s|’ve)?(?: just| already| finally| both| all| never)* (?!will\b|'ll\b|need|want)"
    r"(?:\w+ed|sent|bought|paid|made|brought|met|spoke|wrote|told|took|gave|found|did|done|got|went|rang|says|said|put|ran)\b"
    r"|\b(?:it's|is|it’s|that's|all|are|was|were)(?: all| now| already)? (?:done|sent|booked|paid|set|sorted|fixed|ready|arranged"
    r"|confirmed|in|ours|there|merged|pushed|green|signed|ordered|delivered|finished|off the list|back|written|posted|uploaded|working)\b"
    r"|(?:^|[.!;] )(?:here(?:'s| is| are)|done|spoke|sent|paid|called|rang|asked|booked|ordered|pushed|fixed|uploaded|finished|got|sorted)\b"
    r"|\b(?:arrived|came through|went through|went out)\b"
    r"|\b(?:habe|hab|haben|hat|ist|sind|wurde|wurden)\b[^.!?]{0,80}\b(?:\w*ge\w{2,}(?:t|en)|\w+iert|erledigt|bestellt|bezahlt|überwiesen"
    r"|unterschrieben|verschickt|besorgt|bekommen|erhalten|vereinbart|da|fertig|raus|versprochen)\b|\bhier (?:ist|sind|kommt)\b"
    r"|\b(?:j'ai|a|as|ont|avons|est|sont|c'est) (?:\w+ ){0,2}(?:\w+(?:é|ée|és|ées)|envoyé|fait|reçu|pris|mis|écrit|appelé|prêt)\b|\bvoici\b"
    r"|\b(?:he|ha|hemos|han|ya) (?:\w+ ){0,2}(?:\w+(?:ado|ido)|hecho|escrito|puesto|dicho|está|están|lista?)\b|\baquí (?:está|tienes|va)\b",
)
_DROPPED = re.compile(
    r"\b(?:forget (?:about )?(?:it|that|the)|no need|strike that|never ?mind|leave it|called? (?:it )?off|cancel(?:led|ed)?|won't be needed"
    r"|not needed|don't need|no longer|not any ?more|off the list|off my list|changed my mind|instead|is off|fell through|never \w+)\b"
    r"|\b(?:nicht mehr|brauchen wir nicht|hat sich erledigt|vergiss|streich|abgesagt|fällt (?:aus|weg)|entfällt|kann (?:\w+ ){0,4}nicht|doch nicht)\b"
    r"|\b(?:plus besoin|laisse tomber|oublie[zr]?|annulé\w*|n'est plus)\b|\b(?:ya no|no hace falta|olvid[ae]\w*|cancelad\w+|no puede)\b",
    re.IGNORECASE,
)
_OF = r"(?:of|de|da|do|dos|du|des|di|the|van|von|der|del|la|le|el)"
_CAPITALS = re.compile(rf"(?<![.!?:\"“] )(?<!^)\b(?<!-)[A-ZÄÖÜÉ][\w'’&-]+(?: (?:{_OF} )?[A-ZÄÖÜÉ][\w'’&-]+)*")
_PRECISE = re.compile(
    r"(?<![\w.+-])[\w.+-]++@[\w-]++\.[\w.-]+\w|\+?\d[\d ()-]{7,}\d|[€$£] ?\d[\d.,]*\w?|\b[A-Z]{2,}-?\d{2,}\b"
)
_LONG_PROMISE = 400
_PUT_OFF = " Put off by "
_NO_NAME = frozenset(
    ("I", "OK", "Ok", "TV", "LOL", "OMG", "BTW", "Yeah", "Yes", "No", "I'm", "I'd", "I'll", "I've", "I’m", "I’ve")
)


class Later:
    """What was said later: those of its sentences that report something as done, and those that can be an answer,
    each looked for by its words."""

    def __init__(self, found: Sequence[Sentence]) -> None:
        self.first = found[:3]
        self.done = ByWord(_reports(found))
        self.answers = ByWord([s for s in found if not is_question(s.text) and not _DEFERRED.search(s.text)])


def _reports(found: Sequence[Sentence]) -> list[Sentence]:
    """One for each message that reports something as done, or drops it: the words of all its sentences."""
    reports: list[Sentence] = []
    for _, group in groupby(found, key=lambda s: s.message.message_id):
        said = list(group)
        if any(not is_question(s.text) and (_DONE.search(s.text) or _DROPPED.search(s.text)) for s in said):
            reports.append(replace(said[0], words=frozenset().union(*(s.words for s in said))))
    return reports


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
    return not is_question(text) and bool(_DECISION.search(text)) and len(text) > 20


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
    return is_decision(text) or states_fact(text) or promises(text)


def is_kept_promise(line: str, later: Later) -> bool:
    """Whether the line promises something that a later sentence reports as done."""
    return promises(line) and is_kept(line.partition(": ")[2] or line, later)


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
    """Whether a message after `after_seq` reports what was promised as done, or drops it."""
    promised = telling(SAID.sub(" ", promise[:_LONG_PROMISE]))
    least = 1 if len(promised) <= 2 else 2 if len(promised) <= 9 else 3
    return bool(promised) and later.done.has(promised, least, after_seq)


def entities(found: Sequence[Sentence]) -> list[str]:
    """Names, addresses, numbers and sums in the order of first mention."""
    names: dict[str, None] = {}
    for sentence in found:
        for match in (*_CAPITALS.finditer(sentence.text), *_PRECISE.finditer(sentence.text)):
            name = match.group().strip(" '’").removesuffix("'s").removesuffix("’s")
            if name not in _NO_NAME and len(name) > 2:
                names[name] = None
    return list(names)
