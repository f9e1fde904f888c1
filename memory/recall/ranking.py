"""The score of a message: one weighted sum over small features. Pure; the weights are in `memory.recall.weights`.

Every feature maps a `Scene` (n messages of one scope, and the question) to n figures, mostly between 0 and 1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from memory.recall.columns import Array
from memory.recall.corpus import ROLES, Corpus, Mask
from memory.recall.date_bounds import date_match
from memory.recall.evidence import Evidence
from memory.recall.query import Question

_LATER_PASSAGE = 0.05
"""What a later passage of a long message must be closer by to count in place of the first: long replies have many."""

_FARTHEST, _CLOSEST = -2.0, 6.0
"""Standard deviations beyond which nothing is farther or closer: one message among many alike is far from them all."""

_SHORT_REPLY = 25
"""Words up to which a reply counts in full as an answer; a long one says for itself what it is about."""

_SHORT_QUESTION = 20
"""Words up to which a message counts in full as a question."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What features look at: the evidence, the question, and the messages' own columns, all over the same n rows."""

    evidence: Evidence
    question: Question
    role: Array
    speaker: Array
    occurred: Array
    asking: Array
    times: Array
    length: Array


def scene(corpus: Corpus, evidence: Evidence, question: Question) -> Scene:
    """The scene of `question` over the messages that `evidence` speaks of."""
    columns, slots = corpus.columns, evidence.slots
    code = corpus.codes["speaker"].get(question.named[0], -1) if len(question.named) == 1 else -1
    return Scene(
        evidence=evidence,
        question=question,
        role=columns["role"][slots],
        speaker=columns["speaker"][slots] == code,
        occurred=columns["occurred"][slots],
        asking=columns["question"][slots],
        times=columns["times"][slots],
        length=columns["length"][slots],
    )


def vector(s: Scene) -> Array:
    """How much closer than its peers the message is in meaning, in standard deviations, `_FARTHEST` to `_CLOSEST`.

    What was only just recorded has no vector yet: its keywords stand in, so that it does not come last for its youth.
    """
    known = s.evidence.has_vector
    if not known.any():
        return np.zeros(len(known))
    cosine = np.maximum(s.evidence.cosine, s.evidence.later_cosine - _LATER_PASSAGE)
    mean, spread = cosine[known].mean(), cosine[known].std()
    closeness = np.clip((cosine - mean) / max(float(spread), 1e-6), _FARTHEST, _CLOSEST)
    return np.where(known, closeness, _share(s.evidence.turn) * max(float(closeness[known].max()), 0.0))


def window(s: Scene) -> Array:
    """Keywords in the message and around it, as a share of the best."""
    return _share(s.evidence.window)


def own(s: Scene) -> Array:
    """Keywords in the message itself, as a share of the best: words that only it has put it before its neighbours."""
    return _share(s.evidence.turn)


def session(s: Scene) -> Array:
    """The best single message of the session by keywords, as a share of the best of all."""
    turn = _share(s.evidence.turn)
    best = np.zeros(int(s.evidence.session.max(initial=-1)) + 1)
    np.maximum.at(best, s.evidence.session, turn)
    return best[s.evidence.session]


def session_vector(s: Scene) -> Array:
    """How close in meaning the closest message of the session is, 1 for three standard deviations."""
    closeness = vector(s)
    best = np.zeros(int(s.evidence.session.max(initial=-1)) + 1)
    np.maximum.at(best, s.evidence.session, closeness)
    return best[s.evidence.session] / 3


def rarest(s: Scene) -> Array:
    """How many of the question's rarest words the message has, as a share of the most: a code may have pieces."""
    return s.evidence.rarest


def answers(s: Scene) -> Array:
    """The question's keywords in what was asked just before: a short reply is found through what it answers."""
    asked = np.where(s.asking > 0, _share(s.evidence.bare), 0.0)
    before = np.where(s.evidence.previous >= 0, asked[s.evidence.previous], 0.0)
    return before * np.minimum(1.0, _SHORT_REPLY / np.maximum(s.length, 1))


def speaker(s: Scene) -> Array:
    """1 where the one participant that the question names speaks."""
    return s.speaker.astype(np.float64)


def role(s: Scene) -> Array:
    """1 where the one speaks whom the question means by "I" or "you"."""
    if s.question.role is None:
        return np.zeros(len(s.role))
    speaks: Array = (s.role == ROLES.index(s.question.role)).astype(np.float64)
    return speaks


def date(s: Scene) -> Array:
    """How well the time of the message suits the times that the question speaks of."""
    return date_match(s.question.periods, s.occurred)


def question(s: Scene) -> Array:
    """The share of the message that asks instead of telling; a longer one has told something as well."""
    return s.asking * np.minimum(1.0, _SHORT_QUESTION / np.maximum(s.length, 1))


def times(s: Scene) -> Array:
    """Time words in the message, when the question asks when."""
    return s.times.astype(np.float64) if s.question.asks_when else np.zeros(len(s.times))


_FEATURES: Mapping[str, Callable[[Scene], Array]] = {
    "vector": vector,
    "window": window,
    "own": own,
    "session": session,
    "session_vector": session_vector,
    "rarest": rarest,
    "answers": answers,
    "speaker": speaker,
    "role": role,
    "date": date,
    "question": question,
    "times": times,
}


def score(s: Scene, weights: Mapping[str, float]) -> Array:
    """The weighted sum for every message of the scene; weights of what is no feature of single messages are ignored."""
    total = np.zeros(len(s.evidence.slots))
    for name, weight in weights.items():
        if weight and name in _FEATURES:
            total += weight * _FEATURES[name](s)
    return total


def spoken_for(s: Scene) -> Mask:
    """False for messages that share no word and no time with a question that has some, where no vector can tell."""
    evidence = s.evidence
    if evidence.has_vector.any() or not (s.question.tokens or s.question.periods):
        return np.ones(len(evidence.slots), dtype=np.bool_)
    found: Mask = (evidence.window > 0) | (session(s) > 0) | (date(s) > 0)
    return found


def _share(values: Array) -> Array:
    return values / max(float(values.max(initial=0.0)), 1e-9)
