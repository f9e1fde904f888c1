"""What a question asks for: whose words, when, and by which terms."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from memory.model import Role
from memory.recall.date_bounds import Period
from memory.recall.terms import Token

_LONGEST_NAME = 100
_MOST_NAMED = 10
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
_ROLE_WORDS = frozenset({"user", "assistant", "system", "tool", "ai", "bot", "human", "agent", "model"})


@dataclass(frozen=True, slots=True)
class Question:
    """A query as understood. `text` is the query, `bare` the same without the participants' names."""

    text: str
    bare: str
    tokens: tuple[Token, ...]
    bare_tokens: tuple[Token, ...]
    named: tuple[str, ...] = ()
    role: Role | None = None
    asks_when: bool = False
    gathers: bool = False
    periods: tuple[Period, ...] = ()


@dataclass(frozen=True, slots=True)
class Names:
    """The participants that a query names."""

    named: tuple[str, ...]
    bare: str


def strip_names(query: str, participants: Sequence[str]) -> Names:
    """Which participants `query` names, by full or first name, and the query without those names."""
    named: list[str] = []
    bare = query
    folded = query.casefold()
    said = frozenset(_WORD.findall(folded))
    for name in dict.fromkeys(participants):
        forms = [form for form in _forms(name) if _may_name(form, folded, said)]
        if not forms or len(named) == _MOST_NAMED:
            continue
        pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, forms))})(?:['’]s?)?(?!\w)", re.IGNORECASE)
        if pattern.search(query):
            named.append(name)
            bare = pattern.sub(" ", bare)
    bare = _SPACES.sub(" ", bare).strip()
    return Names(tuple(named), bare if _WORD.search(bare) else query)


def _may_name(form: str, query: str, said: frozenset[str]) -> bool:
    """Whether the name stands in the casefolded `query` and all its words are `said`: a pattern is made of such names
    alone."""
    if len(form) > _LONGEST_NAME or form.casefold() not in query:
        return False
    parts = _WORD.findall(form.casefold())
    return bool(parts) and said.issuperset(parts)


def _forms(name: str) -> list[str]:
    """The full name and, when it has several parts, its first one; longest first. Roles are not names."""
    parts = name.split()
    if not parts or name.casefold() in _ROLE_WORDS:
        return []
    first = parts[0]
    return [name, first] if len(parts) > 1 and len(first) > 2 and first.casefold() not in _ROLE_WORDS else [name]
