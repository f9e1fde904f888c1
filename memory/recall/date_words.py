"""The words of time in the languages understood, each translated to one small vocabulary.

A translation is a mark: `month:5`, `weekday:0` (Monday), `unit:week`, `season:summer`, `day:-1` (yesterday), `last`, `this`,
`next`, `ago`, `back` (the last few), `since`, `until`, `before`, `after`, `between`, `and`, `number:2`, `feast:12-25`, `fill`
(passed over inside a date). Words are casefolded and folded, so `märz` stands as `marz`.
"""

from collections.abc import Mapping
from functools import cache

_MONTHS = {
    "english": "january february march april may june july august september october november december",
    "german": "januar februar marz april mai juni juli august september oktober november dezember",
    "french": "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "spanish": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "portuguese": "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "italian": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "dutch": "januari februari maart april mei juni juli augustus september oktober november december",
    "russian": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "arabic": "يناير فبراير مارس ابريل مايو يونيو يوليو اغسطس سبتمبر اكتوبر نوفمبر ديسمبر",
}
_MORE_MONTHS = {
    "english": "jan feb mar apr - jun jul aug sep oct nov dec|- - - - - - - - sept - - -",
    "german": "jan feb mrz apr - jun jul aug sep okt nov dez|janner feber maerz - - - - - sept - - -",
    "french": "janv fevr - avr - - juil - sept oct nov dec",
    "spanish": "ene feb - abr - jun jul ago sept oct nov dic|- - - - - - - - setiembre - - -",
    "portuguese": "jan fev - abr - jun jul ago - out nov dez",
    "italian": "gen feb - apr - giu lug ago sett ott nov dic",
    "dutch": "jan feb mrt apr - jun jul aug sept okt nov dec",
    "russian": "январе феврале марте апреле мае июне июле августе сентябре октябре ноябре декабре"
    "|январь февраль март апрель маи июнь июль август сентябрь октябрь ноябрь декабрь",
    "arabic": "- - - نيسان - - - - - - - -",
}
_WEEKDAYS = {
    "english": "monday tuesday wednesday thursday friday saturday sunday",
    "german": "montag dienstag mittwoch donnerstag freitag samstag sonntag|- - - - - sonnabend -",
    "french": "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "spanish": "lunes martes miercoles jueves viernes sabado domingo",
    "portuguese": "segunda terca quarta quinta sexta sabado domingo",
    "italian": "lunedi martedi mercoledi giovedi venerdi sabato domenica",
    "dutch": "maandag dinsdag woensdag donderdag vrijdag zaterdag zondag",
    "russian": "понедельник вторник среду четверг пятницу субботу воскресенье|понедельника вторника среды четверга пятницы субботы"
    " воскресенья|- - среда - пятница суббота -",
    "arabic": "الاثنين الثلاثاء الاربعاء الخميس الجمعه السبت الاحد",
}
_UNITS = {
    "english": "day days|week weeks|weekend weekends|month months|year years",
    "german": "tag tage tagen|woche wochen|wochenende|monat monate monaten monats|jahr jahre jahren jahres",
    "french": "jour jours|semaine semaines|weekend week-end|mois|an ans annee annees",
    "spanish": "dia dias|semana semanas|finde|mes meses|ano anos",
    "portuguese": "dia dias|semana semanas|fds|mes meses|ano anos",
    "italian": "giorno giorni|settimana settimane|weekend|mese mesi|anno anni",
    "dutch": "dag dagen|week weken|weekend|maand maanden|jaar jaren",
    "russian": "день дня днеи|неделя недели неделе неделю недель|выходные выходных|месяц месяца месяце месяцев|год года году лет",
    "arabic": "يوم ايام|اسبوع الاسبوع اسابيع|-|شهر الشهر اشهر شهور|سنه السنه سنوات عام العام اعوام",
}
_NUMBERS = {
    "english": "one two three four five six seven eight nine ten eleven twelve|a couple several|an - few",
    "german": "einem zwei drei vier funf sechs sieben acht neun zehn elf zwolf|einer - paar|ein - einigen",
    "french": "un deux trois quatre cinq six sept huit neuf dix onze douze|une - quelques",
    "spanish": "un dos tres cuatro cinco seis siete ocho nueve diez once doce|una par unos|uno - unas",
    "portuguese": "um dois tres quatro cinco seis sete oito nove dez onze doze|uma duas alguns|- - algumas",
    "italian": "un due tre quattro cinque sei sette otto nove dieci undici dodici|una paio qualche",
    "dutch": "een twee drie vier vijf zes zeven acht negen tien elf twaalf|- paar enkele",
    "russian": "один два три четыре пять шесть семь восемь девять десять - -|- две несколько",
    "arabic": "- - ثلاثه اربعه خمسه سته سبعه ثمانيه تسعه عشره - -|- - ثلاث اربع خمس ست سبع ثماني تسع عشر - -",
}
_SEASONS = {
    "english": "spring|summer|autumn fall|winter",
    "german": "fruhling fruhjahr|sommer|herbst|winter",
    "french": "printemps|ete|automne|hiver",
    "spanish": "primavera|verano|otono|invierno",
    "portuguese": "primavera|verao|outono|inverno",
    "italian": "primavera|estate|autunno|inverno",
    "dutch": "lente voorjaar|zomer|herfst najaar|winter",
    "russian": "весна весной весну|лето летом|осень осенью|зима зимой зиму",
    "arabic": "الربيع|الصيف|الخريف|الشتاء",
}
_OTHERS = {
    "english": """yesterday=day:-1 today=day:0 tonight=day:0 tomorrow=day:1 last=last past=back previous=last prior=last this=this
        next=next coming=next upcoming=next ago=ago back=ago earlier=ago since=since until=until till=until before=before
        after=after following=after between=between from=between and=and to=and through=and of=fill the=fill in=fill on=fill
        during=fill early=fill late=fill mid=fill at=fill christmas=feast:12-25 xmas=feast:12-25 halloween=feast:10-31
        morning=part evening=part afternoon=part night=part""",
    "german": """gestern=day:-1 heute=day:0 morgen=day:1 vorgestern=day:-2 ubermorgen=day:2 letzte=last letzten=last letzter=last
        letztes=last letztem=last vergangene=last vergangenen=last vorige=last vorigen=last voriges=last diese=this diesen=this
        dieser=this dieses=this diesem=this nachste=next nachsten=next nachster=next nachstes=next kommende=next kommenden=next
        vor=ago seit=since bis=until nach=after zwischen=between und=and am=fill im=fill in=fill der=fill den=fill dem=fill
        des=fill von=between weihnachten=feast:12-25 silvester=feast:12-31 vom=between""",
    "french": """hier=day:-1 demain=day:1 dernier=last derniere=last derniers=back dernieres=back passe=last
        passee=last ce=this cet=this cette=this prochain=next prochaine=next depuis=since jusqu=until avant=before
        apres=after entre=between et=and de=fill du=fill le=fill la=fill en=fill au=fill l=fill d=fill noel=feast:12-25""",
    "spanish": """ayer=day:-1 hoy=day:0 manana=day:1 anteayer=day:-2 pasado=last pasada=last pasados=back ultimo=last ultima=last
        ultimos=back ultimas=back este=this esta=this proximo=next proxima=next hace=ago desde=since hasta=until antes=before
        despues=after entre=between y=and de=fill del=fill el=fill la=fill los=fill las=fill en=fill que=fill
        navidad=feast:12-25""",
    "portuguese": """ontem=day:-1 hoje=day:0 amanha=day:1 anteontem=day:-2 passado=last passada=last ultimo=last ultima=last
        ultimos=back ultimas=back este=this esta=this neste=this nesta=this proximo=next proxima=next ha=ago atras=ago
        desde=since ate=until antes=before depois=after entre=between e=and de=fill do=fill da=fill o=fill a=fill em=fill
        no=fill na=fill nos=fill nas=fill feira=fill natal=feast:12-25""",
    "italian": """ieri=day:-1 oggi=day:0 domani=day:1 scorso=last scorsa=last scorsi=back scorse=back passato=last
        passata=last ultimi=back ultime=back ultimo=last ultima=last questo=this questa=this prossimo=next prossima=next fa=ago
        da=since dal=since dalla=since fino=until prima=before dopo=after tra=between fra=between e=and di=fill del=fill
        il=fill la=fill l=fill lo=fill nel=fill in=fill nella=fill natale=feast:12-25""",
    "dutch": """gisteren=day:-1 vandaag=day:0 morgen=day:1 eergisteren=day:-2 overmorgen=day:2 vorige=last vorig=last
        afgelopen=last laatste=back deze=this dit=this volgende=next volgend=next komende=next geleden=ago sinds=since tot=until
        voor=before na=after tussen=between en=and van=fill op=fill in=fill de=fill het=fill kerst=feast:12-25""",
    "russian": """вчера=day:-1 вчора=day:-1 сегодня=day:0 завтра=day:1 позавчера=day:-2 послезавтра=day:2 прошлои=last прошлом=last
        прошлыи=last прошлую=last прошлое=last прошлым=last прошлого=last прошлая=last последние=back последних=back этои=this
        этом=this этот=this эту=this это=this следующеи=next следующем=next следующии=next следующую=next назад=ago с=since
        до=until после=after между=between и=and в=fill во=fill на=fill за=fill г=fill""",
    "arabic": """امس=day:-1 البارحه=day:-1 اليوم=day:0 غدا=day:1 الماضي=last الماضيه=last الماضيين=last هذا=this هذه=this القادم=next
        القادمه=next المقبل=next المقبله=next قبل=ago منذ=since حتي=until بعد=after بين=between في=fill من=fill يوم=fill
        يومين=days:2 اسبوعين=weeks:2 شهرين=months:2 سنتين=years:2 عامين=years:2 الايام=unit:day الاسابيع=unit:week
        الاشهر=unit:month السنوات=unit:year""",
}

PHRASES: tuple[tuple[str, str], ...] = (
    ("the day before yesterday", " day:-2 "),
    ("day before yesterday", " day:-2 "),
    ("the day after tomorrow", " day:2 "),
    ("last night", " day:-1 "),
    ("this morning", " day:0 "),
    ("this afternoon", " day:0 "),
    ("this evening", " day:0 "),
    ("a couple of", " number:2 "),
    ("a few", " number:3 "),
    ("new year's eve", " feast:12-31 "),
    ("new years eve", " feast:12-31 "),
    ("new year's day", " feast:1-1 "),
    ("new year's", " feast:1-1 "),
    ("valentine's day", " feast:2-14 "),
    ("il y a", " ago:0 "),
    ("avant-hier", " day:-2 "),
    ("aujourd'hui", " day:0 "),
    ("l'altro ieri", " day:-2 "),
    ("week-end", " unit:weekend "),
    ("fin de semana", " unit:weekend "),
    ("fim de semana", " unit:weekend "),
    ("fine settimana", " unit:weekend "),
    ("اول امس", " day:-2 "),
    ("نهايه الاسبوع", " unit:weekend "),
)
"""Replaced in the folded text before its words are looked at."""

_NAMES = ("month", "weekday", "unit", "number")
_KINDS = ("day", "week", "weekend", "month", "year")
_SEASON_NAMES = ("spring", "summer", "autumn", "winter")


@cache
def lexicon(language: str) -> Mapping[str, str]:
    """Folded word -> mark, for one of snowball's names; empty where the language is not known."""
    found: dict[str, str] = {}
    if language not in _MONTHS:
        return found
    for rows, kind, first in ((_NUMBERS, "number", 1), (_WEEKDAYS, "weekday", 0), (_MONTHS, "month", 1)):
        for row in rows[language].split("|"):
            found.update((word, f"{kind}:{n}") for n, word in enumerate(row.split(), first) if word != "-")
    for row in _MORE_MONTHS[language].split("|"):
        found.update((word, f"month:{n}") for n, word in enumerate(row.split(), 1) if word != "-")
    for names, kind, rows in ((_KINDS, "unit", _UNITS), (_SEASON_NAMES, "season", _SEASONS)):
        for name, row in zip(names, rows[language].split("|"), strict=True):
            found.update((word, f"{kind}:{name}") for word in row.split() if word != "-")
    found.update(tuple(pair.split("=")) for pair in _OTHERS[language].split())  # type: ignore[misc]
    return found


UNSPACED: tuple[tuple[str, str], ...] = tuple(
    tuple(pair.split("="))  # type: ignore[misc]
    for pair in """一昨日=day:-2 おととい=day:-2 昨日=day:-1 きのう=day:-1 昨夜=day:-1 今日=day:0 明日=day:1 前天=day:-2 昨天=day:-1
    今天=day:0 明天=day:1 后天=day:2 先週=last_unit:week 今週=this_unit:week 来週=next_unit:week 先月=last_unit:month
    今月=this_unit:month 来月=next_unit:month 去年=last_unit:year 昨年=last_unit:year 今年=this_unit:year 来年=next_unit:year
    明年=next_unit:year 上周末=last_unit:weekend 上个周末=last_unit:weekend 先週末=last_unit:weekend 上周=last_unit:week
    上星期=last_unit:week 上个星期=last_unit:week 上个月=last_unit:month 上月=last_unit:month 这周=this_unit:week 本周=this_unit:week
    这个月=this_unit:month 本月=this_unit:month 下周=next_unit:week 下个月=next_unit:month 一周=number:1_unit:week
    ヶ月=unit:month か月=unit:month カ月=unit:month ヵ月=unit:month 个月=unit:month 週間=unit:week 星期前=unit:week_ago
    周前=unit:week_ago 週前=unit:week_ago 日前=unit:day_ago 天前=unit:day_ago 年前=unit:year_ago 之前=ago 以前=ago 前=ago
    以来=since_after 月曜日=weekday:0 火曜日=weekday:1 水曜日=weekday:2 木曜日=weekday:3 金曜日=weekday:4 土曜日=weekday:5
    日曜日=weekday:6 月曜=weekday:0 火曜=weekday:1 水曜=weekday:2 木曜=weekday:3 金曜=weekday:4 土曜=weekday:5 日曜=weekday:6
    星期一=weekday:0 星期二=weekday:1 星期三=weekday:2 星期四=weekday:3 星期五=weekday:4 星期六=weekday:5 星期日=weekday:6
    星期天=weekday:6 周一=weekday:0 周二=weekday:1 周三=weekday:2 周四=weekday:3 周五=weekday:4 周六=weekday:5 周日=weekday:6
    春=season:spring 夏=season:summer 秋=season:autumn 冬=season:winter""".split()
)
"""Chinese and Japanese: (what stands in the text, marks joined by _), longer ones first where one begins another."""
