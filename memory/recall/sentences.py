"""What a message's sentences say about it: how much of it asks, how much of it speaks of time."""

import re

_SHORT_QUESTION = 15
"""Words. A longer question usually carries facts of the asker's own, and does not count as asking."""

_SENTENCE = re.compile(r"[^.!?。！？؟\n]*+[.!?。！？؟\n]++|[^.!?。！？؟\n]++$")
_ASKS = ("?", "？", "؟")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7ff]")

_TIME_WORDS = re.compile(
    r"""\b(?:
    yesterday|today|tonight|tomorrow|last|next|ago|weeks?|weekends?|months?|years?|recently|since|decades?
    |mon|tues|wednes|thurs|fri|satur|sun)(?:day)?s?\b
    |\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b
    |\b(?:19|20)\d\d\b|\b\d++[ ](?:days|hours|minutes)\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b
    |\b(?:gestern|heute|morgen|vorgestern|übermorgen|letzte[nrs]?|nächste[nrs]?|wochen?|monate?n?|jahre?n?|tage?n?
    |januar|februar|märz|mai|juni|juli|oktober|dezember|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag
    |hier|aujourd['’]hui|demain|dernier|dernière|prochaine?|semaines?|mois|ans?|années?|jours?|janvier|février|mars|avril|juin
    |juillet|août|septembre|octobre|novembre|décembre|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche
    |ayer|hoy|mañana|anteayer|pasad[oa]|próxim[oa]|semanas?|mes|meses|años?|días?|enero|febrero|marzo|abril|mayo|junio|julio
    |agosto|septiembre|octubre|noviembre|diciembre|lunes|martes|miércoles|jueves|viernes|sábado|domingo
    |ontem|hoje|amanhã|passad[oa]|mês|anos?|dias?|janeiro|fevereiro|março|maio|junho|julho|setembro|outubro|dezembro
    |segunda|terça|quarta|quinta|sexta
    |ieri|oggi|domani|scors[oa]|prossim[oa]|settiman[ae]|mese|mesi|ann[oi]|giorn[oi]|gennaio|febbraio|aprile|maggio|giugno
    |luglio|settembre|ottobre|dicembre|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica
    |gisteren|vandaag|morgen|vorige?|volgende?|weken|maand(?:en)?|jaar|jaren|dagen|januari|februari|maart|mei|augustus
    |maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag
    |вчера|сегодня|завтра|назад|прошл\w+|следующ\w+|недел\w+|месяц\w*|год\w*|лет|дн(?:я|ей)|январ\w+|феврал\w+|март\w*|апрел\w+
    |ма[яй]|июн\w+|июл\w+|август\w*|сентябр\w+|октябр\w+|ноябр\w+|декабр\w+|понедельник\w*|вторник\w*|сред[уы]|четверг\w*
    |пятниц\w+|суббот\w+|воскресень\w+
    |أمس|اليوم|غدا|الماضي|الماضية|القادم|القادمة|أسبوع|الأسبوع|شهر|الشهر|سنة|السنة|يناير|فبراير|مارس|أبريل|مايو|يونيو|يوليو
    |أغسطس|سبتمبر|أكتوبر|نوفمبر|ديسمبر|الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت|الأحد
    )\b
    |昨日|今日|明日|一昨日|先週|来週|今週|先月|来月|今月|去年|来年|今年|(?<!\d)\d++[年月日]|[月火水木金土日]曜日?
    |昨天|今天|明天|前天|后天|上周|下周|上个月|下个月|明年|前年|星期[一二三四五六日天]|周[一二三四五六日]
    """,
    re.VERBOSE,
)


def _sentences(text: str) -> list[str]:
    """The sentences of `text`, with their closing marks; line breaks close one too."""
    return [found for found in (s.strip() for s in _SENTENCE.findall(text)) if found]


def _word_count(text: str) -> int:
    """Words; two characters of an unspaced script count as one."""
    return len(text.split()) + len(_UNSPACED.findall(text)) // 2


def question_share(text: str) -> float:
    """The share (0..1) of the words that stand in questions of at most `_SHORT_QUESTION` words."""
    total = asked = 0
    for sentence in _sentences(text):
        count = _word_count(sentence)
        total += count
        if count <= _SHORT_QUESTION and sentence.rstrip("!.\"'”’) ").endswith(_ASKS):
            asked += count
    return asked / total if total else 0.0


def time_words(text: str) -> int:
    """How many words of `text` speak of a time, in the languages known, at most 2."""
    count = 0
    for _ in _TIME_WORDS.finditer(text.lower()):
        count += 1
        if count == 2:
            break
    return count
