"""What the growth tests feed: every pattern, and every function that takes a text, found by walking the packages."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from inference.summarizers.cues import Later
from inference.summarizers.sentences import Sentence, sentences
from memory.model import Message, Owner
from memory.ports import TokenCounter
from memory.recall.passages import analyzer
from memory.recall.spellings import Piece, pieces_of
from memory.recall.topic import _Around as Around
from memory.text.tokens import EstimatedTokens

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

# Types that a function gets its texts from the record through: the whole server is tested with long texts over HTTP.
RECORD = {
    "Store",
    "RecordStore",
    "Records",
    "WritableRecords",
    "Directory",
    "People",
    "TokenStore",
    "Corpus",
    "PassageIndex",
}

# By module and name, as in "quoting.neutral": why it is fed no text of a caller's, or not alone.
EXCLUDED = {
    "api_tokens._digest": "hashes a secret of the server's own",
    "cursors.write_cursor": "takes a place of the server's own",
    "correction_cues._any": "takes patterns of the server's own",
    "corrections._kept": "kept in a cache, so its caller hands it short texts alone",
    "corrections._sentence": "its caller hands it a sentence of a beginning",
    "corrections._says_little": "its caller hands it one word",
    "corpus._kept_terms": "kept in a cache, so its caller hands it short texts alone",
    "corpus._products": "takes vectors",
    "corpus._counts": "takes terms, which terms.tokens makes",
    "date_bounds._suits": "takes the name of a unit, and arrays",
    "date_bounds.beside": "takes the name of a unit",
    "date_scan._day_first": "takes what a pattern has found, a few figures",
    "date_scan._marked": "takes a match of a fixed vocabulary",
    "date_words.lexicon": "takes the name of a language",
    "dates_elsewhere.read_dates": "takes the name of a locale as well; its own test is below",
    "embedders.load_embedder": "takes a setting",
    "evidence._rarest_words": "takes how often the words of a question stand in each message",
    "rarest._shares_most": "takes arrays",
    "rarest.standing": "takes arrays",
    "extractive._latest": "takes the name of a list",
    "extractive._overlap": "takes lines that were chosen, each no longer than a sentence",
    "extractive._what_it_leans_on": "takes lines that were chosen, each no longer than a sentence",
    "extractive._written": "takes lines that were chosen, each no longer than a sentence",
    "fastembed_models._failed": "takes the name of a model",
    "fastembed_models._load": "takes the name of a model",
    "folding._first_answer": "asks a model",
    "languages._script_language": "kept in a cache, so its caller hands it short words alone",
    "minilm._unavailable": "takes a word of the server's own",
    "openai._chat": "asks a model",
    "openai._responses": "asks a model",
    "openai._retry_after": "takes a model's error",
    "ranking.score": "takes weights and arrays",
    "request.bounded": "takes a filter",
    "reranking.reranked": "asks a model",
    "results.strategy": "takes a strategy, which strategies.read_strategy has checked",
    "sampling.answered": "takes a model's answer; prompting.read_answer reads it",
    "searching._looked_at": "takes arrays",
    "superseding.in_order": "takes hits, of which corrections.read and corrections.replaces are fed",
    "superseding._placed": "takes hits and ids",
    "spellings._kept_pieces": "kept in a cache, so its caller hands it short words alone",
    "spellings._pieces": "its caller hands it chains of some hundred characters at most",
    "terms._kept_fold": "kept in a cache, so its caller hands it short words alone",
    "terms._kept_variants": "kept in a cache, so its caller hands it short words alone",
    "names.keep_names": "takes a value as it is made, and the names of its attributes; names.named is fed",
    "recording._kept": "takes the name of an attribute",
    "tokens._kept_word": "kept in a cache, so its caller hands it short words alone",
    "tokens._wide": "takes one character",
    "tokens.tokenizer_counter": "takes a setting",
    "quoting._folded": "takes one character",
    "quoting._shown": "takes one character",
    "vectors.normalised": "takes vectors",
    "variety.varied": "takes ids and scores",
    "weights.weights_for": "takes the name of an embedder",
}


def modules(*packages: str) -> Iterator[types.ModuleType]:
    for package in packages:
        found = importlib.import_module(package)
        yield found
        for info in pkgutil.walk_packages(found.__path__, package + "."):
            if not info.name.endswith("__main__") and "migrations" not in info.name:
                yield importlib.import_module(info.name)


def patterns() -> dict[str, re.Pattern[str]]:
    """Every compiled pattern of the four packages: of modules, of their classes, in containers."""
    found: dict[str, re.Pattern[str]] = {}
    for module in modules("memory", "inference", "storage", "server"):
        for name, value in vars(module).items():
            if not (isinstance(value, type) and value.__module__ != module.__name__):
                found.update(_patterns(f"{module.__name__}.{name}", value, 0))
    return {name: pattern for name, pattern in found.items() if isinstance(pattern.pattern, str)}


def _patterns(name: str, value: object, depth: int) -> Iterator[tuple[str, re.Pattern[str]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif depth > 4:
        return
    elif isinstance(value, type):
        for key, inner in list(vars(value).items()):
            if not key.startswith("__"):
                yield from _patterns(f"{name}.{key}", inner, depth + 1)
    elif isinstance(value, Mapping) and len(value) < 10_000:
        for number, inner in enumerate((*value.keys(), *value.values())):
            yield from _patterns(f"{name}[{number}]", inner, depth + 1)
    elif isinstance(value, tuple | list | set | frozenset) and len(value) < 10_000:
        for number, inner in enumerate(value):
            yield from _patterns(f"{name}[{number}]", inner, depth + 1)


def made_in_functions() -> Iterator[str]:
    """Where a pattern is made inside a function, where no walk finds it."""
    for package in ("memory", "inference", "storage", "server"):
        root = Path(str(importlib.import_module(package).__file__)).parent
        for path in sorted(root.rglob("*.py")):
            for function in ast.walk(ast.parse(path.read_text())):
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                    for call in ast.walk(function):
                        if _makes_a_pattern(call):
                            yield f"{path.stem}.{getattr(function, 'name', 'lambda')}"


def _makes_a_pattern(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr != "escape"
    )


@dataclasses.dataclass(frozen=True)
class Subject:
    """A function that takes texts, with the type of each of its parameters that must be given."""

    name: str
    function: Callable[..., Any]
    hints: Mapping[str, Any]

    def fed(self, text: str) -> Callable[[], object]:
        """A call with values that are made of `text`."""
        values = {name: FIXED.get(name) or built(hint, text) for name, hint in self.hints.items()}
        function = self.function
        rest = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.VAR_POSITIONAL]
        several = [values.pop(name) for name in rest if name in values]

        def call() -> object:
            found = function(*several, **values)
            return list(found) if isinstance(found, Iterator) else found

        return call


@cache
def subjects() -> tuple[Subject, ...]:
    """Every function of memory and inference, and every method that can be called on an object made of a text."""
    found = []
    for function_name, call, function in functions():
        found += _subject(function_name, call, hints_of(function), function)
    for name, one in OBJECTS.items():
        for method in [m for m in dir(type(one)) if inspect.isfunction(getattr(type(one), m)) and m != "__init__"]:
            bound = getattr(one, method)
            found += _subject(f"{name}.{method}", bound, hints_of(bound), bound)
    return tuple(found)


@cache
def functions() -> tuple[tuple[str, Callable[..., Any], Callable[..., Any]], ...]:
    """(module and name, what is called, what is written) of every function of memory and inference."""
    found = []
    for module in modules("memory", "inference"):
        for name, value in list(vars(module).items()):
            function = inspect.unwrap(value) if callable(value) else value
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                found.append((f"{module.__name__.rpartition('.')[2]}.{name}", value, function))
    return tuple(found)


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Its types, those too that are imported for type checkers alone."""
    try:
        return typing.get_type_hints(function)
    except NameError:
        return typing.get_type_hints(function, localns=_classes())


@cache
def _classes() -> dict[str, Any]:
    every = (vars(module) for module in modules("memory", "inference"))
    return {name: value for names in every for name, value in names.items() if isinstance(value, type)}


def takers() -> set[str]:
    """The classes of memory and inference with a method that takes a text, contracts left out."""
    found = set()
    for module in modules("memory", "inference"):
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and not is_contract(value):
                methods = [method for method in vars(value).values() if inspect.isfunction(method)]
                methods = [method for method in methods if not method.__name__.startswith("__")]
                if any(holds_text(h) for m in methods for n, h in hints_of(m).items() if n != "return"):
                    found.add(name)
    return found


def is_contract(kind: type) -> bool:
    return getattr(kind, "_is_protocol", False)


FIXED = {
    "language": "english",
    "languages": ("english", "german", "french", "spanish", "portuguese", "italian", "dutch"),
}
OBJECTS: Mapping[str, Any] = {
    "EstimatedTokens": EstimatedTokens(),
    "_PassageAnalyzer": analyzer(),
}
ELSEWHERE = {
    "_Around",
    "AskedSummarizer",
    "Calendar",
    "Batch",
    "ByWord",
    "Corpus",
    "ExtractiveSummarizer",
    "FastembedModel",
    "Folding",
    "MessageFilter",
    "MiniLM",
    "MultilingualE5",
    "OpenAICompatible",
    "OpenAISummarizer",
    "Patient",
    "Preambles",
    "Recall",
    "SessionContexts",
    "Summarizing",
    "SummaryTriggers",
    "Ties",
    "TokenizerTokens",
    "_Assembly",
    "_Budget",
    "_Pool",
    "_Reader",
}
"""Classes that keep a state or ask a store or a model: what they do with texts they have from the functions above, and
the whole server is fed long texts over HTTP."""


def _subject(name: str, call: Callable[..., Any], hints: dict[str, Any], signed: Callable[..., Any]) -> list[Subject]:
    hints.pop("return", None)
    given = inspect.signature(signed).parameters
    needed = {n: h for n, h in hints.items() if given[n].default in (inspect.Parameter.empty, None)}
    takes_text = any(holds_text(hint) for hint in needed.values())
    of_the_record = any(
        getattr(part, "__name__", "") in RECORD for hint in hints.values() for part in (hint, *typing.get_args(hint))
    )
    if not takes_text or of_the_record or name in EXCLUDED:
        return []
    return [Subject(name, call, needed)]


CARRIERS = frozenset(
    [
        "Claims",
        "Commitment",
        "Fact",
        "Hit",
        "Message",
        "NewMessage",
        "Prompt",
        "Sentence",
        "Session",
        "Summary",
        "SummaryDraft",
        "UserContextEntry",
        "_Known",
        "_Line",
    ]
)


def holds_text(hint: Any, depth: int = 0) -> bool:
    if typing.get_origin(hint) is np.ndarray:
        return False
    if hint is str or hint is Any:
        return True
    if dataclasses.is_dataclass(hint):
        return getattr(hint, "__name__", "") in CARRIERS
    if typing.get_origin(hint) is typing.Literal or typing.get_origin(hint) in CALLS or depth > 4:
        return False
    return any(holds_text(part, depth + 1) for part in typing.get_args(hint) if part is not types.NoneType)


CALLS = (typing.get_origin(Callable[[], int]), type)
SHORT = ("_id", "producer", "category")


def built(hint: Any, text: str, name: str = "") -> Any:
    """A value of the type `hint` that holds `text`. Raises TypeError for a type that it does not know."""
    plain: dict[Any, Any] = {str: text, Any: text, int: 100, float: 0.5, bool: False, datetime: NOW}
    if hint in plain:
        return plain[hint]
    if hint is Owner:
        return Owner("tenant", "user")
    if hint is Later:
        return Later(_several(Sentence, text))
    if hint is Piece:
        return (pieces_of(text) or [Piece(text)])[0]
    if hint is Around:
        return Around([built(Message, text)])
    if hint is TokenCounter:
        return EstimatedTokens()
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _object(hint, text)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return built(next(part for part in parts if part is not types.NoneType), text)
    if origin is typing.Literal:
        return parts[0]
    if origin is CALLS[0]:
        return _called(str(hint))
    if origin is not None and issubclass(origin, Mapping):
        return {text: built(parts[1], text)}
    if origin is tuple and parts[-1] is not ...:
        return tuple(built(part, text) for part in parts)
    if origin is not None and issubclass(origin, typing.Iterable):
        many = text.split() or [text] if parts[0] is str else _several(parts[0], text)
        return origin(many) if origin in (tuple, list, set, frozenset) else many
    raise TypeError(f"no value of {hint} is known here")


def _several(part: Any, text: str) -> list[Any]:
    return sentences([built(Message, text)]) if part is Sentence else [built(part, text)]


def _called(hint: str) -> Callable[..., Any]:
    if "[[str, int], str]" in hint:
        return lambda text, size: text[: size * 3]
    if "datetime" in hint:
        return lambda: NOW
    if "tuple[int, int]" in hint:
        return lambda *_: (50, 50)
    return lambda *_: 50


def _object(kind: type, text: str) -> Any:
    """The fields without a default: names and ids are short, what was said is `text`."""
    if kind is Sentence:
        return Sentence(text, 0, built(Message, text), 0, frozenset(text.split()), 10)
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            short = hints[field.name] is str and field.name.endswith(SHORT)
            values[field.name] = "short" if short else built(hints[field.name], text)
    if kind.__name__ in ("SummaryDraft",):
        values["facts"] = (built(hints["facts"], text)[0],)
    return kind(**values)
