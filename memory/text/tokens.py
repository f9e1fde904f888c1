"""How many tokens a text costs: an estimate that errs high for every script, or a real tokenizer's count."""

import json
import math
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from memory.errors import Invalid, shown
from memory.ports import TokenCounter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_WORDS = re.compile(r"[A-Za-z]+")
_JOINTS = re.compile(r"[\"{}\[\]:,]{2,4}")
"""Between the values of JSON: common vocabularies have one token for two or three of these signs."""
_SPACES = re.compile(r" {2,}| (?=[0-9])")
_WIDE = re.compile(r"[^\x00-\x7f]+")
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
# Common vocabularies have one token for each of these, and for most of their endings.
_COMMON_TEXT = """
a able about above accept account across act active actual add address after afternoon again against age ago agree air
all allow almost alone along already also always am amount an and animal another answer any anything appear apple apply
april august ahead appointment area arm around arrive art as ask at available avoid away baby back bad bag bank base
basic be bear beautiful because become bed before begin behind believe below best better between beyond big bike bill
bird bit black blue board boat body book born both bottom box boy brain bread break breakfast bring bought brother brown
budget build building bus business but buy by call came can car card care carry case cat catch cause center central
certain chance change charge cheap check cheese chicken child children choice choose church city class clean clear click
close clothes code coffee cold color colour come comment common company compare complete computer concern condition
consider contact contain continue control conversation cook cool copy correct cost could country couple course cover
create cup current customer cut daily dark data date daughter day dead deal dear death december decide decision deep
default degree delay delete deliver depend describe design detail develop did die different difficult dinner direct
discuss do doctor document does dog dollar done door down draw dream dress drink drive drop dry due during each early
earth east easy eat edge education effect egg eight either else email employee end energy english enjoy enough enter
entire error especially euro even evening event ever every everyone everything exact example except expect experience
explain extra eye face fact fail fair fall false family far farm fast father favorite fear feature february feed feel
feet fell felt few field fight figure file fill final find fine finish fire first fish fit five fix flat flight floor
flow flower fly focus folder follow food foot for force forget form former forward found four free fresh friday friend
from front fruit full function fun further future game garden gas gave general get gift girl give glad glass go goal
gold gone good got government great green ground group grow guess guest guide hair half hand happen happy hard has hat
hate have he head health hear heart heat heavy held hello help her here high hike him his history hit hold hole holiday
home hope horse hospital hot hotel hour house how however huge human hundred husband ice idea if image important improve
in include increase indeed inform information inside install instead interest into invite is issue it item its january
job join july june just keep key kid kill kind kitchen knew know land language large last late later laugh law lead
learn least leave left leg less let letter level library lie life light like likely limit line link list listen little
live load local long look lose lost lot loud love low lower lunch machine made mail main make man manage manager many
map march mark market married match matter may maybe me meal mean meat medical meet meeting member memory mention menu
message met method middle might mile milk mind minute miss mistake model modern moment monday money month moon more
morning most mother mountain mouth move movie much music must my myself name national nature near necessary need network
never new news next nice night nine no none normal north not note nothing notice november now number october of off
offer office often oh oil ok okay old on once one online only open option or orange order other our out outside over own
page paint pair paper parent park part party pass past pay people per percent perfect perhaps period person phone photo
pick picture piece place plan plane plant play please plus point police poor popular position possible post power
practice prefer prepare present president press pretty price print private probably problem process produce product
program project promise proper property protect prove provide public pull purpose push put quality quarter question
quick quiet quite rain raise ran range rate rather reach read ready real reason receive recent record red reduce refer
region regular relate release remain remember remind remove rent repair repeat replace reply report request require
reserve rest restaurant result return rice rich ride right ring rise river road rock roll room round route rule run safe
said sale salt same sat saturday save saw say scale school science score screen sea search season second section
security see seem seen self sell send sense sent separate september series serious serve server service session set
seven several shall share she ship shirt shoe shop short should show side sign simple since sing single sister sit site
six size skin sleep slow small smile snow so social soft software some someone something sometimes son song soon sorry
sort sound soup source south space speak special specific speed spend spoke sport spot spring stage stand standard star
start state station status stay step still stone stop store storm story strange street strong student study stuff style
subject such sugar suggest summer sun sunday support suppose sure surprise sweet swim system table take talk tall tax
tea teach teacher team tell ten term test text than thank that the their them then there these they thing think third
this those though thought thousand three through thursday ticket time tired title to today together told tomorrow
tonight too took tool top total touch toward town track trade traffic train travel tree trip trouble true trust truth
try tuesday turn two type under understand unit until up update upon us use user usual value various version very view
village visit voice wait walk wall want war warm was wash watch water way we wear weather wednesday week weekend weight
well went were west what when where whether which while white who whole why wide wife will win wind window wine winter
wish with within without woman women wonder wood word work world worry would write wrong year yellow yes yesterday yet
you young your
"""
_COMMON = frozenset(_COMMON_TEXT.split())
_ENDINGS = ("s", "es", "d", "ed", "ing", "ly", "er", "r")
_CASE_CHANGE = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_NO_WORD = re.compile(r"[^aeiouyAEIOUY]{5}")
_LONGEST_WORD = 24
"""Letters. What runs on beyond is no word, and each letter more costs the same wherever it is cut."""
_SPARE = 1.05
_JOINED = 0.6
_PIECE = 100_000
_KEPT_WORD = 32
# (first code point, last, tokens a character): the worst that common vocabularies (100k and 200k byte-pair, Claude's
# older one, Qwen, Mistral, DeepSeek) needed for ordinary prose, rounded up. Scripts not listed cost their UTF-8 bytes.
_SCRIPTS = (
    (0x80, 0x24F, 1.25),
    (0x370, 0x3FF, 1.3),
    (0x400, 0x4FF, 0.85),
    (0x530, 0x58F, 2.05),
    (0x590, 0x5FF, 1.2),
    (0x600, 0x6FF, 1.2),
    (0x900, 0x97F, 1.3),
    (0xE00, 0xE7F, 2.0),
    (0x1E00, 0x1EFF, 2.5),
    (0x2010, 0x203F, 2.0),
    (0x20A0, 0x20CF, 2.0),
    (0x3000, 0x30FF, 1.2),
    (0x4E00, 0x9FFF, 1.5),
    (0xAC00, 0xD7AF, 1.55),
)


class EstimatedTokens:
    """A TokenCounter without a vocabulary: about a quarter above the truth for English, more for code and JSON.

    Each word, sign and wide character has a price of its own, whatever stands around it: a text costs what its parts
    cost together, at any length, but for a token where a word is cut.
    """

    def count(self, text: str) -> int:
        """Tokens of `text`, in time that grows with its length."""
        words = Counter(_WORDS.findall(text))
        letters = sum(len(word) * count for word, count in words.items())
        total: float = len(text) - letters - text.count(" ")
        total += sum(_word(word) * count for word, count in words.items())
        total += sum((1 + len(spaces) // 4) * count for spaces, count in Counter(_SPACES.findall(text)).items())
        total -= sum((len(joint) - 1) * count for joint, count in Counter(_JOINTS.findall(text)).items()) * _JOINED
        if not text.isascii():
            wide = Counter("".join(_WIDE.findall(text)))
            total += sum((_wide(character) - 1) * count for character, count in wide.items())
        return math.ceil(round(total * _SPARE, 6))


class TokenizerTokens:
    """A TokenCounter over a real tokenizer; special tokens are not counted."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """Tokens of `text`, a long one piece by piece."""
        pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
        return sum(len(self._tokenizer.encode(piece, add_special_tokens=False).ids) for piece in pieces)


def tokenizer_counter(path_or_name: str) -> TokenCounter:
    """The counter of a `tokenizer.json` (a file, or a folder that holds one), or of a hub model named `owner/model`.

    Only a name that is no path is looked up at the hub, and only because it was configured. Errors: Invalid.
    """
    from tokenizers import Tokenizer

    path = Path(path_or_name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            return TokenizerTokens(Tokenizer.from_file(str(file)))
        if path.suffix != ".json" and not path.is_absolute() and _HUB_NAME.fullmatch(path_or_name):
            return TokenizerTokens(Tokenizer.from_pretrained(path_or_name))
    except Exception as error:  # the library raises bare Exception
        raise Invalid(
            f"The tokenizer {shown(path_or_name)}",
            f"could not be read ({shown(str(error))})",
            "give the path of a tokenizer.json file, or leave it out to estimate",
        ) from error
    raise Invalid(
        f"The tokenizer {shown(path_or_name)}",
        "is not there",
        "give the path of a tokenizer.json file, or leave it out to estimate",
    )


def json_text(value: object) -> str:
    """`value` as compact JSON, keys in their order, non-ASCII kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _word(word: str) -> float:
    return _kept_word(word) if len(word) <= _KEPT_WORD else _priced_word(word)


@lru_cache(maxsize=16384)
def _kept_word(word: str) -> float:
    return _priced_word(word)


def _priced_word(word: str) -> float:
    """What a run of letters costs; never more than its letters."""
    length = len(word)
    if length <= 2:
        return 1
    if length > _LONGEST_WORD:
        return length / 1.4
    if _NO_WORD.search(word):
        return length / 1.4
    if _CASE_CHANGE.search(word):
        return 1 + length / 1.7
    if word.isupper():
        return 1 + length / 2.5
    return 1 if _is_common(word.lower()) else max(1.0, length / 2.6)


def _is_common(word: str) -> bool:
    """Whether it is listed, or but for an ending."""
    if word in _COMMON:
        return True
    stems = (word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))
    return any(stem in _COMMON or stem + "e" in _COMMON for stem in stems if len(stem) > 2)


@lru_cache(maxsize=8192)
def _wide(character: str) -> float:
    point = ord(character)
    for first, last, cost in _SCRIPTS:
        if first <= point <= last:
            return cost
    return len(character.encode("utf-8", "surrogatepass"))
