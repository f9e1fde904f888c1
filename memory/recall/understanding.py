"""From a query's words to a `Question`."""

import re
from collections.abc import Sequence
from datetime import datetime

from memory.model import QUERY_LENGTH, Interpreted, Json, MessageFilter, Role
from memory.names import named
from memory.recall.date_bounds import Period
from memory.recall.dates import periods
from memory.recall.query import Question, strip_names
from memory.recall.terms import query_tokens
from memory.text.plain import plain

_MOST_TOKENS = 400
_MOST_PERIODS = 20
"""Each is weighed against every message of the scope: a question says what it means well within these."""

_WHEN = re.compile(
    r"\b(?:when|how long|since when|what (?:year|month|date|day|time)|which (?:year|month|date|day)|how (?:many|much) (?:days|weeks"
    r"|months|years|time)|how old)\b"
    r"|\b(?:wann|seit wann|wie lange|quand|depuis quand|combien de temps|cuándo|cuando|cuánto tiempo|quando|há quanto tempo"
    r"|quanto tempo|da quanto|wanneer|hoe lang|sinds wanneer|когда|как долго|сколько времени|متى|منذ متى)\b"
    r"|いつ|何時|何日|何月|何年|什么时候|何时|几月|几号|哪天|多久|언제"
)
_I = re.compile(
    r"\b(?:i|i'm|i've|i'd|my|mine|me|myself|ich|mein(?:e[nmrs]?)?|mir|mich|je|j|mon|ma|mes|moi|yo|mi|mis|mío|eu|meu|minha|meus"
    r"|minhas|io|mio|mia|miei|mie|ik|mijn|mij|я|мой|моя|моё|мои|моего|моей|мне|меня|أنا|انا)\b|私|僕|俺|わたし|我|제가|내"
)
_YOU_SAID = re.compile(
    r"\b(?:did|have|had) you (?:\w+ )?(?:recommend|suggest|advise|tell|told|say|said|mention|propose|give|gave|list|write|wrote|explain"
    r"|answer|provide|share|show|come up)"
    r"|\byou(?:'ve|'d)? (?:\w+ )?(?:recommended|suggested|advised|told|said|mentioned|proposed|gave|listed|wrote|explained|answered"
    r"|provided|shared|showed|came up)\b|\byour (?:recommendations?|suggestions?|advice|answer|list|reply|explanation|tips?)\b"
    r"|\b(?:hast|hattest) du\b.{0,120}\b(?:empfohlen|vorgeschlagen|gesagt|geraten|erwähnt)|\bempfahlst du|\bdein(?:e[rnm]?)? (?:rat|tipps?"
    r"|empfehlung(?:en)?|vorschl[aä]ge?)\b|\bhaben sie\b.{0,120}\b(?:empfohlen|vorgeschlagen|gesagt|geraten)"
    r"|\b(?:as-tu|tu (?:m')?as|avez-vous|vous (?:m')?avez)\b.{0,120}\b(?:recommandée?s?|conseillée?s?|suggérée?s?|proposée?s?|dite?s?)"
    r"|\b(?:me )?(?:recomendaste|sugeriste|dijiste|aconsejaste|propusiste)\b|\bvocê (?:me )?(?:recomendou|sugeriu|disse|indicou)\b"
    r"|\b(?:mi )?hai (?:\w+ )?(?:consigliato|suggerito|detto|raccomandato|proposto)\b"
    r"|\b(?:heb|had) je\b.{0,120}\b(?:aanbevolen|aangeraden|gezegd|voorgesteld)|\bты (?:\w+ )?(?:посоветовал\w*|рекомендовал\w*|предложил\w*"
    r"|сказал\w*)|نصحتني|اقترحت|أوصيت|おすすめして|勧めて|すすめて|提案して|教えてくれ|你\w{0,20}(?:推荐|建议|说)"
)
_GATHERS = re.compile(
    r"\bhow many\b|\bhow often\b|\blist\b|\bin what ways\b|\ball (?:the|of|my)\b|\b(?:kinds|types|sorts) of\b"
    r"|\bwhat (?:are|were) (?:all |the |some )?(?:\w+'s )?(?:\w+ )?\w+s\b"
    r"|\b(?:what|which) (?:\w+ ){0,2}?(?:\w{3,}(?<!s)s|\w*people|children)(?<!kinds)(?<!types)"
    r" (?:has|have|do|does|did|are|were|am|is|would|might)\b"
    r"|\b(?:welchen|wie viele|wie oft|quels|quelles|combien de|combien d|cuáles|cuántos|cuántas|quais|quantos|quantas|quali"
    r"|quante|quanti|hoeveel|hoe vaak|какие|каких|сколько)\b|何回|いくつ|哪些|几次|多少|كم"
)


def understood(
    query: str, participants: Sequence[str], languages: Sequence[str], now: datetime, where: MessageFilter
) -> Question:
    """What `query` asks, by participants' names, the languages that the messages are in, and the local time `now`."""
    query = query[:QUERY_LENGTH]
    names = strip_names(named(query), participants)
    plain = _normalise_question(query)
    tokens = tuple(query_tokens(query, languages)[:_MOST_TOKENS])
    return Question(
        text=query,
        bare=names.bare,
        tokens=tokens,
        bare_tokens=tuple(query_tokens(names.bare, languages)[:_MOST_TOKENS]) if names.named else tokens,
        named=names.named,
        role=None if where.role else _role(plain),
        asks_when=_WHEN.search(plain) is not None,
        gathers=_GATHERS.search(plain) is not None,
        periods=periods(query, now)[:_MOST_PERIODS],
    )


def _normalise_question(query: str) -> str:
    """Casefolded, typographic apostrophes made plain."""
    return query.replace("’", "'").casefold()


def interpreted(question: Question, where: MessageFilter) -> Interpreted:
    """What is told to the caller of what was understood."""
    return Interpreted(
        filters=_filters(where),
        dates=tuple(_date(period) for period in question.periods),
        speaker=question.named[0] if len(question.named) == 1 else None,
        role=question.role,
        asks_when=question.asks_when,
    )


def _role(plain: str) -> Role | None:
    if _YOU_SAID.search(plain):
        return "assistant"
    return "user" if _I.search(plain) else None


def _filters(where: MessageFilter) -> dict[str, Json]:
    said: dict[str, Json] = {
        "scope": where.scope if where.scope != "all" else None,
        "project_id": where.project_id,
        "session_id": where.session_id,
        "role": where.role,
        "channel": where.channel,
        "since": plain(where.since),
        "until": plain(where.until),
    }
    return {name: value for name, value in said.items() if value is not None}


def _date(period: Period) -> dict[str, Json]:
    return {"text": period.said, "since": plain(period.since), "until": plain(period.until), "unit": period.unit}
