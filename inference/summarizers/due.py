"""The date that a promise is due, from how it was said ("by Friday", "bis Ende des Monats") and when."""

import re
from calendar import monthrange
from datetime import date, datetime, timedelta
from functools import lru_cache

_PARTS = (
    r"(?:morning|afternoon|evening|night|früh|vormittag|mittag|nachmittag|abend|nacht|matin|midi|après-midi|soir|nuit"
    r"|por la mañana|por la tarde|por la noche|tarde|noche|mattina|pomeriggio|sera|manhã|noite)"
)
_WEEKDAYS = (
    r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday|montag|dienstag|mittwoch|donnerstag|freitag|samstag"
    r"|sonnabend|sonntag|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes"
    r"|sábado|domingo|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica|maandag|dinsdag|woensdag|donderdag"
    r"|vrijdag|zaterdag|zondag)"
)
_MONTHS = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul"
    r"|aug|sept?|oct|nov|dec|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet"
    r"|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|octubre"
    r"|noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre)"
)
_NTH = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth"
    " twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
).split()
_ORDINALS = {word: number for number, word in enumerate(_NTH, 1)}
_SOON = (
    r"(?:tomorrow|today|tonight|heute|morgen|übermorgen|demain|après-demain|aujourd'hui|mañana|hoy|pasado mañana|esta"
    r" noche|esta tarde|domani|oggi|stasera|amanhã|hoje|vandaag|overmorgen|vanavond)"
)
_UNITS = r"(?:days?|weeks?|months?|tagen?|wochen?|monaten?|jours?|semaines?|mois|días?|semanas?|mes(?:es)?)"
_AMOUNT = r"(?:\d{1,2}|a|an|one|two|three|four|five|six|einem|einer|zwei|drei|vier|un|une|deux|trois|una?|dos|tres)"
_END = (
    r"(?:(?:the )?end of (?:the |this |next )?(?:day|week|month|year)|ende (?:der|dieser|des|dieses|nächster|nächsten)"
    r" (?:woche|monats|jahres)|(?:la )?fin (?:de la |du |de )(?:semaine|mois|année)"
    r"|(?:el )?(?:fin|final)(?:es)? (?:de la |del |de )?(?:semana|mes|año))"
)
_NEXT = (
    r"(?:(?:next|this|coming) (?:week|month|weekend)|(?:nächste|kommende|diese)[nrs]? (?:woche|monat|wochenende)"
    r"|la semaine prochaine|le mois prochain|ce week-end|la (?:próxima semana|semana que viene)|el (?:próximo mes|mes que viene)"
    r"|este fin de semana|(?:mitte|anfang|mid|early|late|mediados de|principios de|mi|début)[ -]"
    rf"{_MONTHS})"
)
_DAY_OF = (
    rf"(?:(?:the )?\d{{1,2}}(?:st|nd|rd|th|\.|er|º)?(?: of| de)? {_MONTHS}\b|{_MONTHS} (?:the )?\d{{1,2}}(?:st|nd|rd|th)?\b"
    r"|\d{4}-\d{2}-\d{2}|\d{1,2}\.\d{1,2}\.(?:\d{4})?"
    rf"|(?:the )?(?:{'|'.join(sorted(_ORDINALS, key=len, reverse=True))})(?: of)?(?: {_MONTHS})?\b|(?:the )?\d{{1,2}}(?:st|nd|rd|th)\b)"
)
_TIME = r"(?: (?:at|um|à|a las) \d{1,2}(?:[:.]\d{2})?(?: ?[ap]\.?m\b| uhr\b| ?h\b)?)?"
_LEAD = (
    r"(?:(?:by|before|until|till|no later than|on|at|this|next|within|bis|vor|am|zum|im|ab|nächsten|kommenden|diesen"
    r"|avant|d'ici|pour|dès|le|ce|para|antes de|antes del|hasta|el|este|entro|prima di|até|voor|op)(?: (?:the|zum|spätestens|den|dem|le"
    r"|la|el|del|este|next|this|am|au|lunch|noon))? )"
)
SAID = re.compile(
    rf"(?<!\w){_LEAD}?(?:{_END}|{_NEXT}|(?:{_WEEKDAYS}|{_SOON})(?:,? (?:dem |den |le |el |the )?{_DAY_OF})?(?: {_PARTS})?{_TIME}"
    rf"|{_DAY_OF}{_TIME}|(?:in|within|dans|en|binnen) {_AMOUNT} (?:few )?{_UNITS})(?!\w)",
    re.IGNORECASE,
)
"""A time to come, as people say it in English, German, French and Spanish."""

_STRIPPED = re.compile(rf"^{_LEAD}|\b{_PARTS}\b|\b(?:dem|den|of|the|de)\b", re.IGNORECASE)
_END_OF = re.compile(
    r"(?P<week>week|woche|semaine|semana)|(?P<month>month|monat|mois|mes)|(?P<year>year|jahr|année|año)", re.IGNORECASE
)
_LANGUAGES = ["en", "de", "fr", "es", "it", "nl", "pt"]
_DATED = re.compile(_DAY_OF, re.IGNORECASE)
_LONGEST = 60


def due_date(said: str | None, when: datetime) -> date | None:
    """The day that `said` names, seen from `when` (local to who said it): the next one there is. None: it names none."""
    match = SAID.search(said[:_LONGEST]) if said else None
    if match is None:
        return None
    text = match.group().casefold()
    if re.search(_END, text):
        return _end(text, when.date())
    dated = _DATED.search(text)
    return _parsed(dated.group() if dated else text, when.date())


def _end(text: str, today: date) -> date:
    kind = _END_OF.search(text)
    later = "next" in text or "nächste" in text
    if kind is None:
        return today
    if kind["week"]:
        return today + timedelta(days=(4 - today.weekday()) % 7 + 7 * later)
    if kind["year"]:
        return date(today.year + later, 12, 31)
    year, month = divmod(today.year * 12 + today.month - 1 + later, 12)
    return date(year, month + 1, monthrange(year, month + 1)[1])


@lru_cache(maxsize=512)
def _parsed(text: str, today: date) -> date | None:
    from dateparser.date import DateDataParser

    for word in sorted(_ORDINALS, key=len, reverse=True):
        text = re.sub(
            rf"\b{word}\b", f"{_ORDINALS[word]}th" if not re.search(_MONTHS, text) else str(_ORDINALS[word]), text
        )
    noon = datetime(today.year, today.month, today.day, 12)
    settings = {"RELATIVE_BASE": noon, "PREFER_DATES_FROM": "future", "TIMEZONE": "UTC"}
    parser = DateDataParser(languages=_LANGUAGES, settings=settings)
    for tried in (text, " ".join(_STRIPPED.sub(" ", text).split())):
        found = parser.get_date_data(tried.strip(" .,")) if tried.strip(" .,") else None
        if found is not None and found.date_obj is not None:
            day: date = found.date_obj.date()
            return day
    return None
