"""Keyword search in the languages people write in: other inflections, missing accents, parts of unspaced text."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from memory.model import NewMessage, Owner
from memory.recall import Recall, SearchRequest
from memory.record.recording import record
from memory.record.sessions import Target
from storage.sql import open_store, sqlite_url

TALKS: dict[str, tuple[list[str], list[tuple[str, int]]]] = {
    "english": (
        [
            "We adopted two kittens from the shelter in March.",
            "My cousin runs a bakery beside the old station.",
            "The insurance company refused to pay for the broken window.",
            "I have been learning to play the cello since last autumn.",
        ],
        [("kitten adoption", 0), ("bakeries", 1), ("windows insured", 2), ("plays cello", 3)],
    ),
    "german": (
        [
            "Wir haben endlich eine Wohnung in der Südstadt gefunden.",
            "Der Zahnarzt hat mir zwei Füllungen gemacht.",
            "Im Sommer fahren wir mit den Fahrrädern an die Ostsee.",
            "Meine Großmutter backt den besten Apfelkuchen.",
        ],
        [("Wohnungen", 0), ("Zahnaerzte Füllung", 1), ("Fahrrad Sommer", 2), ("Grossmütter Kuchen backen", 3)],
    ),
    "french": (
        [
            "Nous avons réservé un hôtel près de la cathédrale.",
            "Ma sœur étudie la médecine à Lyon.",
            "Le café du coin ferme à dix-huit heures.",
            "J'ai perdu mes clés dans le train.",
        ],
        [("reservation hotels", 0), ("etudier medecine", 1), ("cafe", 2), ("clé perdue", 3)],
    ),
    "spanish": (
        [
            "Compramos los billetes para el concierto de mañana.",
            "El médico me recomendó caminar más.",
            "Mis vecinos tienen tres perros enormes.",
            "Aprendí a cocinar paella con mi abuela.",
        ],
        [("billete conciertos", 0), ("medico recomendaciones", 1), ("vecino perro", 2), ("cocinando paellas", 3)],
    ),
    "portuguese": (
        [
            "A reunião foi adiada para quinta-feira.",
            "Comprei um apartamento perto do metrô.",
            "Os meus irmãos jogam futebol aos domingos.",
            "O pão da padaria acabou cedo hoje.",
        ],
        [("reuniao adiar", 0), ("apartamentos metro", 1), ("irmão futebol", 2), ("pao padarias", 3)],
    ),
    "italian": (
        [
            "Abbiamo prenotato le vacanze in Sardegna.",
            "Il gatto ha rotto il vaso blu.",
            "La città organizza una mostra di fotografie.",
            "Devo pagare due bollette della luce.",
        ],
        [("prenotare vacanza", 0), ("gatti vasi", 1), ("citta fotografia", 2), ("bolletta pagata", 3)],
    ),
    "dutch": (
        [
            "We hebben een nieuwe fiets voor Sanne gekocht.",
            "De vergadering over de begroting duurde drie uur.",
            "Mijn buurman verkoopt zijn zeilboten.",
            "Het ziekenhuis belde over de uitslagen.",
        ],
        [("fietsen", 0), ("vergaderingen begrotingen", 1), ("zeilboot buurmannen", 2), ("uitslag ziekenhuizen", 3)],
    ),
    "russian": (
        [
            "Мы купили билеты в театр на субботу.",
            "Моя собака боится грозы.",
            "Врач посоветовал больше гулять.",
            "В новой квартире ещё нет мебели.",
        ],
        [("билет театры", 0), ("собаки гроза", 1), ("врачи прогулка гуляю", 2), ("квартиры мебель", 3)],
    ),
    "arabic": (
        [
            "اشتريت سيارة جديدة الأسبوع الماضي.",
            "ابنتي تدرس الهندسة في الجامعة.",
            "أحب القهوة بدون سكر.",
            "سافرنا إلى المدينة القديمة بالقطار.",
        ],
        [("السيارة", 0), ("الهندسه", 1), ("قهوة", 2), ("قطار مدينة", 3)],
    ),
    "japanese": (
        [
            "来週の火曜日に歯医者の予約があります。",
            "妹は京都の大学で化学を勉強しています。",
            "新しい自転車を買いました。",
            "コーヒーは朝だけ飲みます。",
        ],
        [("歯医者", 0), ("大学の化学", 1), ("自転車", 2), ("朝のコーヒー", 3)],
    ),
    "chinese": (
        [
            "我下个月要去上海出差。",
            "我妈妈对花生过敏。",
            "昨天买的沙发太大了。",
            "孩子们喜欢游泳和画画。",
        ],
        [("上海", 0), ("花生", 1), ("沙发", 2), ("孩子游泳", 3)],
    ),
}
CASES = [(language, query, place) for language, (_, asked) in TALKS.items() for query, place in asked]


OWNER = Owner("tenant", "polyglot")


def noon() -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def recall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recall]:
    """All languages lie in one history, as they do for people who speak several."""
    store = open_store(sqlite_url(tmp_path_factory.mktemp("languages") / "backstory.db"))
    for name, (lines, _) in TALKS.items():
        turns = [NewMessage("user", line, client_id=f"{name}-{n}") for n, line in enumerate(lines)]
        record(store, OWNER, turns, Target(external_id=name), noon)
    yield Recall(store, None, None, noon)
    store.close()


@pytest.mark.parametrize(("language", "query", "place"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_the_message_is_found_first(recall: Recall, language: str, query: str, place: int) -> None:
    found = recall.search(OWNER, SearchRequest(query, limit=3))
    assert found.hits[0].message.client_id == f"{language}-{place}"
