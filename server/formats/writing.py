"""File formats that can be exported. Another one is a function of portions, and a line here."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from server.formats.json_document import to_json
from server.formats.jsonl.writing import to_jsonl
from server.formats.markdown import to_markdown
from server.formats.portions import Portion

FORMATS: Mapping[str, Callable[[Iterable[Portion]], Iterator[str]]] = {
    "json": to_json,
    "jsonl": to_jsonl,
    "markdown": to_markdown,
}
