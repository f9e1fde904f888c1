"""Generated conversation for measuring: it reads like people and assistants talking, and hardly two messages are alike.

The vocabulary is a few hundred common words in the proportions of speech, and tens of thousands of rare names, so
that word statistics behave as in real histories: some words in every other message, most in very few.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from memory.model import NewMessage


def words(text: str, between: str | None = None) -> tuple[str, ...]:
    return tuple(text.split(between))


_THINGS = words(
    "apartment bicycle guitar laptop passport garden kitchen camera sofa printer novel recipe invoice contract ticket "
    "suitcase telescope piano greenhouse balcony heater dishwasher carpet mirror blender tent kayak notebook projector "
    "insurance mortgage subscription visa licence prescription vaccine diet marathon budget spreadsheet presentation "
    "thesis portfolio website podcast newsletter backup password router thermostat bathroom attic fence orchard"
)
_PLACES = words(
    "Lisbon Porto Berlin Hamburg Lyon Turin Vienna Prague Krakow Gdansk Oslo Bergen Malmo Tampere Dublin Cork Leeds "
    "Bristol Glasgow Boston Denver Austin Portland Toronto Montreal Sydney Perth Osaka Kyoto Nagoya Seoul Taipei Hanoi "
    "Mumbai Jaipur Nairobi Accra Lagos Tunis Cairo Izmir Athens Sofia Zagreb Valencia Bilbao Ghent Utrecht"
)
_PEOPLE = words(
    "Anna Ben Carla David Elena Farid Greta Hugo Ines Jonas Katya Liam Mei Nadia Omar Paula Quentin Rosa Samir Tomas "
    "Ulrike Vera Wendell Xenia Yusuf Zoe Aiko Bruno Chen Dalia Emil Freya Gustav Hanna Igor Jamila Kofi Leila Marco"
)
_DOINGS = words(
    "repair sell paint renew cancel compare borrow return clean order book move upgrade photograph measure insure "
    "translate schedule postpone finish learn practise cook plant wrap ship inspect rent describe organise"
)
_FEELINGS = words("happy worried curious tired excited annoyed relieved nervous proud confused grateful impatient")
_FOODS = words(
    "lasagne curry ramen paella sushi pancakes risotto dumplings chili falafel goulash ceviche borscht lentils gnocchi "
    "tagine pierogi kimchi tacos pho couscous ratatouille"
)
_WHENS = words(
    "yesterday|last weekend|this morning|two weeks ago|next Tuesday|on Friday|in March|after work|before the holidays|"
    "at the end of the month|last summer|tomorrow evening|around noon|on the 14th|in early October|since Monday",
    "|",
)

_SAID_BY_USER = (
    "I want to {do} the {thing} {when}, but {person} says it is too early.",
    "{person} from {place} told me about a {rare} {thing}, and now I feel {feeling}.",
    "Can you remind me to {do} my {thing} {when}?",
    "We had {food} with {person} {when}; it was better than in {place}.",
    "My {thing} broke {when} and I paid {number} euros to {do} it.",
    "I moved from {place} to {other} {when}, so please update my {thing}.",
    "How do I {do} a {thing} without asking {person} again?",
    "I think the {rare} company in {place} charges {number} for the {thing}.",
    "Honestly I'm {feeling} about the {thing}. What would you do?",
    "No, not {person}, I meant {person}: the one who wanted to {do} the {thing}.",
    "The doctor {rare} said I should avoid {food} until {number} weeks have passed.",
    "Our trip to {place} starts {when}, and we still have to {do} the {thing}.",
    "It's me again. Did you find out who can {do} the {thing} in {place}?",
    "My sister {person} likes {food} and hates the {thing} we bought {when}.",
    "I decided to {do} everything {when}. The {thing} has to wait.",
    "Please don't mention the {thing} to {person}, it's a surprise.",
)
_SAID_BY_ASSISTANT = (
    "I can help you {do} the {thing}. The usual price in {place} is about {number} euros.",
    "You told me about {person} {when}; shall I use the same {thing} again?",
    "Here is a short plan: first {do} the {thing}, then call {rare} in {place}, and keep the receipt.",
    "That sounds {feeling}, which is understandable. Most people {do} their {thing} {when}.",
    "The {rare} service offers three options; the cheapest costs {number} and lets you {do} it online.",
    "I've noted that {person} prefers {food} and that the {thing} should be ready {when}.",
    "There are two ways to {do} a {thing}: by yourself in about {number} minutes, or with {rare} in {place}.",
    "Reminder set: {do} the {thing} {when}. I will also tell {person} if you like.",
    "According to what you said {when}, the {thing} is still in {place}.",
    "For {food} you need about {number} minutes, and the {thing} should be cleaned afterwards.",
    "I could not reach {rare}, but {person} in {place} can {do} the {thing} {when}.",
    "Before you {do} it, check that the {thing} is covered; {rare} usually asks for number {number}.",
)
_ASKED = (
    "what did I say about the {thing} in {place}",
    "when did {person} want to {do} the {thing}",
    "how much did the {thing} cost {when}",
    "who recommended {rare}",
    "what did you recommend about {food}",
    "where is the {thing} that {person} mentioned",
    "did I ever talk about {rare} and the {thing}",
    "which {thing} did we {do} {when}",
    "{person} {place} {thing}",
    "what am I {feeling} about",
)
_SYLLABLES = words(
    "bar ben cal dor el fen gar hol ister jun kel lor mar nov os pel quin ros sar tol ul ven wes yor zan mir tek lan"
)


def conversation(seed: int, start: datetime, messages: int) -> Iterator[NewMessage]:
    """User and assistant in turn, about a minute apart, with a longer answer now and then."""
    random = Random(seed)
    at = start
    for number in range(messages):
        at += timedelta(seconds=random.randint(5, 120))
        asking = number % 2 == 0
        wanted = random.choice((1, 1, 2, 2, 3)) if asking else random.choice((1, 2, 3, 4, 6))
        sentences = (
            filled(random, random.choice(_SAID_BY_USER if asking else _SAID_BY_ASSISTANT)) for _ in range(wanted)
        )
        yield NewMessage(
            role="user" if asking else "assistant",
            content=" ".join(sentences),
            client_id=f"{seed}-{number}",
            occurred_at=at,
        )


def questions(seed: int, count: int) -> list[str]:
    """Questions of the kind that the conversations can answer."""
    random = Random(seed)
    return [filled(random, random.choice(_ASKED)) for _ in range(count)]


def filled(random: Random, template: str) -> str:
    """The template with words drawn for its gaps; common words are drawn more often than others."""
    drawn = random.random
    return template.format_map(
        {
            "thing": _THINGS[int(drawn() ** 2 * len(_THINGS))],
            "place": _PLACES[int(drawn() ** 2 * len(_PLACES))],
            "other": _PLACES[int(drawn() * len(_PLACES))],
            "person": _PEOPLE[int(drawn() ** 2 * len(_PEOPLE))],
            "do": _DOINGS[int(drawn() ** 2 * len(_DOINGS))],
            "feeling": _FEELINGS[int(drawn() * len(_FEELINGS))],
            "food": _FOODS[int(drawn() ** 2 * len(_FOODS))],
            "when": _WHENS[int(drawn() * len(_WHENS))],
            "number": int(drawn() ** 3 * 2000) + 5,
            "rare": _rare_name(random),
        }
    )


def _rare_name(random: Random) -> str:
    """One of some 20,000 made-up names."""
    return "".join(random.choice(_SYLLABLES) for _ in range(3)).capitalize()
