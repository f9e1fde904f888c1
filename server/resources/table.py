"""What a resource is: an address, what it holds, and the function that reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pydantic_core
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.shared.uri_template import UriTemplate
from mcp.types import Resource, ResourceTemplate
from pydantic import BaseModel

from server.calling import Call

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: data, and where a model or a person reads it as it is, a text."""

    data: BaseModel | dict[str, Any]
    text: str | None = None

    def contents(self) -> list[ReadResourceContents]:
        """As the protocol wants it: the JSON first, then the text."""
        found = [ReadResourceContents(content=pydantic_core.to_json(self.data).decode(), mime_type=JSON)]
        if self.text is not None:
            found.append(ReadResourceContents(content=self.text, mime_type="text/plain"))
        return found


@dataclass(frozen=True, slots=True)
class Family:
    """Resources that are read alike. What varies of the address is the reader's arguments."""

    address: str
    name: str
    title: str
    description: str
    read: Callable[..., Document]

    @property
    def is_template(self) -> bool:
        return "{" in self.address

    def match(self, uri: str) -> dict[str, str] | None:
        """The varying parts of `uri`, unescaped; None when it is another resource's address."""
        if not self.is_template:
            return {} if uri == self.address else None
        found = UriTemplate.parse(self.address).match(uri)
        return None if found is None else {name: str(value) for name, value in found.items()}

    def listed(self) -> Resource:
        """How the list of resources shows it."""
        return Resource(
            uri=self.address, name=self.name, title=self.title, description=self.description, mime_type=JSON
        )

    def listed_template(self) -> ResourceTemplate:
        """How the list of templates shows it."""
        return ResourceTemplate(
            uri_template=self.address, name=self.name, title=self.title, description=self.description, mime_type=JSON
        )


def resource(address: str, title: str, description: str) -> Callable[[Callable[..., Document]], Family]:
    """Describes the resources that the decorated function reads: `(call)`, and what varies of the address by name."""
    return lambda read: Family(address, read.__name__, title, description, read)


__all__ = ["Call", "Document", "Family", "resource"]
