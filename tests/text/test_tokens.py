"""Token counts: the estimate errs high for every script; a configured tokenizer counts exactly."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from memory.errors import Invalid
from memory.text.tokens import EstimatedTokens, tokenizer_counter

# The largest count that six vocabularies gave (cl100k, o200k, Claude's older one, Qwen, Mistral tekken, DeepSeek).
MEASURED = {
    "I moved to Lisbon in March because the rent in Dublin got ridiculous, and my sister Margaret already lives there "
    "with her two kids. We usually meet on Saturdays for breakfast; she makes those cinnamon rolls you once asked "
    "about.": 47,
    '{"property_id":"prop-4471","price":1250000,"bedrooms":4,"address":{"street":"12 Rua das Flores","zip":"1200-195"}'
    ',"amenities":["pool","garage"],"ok":true,"score":0.8731}': 71,
    "c29tZSByYW5kb20gYnl0ZXMgdGhhdCBhcmUgbm90IHRleHQ7IGp1c3QgZm9yIHRlc3RpbmcgdGhlIHRva2VuaXplcg==QmFzZTY0WnhR"
    "cTkKjvHk": 89,
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": 59,
    "qwzrtplkjhg xcvbnmfds zxqwvbk pqrstvwx aaaaabbbbcccdd zzzyxwv": 38,
    "3.14159265358979323846 2024-11-21 17:45:33 +49 151 2345 6789 1,234,567.89 00012345": 81,
    "Die Versicherungsbestätigung für das Haus in Köln-Ehrenfeld muss bis nächsten Donnerstag unterschrieben "
    "zurückgeschickt werden, sonst verfällt die Reservierung. Könntest du Frau Müller daran erinnern?": 61,
    "Huomenna iltapäivällä menemme yhdessä katsomaan asuntoa Jyväskylän keskustassa, koska vuokrasopimuksemme päättyy "
    "kesäkuussa ja kissammekin tarvitsee enemmän tilaa.": 72,
    "Chiều mai chúng tôi sẽ gặp người môi giới vì hợp đồng thuê căn hộ ở Đà Nẵng hết hạn vào tháng sáu và chủ nhà "
    "không trả lời tin nhắn.": 98,
    "Завтра после обеда мы встречаемся с риелтором, потому что договор аренды квартиры в Казани заканчивается в июне, "
    "а хозяйка не отвечает на сообщения.": 74,
    "Αύριο το απόγευμα συναντάμε τον μεσίτη, γιατί το συμβόλαιο ενοικίασης του διαμερίσματος στη Θεσσαλονίκη λήγει "
    "τον Ιούνιο.": 131,
    "غداً بعد الظهر سنلتقي بالوسيط العقاري لأن عقد إيجار الشقة في عمّان ينتهي في حزيران والمالكة لا ترد على "
    "الرسائل.": 101,
    "מחר אחר הצהריים ניפגש עם המתווך, כי חוזה השכירות של הדירה בחיפה נגמר ביוני ובעלת הבית לא עונה להודעות.": 96,
    "कल दोपहर हम दलाल से मिलेंगे क्योंकि जयपुर वाले फ्लैट का किराया समझौता जून में समाप्त हो रहा है और मकान मालकिन जवाब नहीं देती।": 131,
    "พรุ่งนี้ตอนบ่ายเราจะไปพบนายหน้า เพราะสัญญาเช่าอพาร์ตเมนต์ที่เชียงใหม่จะหมดอายุในเดือนมิถุนายน": 162,
    "ស្អែកពេលរសៀល យើងនឹងជួបភ្នាក់ងារ ព្រោះកិច្ចសន្យាជួលផ្ទះនៅភ្នំពេញនឹងផុតកំណត់": 218,
    "ხვალ ნაშუადღევს აგენტს შევხვდებით, რადგან თბილისის ბინის იჯარის ხელშეკრულება ივნისში იწურება.": 174,
    "Վաղը կեսօրից հետո կհանդիպենք միջնորդին, քանի որ Երևանի բնակարանի վարձակալության պայմանագիրը ավարտվում է "
    "հունիսին։": 214,
    "明天下午我们去见中介，因为成都那套公寓的租约六月到期，房东一直不回消息。你能提醒我带上护照复印件和"
    "押金收据吗？": 67,
    "明日の午後、不動産屋さんに会います。京都のアパートの契約が六月で切れるのに、大家さんから返事がないからです。カタカナのテスト、"
    "ミーティングをリスケジュール。": 80,
    "내일 오후에 부동산 중개인을 만날 거예요. 부산 아파트 계약이 유월에 끝나는데 집주인이 답장을 안 하거든요.": 68,
    "😀🎉👩‍👩‍👧‍👦🏳️‍🌈✨🔥💯🙏🏽🚀❤️ ☕️🍕🥐🇵🇹🇩🇪": 96,
    "𒀀𒁀𓀀𓂀ᚠᚢᚦ ꦲꦤ ⵣⵎ 𐍈𐌰 ᠮᠣᠩ བོད་ཡིག ሀ ᏣᎳᎩ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢": 110,
}


@pytest.mark.parametrize("text", MEASURED, ids=lambda text: text[:12])
def test_the_estimate_is_at_least_what_the_worst_vocabulary_needs(text: str) -> None:
    assert EstimatedTokens().count(text) >= MEASURED[text]


def test_the_estimate_for_english_stays_usable() -> None:
    text = next(iter(MEASURED))
    assert EstimatedTokens().count(text) <= 1.5 * MEASURED[text]


@given(st.text(max_size=300))
def test_the_estimate_is_bounded_by_bytes_and_zero_only_for_nothing(text: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    count = EstimatedTokens().count(text)
    assert 0 <= count <= size * 1.1 + 2
    assert (count == 0) == (not text) or not text.strip(" ")


PARTS = st.lists(st.sampled_from([*MEASURED, "word " * 300, "QmFzZTY0" * 40, "a" * 500, "\n\n", "  "]), max_size=8)


@given(PARTS, PARTS)
def test_the_whole_costs_what_its_parts_cost(before: list[str], after: list[str]) -> None:
    counter, (first, second) = EstimatedTokens(), (" ".join(before), " ".join(after))
    parts = counter.count(first) + counter.count(second)
    assert abs(counter.count(f"{first} {second}") - parts) <= 2


@given(st.sampled_from([*MEASURED, "QmFzZTY0" * 90, "ab12" * 99, "x" * 700]), st.integers(0, 700))
def test_wherever_a_text_is_cut_its_parts_cost_what_it_did(text: str, place: int) -> None:
    counter = EstimatedTokens()
    parts = counter.count(text[:place]) + counter.count(text[place:])
    assert abs(counter.count(text) - parts) <= 8, "the word that is cut"


@pytest.mark.parametrize("line", MEASURED, ids=lambda text: text[:12])
def test_no_length_changes_the_measure(line: str) -> None:
    counter = EstimatedTokens()
    for times in (10, 1_000, 4_000):
        assert counter.count(line * times) == pytest.approx(counter.count(line) * times, rel=0.06)


def test_a_long_text_is_counted_fast() -> None:
    assert EstimatedTokens().count("word " * 2_000_000) == pytest.approx(2_000_000, rel=0.06)


@pytest.fixture
def tokenizer_file(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "tea": 1, "please": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_a_configured_tokenizer_counts_exactly(tokenizer_file: Path) -> None:
    for where in (tokenizer_file, tokenizer_file.parent):
        assert tokenizer_counter(str(where)).count("tea please, tea") == 4


def test_a_tokenizer_that_is_not_there_or_broken_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"is not there; give the path of a tokenizer\.json"):
        tokenizer_counter(str(tmp_path / "none.json"))
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    with pytest.raises(Invalid, match="could not be read"):
        tokenizer_counter(str(broken))
