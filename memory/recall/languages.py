"""Which languages a text may be in, its function words, and its stemmers.

Detection looks at function words alone, so it is cheap and deterministic; where it leaves a tie, every tied language
stays plausible and a word is analysed under each of them. A query and a document then agree on at least one term even
where they were read as different languages.
"""

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from Stemmer import Stemmer

_FUNCTION_WORDS: dict[str, frozenset[str]] = {
    name: frozenset(words.split())
    for name, words in {
        "english": """a an the and or but if of to in on at by for from with about into as is are was were be been being am
            do does did done have has had having i me my mine we us our you your he him his she her hers it its they them
            their this that these those there here who whom whose which what when where why how not no so than then too
            can could will would shall should may might must also just during much many most any some s t ve ll re d m don
            tell please remind""",
        "german": """der die das den dem des ein eine einen einem einer eines und oder aber wenn weil dass ob als wie von vom zu
            zum zur in im an am auf aus bei mit nach über unter vor für um ist sind war waren wird werden wurde wurden sein
            bin bist habe hast hat haben hatte hatten ich du er sie es wir ihr mich dich ihn uns euch mir dir ihm ihnen mein
            meine meinen meinem meiner dein deine deinen deinem sein seine seinen ihre ihren unser unsere was wer wo wann
            warum welche welcher welches welchen nicht kein keine auch nur noch schon sehr so da hier dann gibt gab kann
            konnte soll sollte muss möchte bitte man wieviel viele gesagt sag mal denn doch""",
        "french": """le la les l un une des du de d et ou mais si que qu qui quoi dont où quand comment pourquoi combien quel
            quelle quels quelles à au aux en dans sur sous par pour avec sans chez vers est sont était étaient être été ai as
            a avons avez ont avait avaient je j tu il elle on nous vous ils elles me m te t se s lui leur leurs mon ma mes ton
            ta tes son sa ses notre nos votre vos ce c cet cette ces ça ne n pas plus aussi très y déjà fait faire suis es
            sommes êtes quelque hier avant""",
        "spanish": """el la los las un una unos unas de del al y e o u pero si que qué quién quien quiénes cuál cuáles cuándo
            cuando dónde donde cómo como cuánto cuántos cuántas por para con sin sobre en entre desde hasta a es son era eran
            fue fueron ser está están estaba estoy he has ha hemos han había yo tú él ella nosotros ellos ellas me te se nos
            le les lo mi mis tu tus su sus nuestro nuestra este esta esto estos estas ese esa eso no ni ya muy más también
            hay hace soy eres qué""",
        "portuguese": """o a os as um uma uns umas de do da dos das no na nos nas ao à aos às e ou mas se que quem qual quais
            quando onde como quanto quantos quantas por pelo pela para pra com sem sobre em entre desde até é são era eram
            foi foram ser está estão estava estou sou tenho tem têm tinha há eu tu você ele ela nós vocês eles elas me te se
            lhe meu minha meus minhas teu tua seu sua seus suas nosso nossa este esta isto esse essa isso aquele não nem já
            muito mais também porque""",
        "italian": """il lo la i gli le l un uno una di del dello della dei degli delle d a al allo alla ai agli alle da dal
            dalla dai in nel nello nella nei nelle su sul sulla con per tra fra e ed o ma se che chi cui quale quali quando
            dove come quanto quanti quante perché è sono era erano essere stato stata ho hai ha abbiamo hanno aveva avevo io
            tu lui lei noi voi loro mi ti si ci vi mio mia miei mie tuo tua suo sua nostro nostra questo questa questi queste
            quello quella non né anche già molto più cosa c sei""",
        "dutch": """de het een en of maar als dat die dit deze van naar in op aan bij met voor door over uit om te tot onder
            tegen is zijn was waren wordt worden werd ben bent heb hebt heeft hebben had hadden ik jij je u hij zij ze wij we
            jullie mij me hem haar ons hun mijn jouw uw onze wat wie waar wanneer waarom hoe welke welk hoeveel niet geen ook
            nog al zeer heel er hier daar dan kan kon moet wil zou zal naartoe""",
        "swedish": """och att det som en ett den de är var jag du han hon vi ni inte på av för med till från om har hade min
            mitt mina din ditt sin så vad vem när hur varför vilken vilka eller men också mycket kan ska skulle blev hos mig
            dig oss""",
        "danish": """og at det som en et den de er var jeg du han hun vi ikke på af for med til fra om har havde min mit mine
            din dit sin så hvad hvem hvornår hvordan hvorfor hvilken hvilke eller men også meget kan skal skulle blev hos mig
            dig os hvor""",
        "polish": """i w na z do się nie to że jest są był była było być jak co kto kiedy gdzie dlaczego ile który która które
            mój moja moje mam masz ma dla po od za przez ale lub czy ja ty on ona my wy tak też już bardzo mnie mi o u""",
        "turkish": """ve bir bu şu o ne mi mı mu mü için ile de da ben sen biz siz onlar benim senin var yok değil gibi daha
            çok nasıl neden nerede zaman hangi kaç kim olarak ama veya ki dün bugün ne geçen dedi dedim""",
        "russian": """и в во на с со к у о об от до из за по для не ни но а или что чтобы кто кого где когда как почему зачем
            сколько какой какая какое какие который я ты он она оно мы вы они меня мне мной тебя тебе его ему её ей нас нам
            вас вам их им мой моя моё мои мою моего моей твой твоя твои свой был была было были быть есть это этот эта эти
            тот та те так же ли бы уже ещё еще при про мы очень чем""",
        "arabic": """في من على إلى الى عن مع هذا هذه ذلك تلك التي الذي الذين ما ماذا متى أين اين كيف لماذا كم هل أنا انا أنت
            انت هو هي نحن هم كان كانت كنت يكون لا لم لن ليس قد و أو او ثم أن ان إن عند عندي لي لك له لها بعد قبل كل أي اي بي""",
    }.items()
}
"""By snowball's name of the language; both the stop words of queries and the marks that detection looks for."""

_MAIN_LATIN = ("english", "german", "french", "spanish", "portuguese", "italian", "dutch")
"""Assumed where a text shows no function word at all."""

LONGEST_WORD = 64
"""Characters. What is longer is no word of any language: it is neither stemmed nor kept in a cache."""

_LATIN = (*_MAIN_LATIN, "swedish", "danish", "polish", "turkish")
_BY_WORD: dict[str, tuple[str, ...]] = {}
for _name in _LATIN:
    for _word in _FUNCTION_WORDS[_name]:
        _BY_WORD[_word] = (*_BY_WORD.get(_word, ()), _name)


def plausible(words: Sequence[str]) -> tuple[str, ...]:
    """The Latin-script languages that `words` (casefolded, accents kept) may be in, one when it is evident."""
    counts: dict[str, int] = {}
    for word in words:
        for name in _BY_WORD.get(word, ()):
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return _MAIN_LATIN
    best = max(counts.values())
    return tuple(name for name in _LATIN if counts.get(name) == best)


def is_grammar(word: str) -> bool:
    """Whether `word` carries grammar alone in any language of Latin script."""
    return word in _BY_WORD


def is_function_word(word: str, languages: Sequence[str]) -> bool:
    """Whether `word` carries grammar alone in one of `languages` of Latin script, or in that of its own script."""
    script = script_language(word)
    if script:
        return word in _FUNCTION_WORDS.get(script, ())
    return any(name in languages for name in _BY_WORD.get(word, ()))


def script_language(word: str) -> str | None:
    """The language whose stemmer suits a word of a script other than Latin; '' where the script has none; None: Latin."""
    return _script_language(word[:LONGEST_WORD])


@lru_cache(maxsize=65_536)
def _script_language(word: str) -> str | None:
    for char in word:
        code = ord(char)
        if code < 0x370:
            continue
        if code < 0x400 or 0x1F00 <= code < 0x2000:
            return "greek"
        if code < 0x530:
            return "" if any(c in "іїєґў" for c in word) else "russian"
        if code < 0x590:
            return "armenian"
        if 0x600 <= code < 0x700:
            return "persian" if any(c in "پچژگکی" for c in word) else "arabic"
        if 0x900 <= code < 0x980:
            return "hindi"
        if 0xB80 <= code < 0xC00:
            return "tamil"
        if code < 0x1E00 or code >= 0x2C60:
            return ""
    return None


class _Stemmers(threading.local):
    """A stemmer keeps the word that it works on in itself: each thread has its own, or words come out mixed up."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def __call__(self, language: str) -> Any:
        if language not in self.made:
            self.made[language] = Stemmer(language, 0)  # no cache of its own: `variants` has one
        return self.made[language]


_stemmer = _Stemmers()


def stem(word: str, language: str) -> str:
    """The stem of one casefolded word; the word itself where nothing would be left."""
    return str(_stemmer(language).stemWord(word)) or word
