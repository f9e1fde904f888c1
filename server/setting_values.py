"""The kinds of values that settings have: each parser returns the value, or says what is wrong and what is allowed."""

import base64
import binascii
import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from memory.errors import shown
from server.time_zones import zone_named

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")
_CLAIM = re.compile(r"[\x21-\x7e]{1,200}")
_HUB_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
# ${NAME}, in some hosts ${env:NAME}; %NAME%; $NAME, in PowerShell $env:NAME. What else begins like one names no
# variable: ${workspaceFolder is not closed, ${input:dir} asks, $(pwd) is a command.
_PLACEHOLDER = re.compile(
    r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}|%([A-Za-z_][A-Za-z0-9_]*)%|\$(?:env:)?([A-Za-z_][A-Za-z0-9_]*)"
    r"|\$\{[^{}/\\]*\}?|\$\("
)
_ID_RULE: Final = "allowed are 1 to 128 letters, digits and . _ @ + : -, starting with a letter or digit"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A value that no log, repr or error message shows."""

    _value: str

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    __str__ = __repr__


class Rejected(Exception):
    """Why a value cannot be used, and what can: two halves of one sentence."""


def _reject(why: str, allowed: str) -> Rejected:
    return Rejected(why, allowed)


def one_of(*choices: str) -> Callable[[str], str]:
    """One of `choices`, whatever the case."""

    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise _reject(f"is {shown(text)}", f"allowed are {', '.join(choices)}")

    return parse


def with_model(plain: tuple[str, ...], prefixes: tuple[str, ...]) -> Callable[[str], str]:
    """One of `plain`, or one of `prefixes` with a model's name after a colon."""
    allowed = "allowed are " + ", ".join([*plain, *(f"{p}:MODEL" for p in prefixes)])

    def parse(text: str) -> str:
        prefix, colon, model = text.partition(":")
        if text in plain or (colon and prefix in prefixes and model.strip() and model.isprintable()):
            return text
        raise _reject(f"is {shown(text)}", allowed)

    return parse


def identifier(text: str) -> str:
    """The id of a user or tenant."""
    if not _ID.fullmatch(text):
        raise _reject(f"is {shown(text)}", _ID_RULE)
    return text


def filled(text: str) -> str:
    """`text` with the values of the variables that it names: as ${NAME}, ${env:NAME}, $NAME or %NAME%. Errors: Rejected
    for one that has none, since a host that fills in nothing would else get a folder of that very name."""

    def value(found: re.Match[str]) -> str:
        name = next((group for group in found.groups() if group), "")
        known = os.environ.get(name, "")
        if not known or _PLACEHOLDER.search(known):
            raise _reject(
                f"is {shown(text)}, where nothing stands for {shown(found[0])}",
                "give a whole path, or set that variable",
            )
        return known

    return _PLACEHOLDER.sub(value, text)


def located(text: str) -> Path:
    """An absolute path, with variables and the home directory filled in. Errors: Rejected."""
    try:
        path = Path(filled(text)).expanduser().absolute()
    except (RuntimeError, OSError):  # no such user, no home, no current directory
        raise _reject(f"is {shown(text)}, which leads nowhere here", "give a whole path") from None
    if "~" in path.parts:
        raise _reject(f"is {shown(text)}, where ~ does not stand first", "give a whole path")
    return path


def directory(text: str) -> Path:
    """A directory that is there, or can be made."""
    if "\0" in text:
        raise _reject("holds a NUL character", "give the path of a directory")
    if "://" in text:
        raise _reject(f"is {shown(text)}, which is an address", "give the path of a directory")
    path = located(text)
    if path.exists() and not path.is_dir():
        raise _reject(f"is {shown(text)}, which is no directory", "give a directory, or a path that can become one")
    return path


def database(text: str) -> Secret:
    """A database URL."""
    scheme = text.partition(":")[0]
    if scheme not in ("sqlite", "postgresql", "postgresql+psycopg", "postgres") or "://" not in text:
        raise _reject(
            "is no database URL that can be used", "allowed are sqlite:////path/to/file and postgresql://user@host/name"
        )
    start, slashes, path = text.partition(":///")
    if scheme == "sqlite" and slashes and ("~" in path or _PLACEHOLDER.search(path)):
        return Secret(f"{start}{slashes}{located(path)}")
    return Secret(text)


def index(text: str) -> str:
    """A directory, or an object store's address."""
    scheme, found, _ = text.partition("://")
    if found:
        if scheme not in ("s3", "gs", "az", "s3+ddb"):
            raise _reject(f"is {shown(text)}", "allowed are a path and s3://, gs:// or az:// addresses")
        return filled(text)
    return str(directory(text))


def http_url(text: str) -> str:
    """A web address."""
    parts = _split(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _reject("is no web address", "give one like https://api.example.com/v1")
    return text


def _split(text: str) -> SplitResult:
    """The parts of an address; none of them where it cannot be one, such as with an unfinished bracket."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def key(text: str) -> Secret:
    """An encryption key."""
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise _reject("is no key", "give 32 random bytes in base64, for example from `openssl rand -base64 32`")
    return Secret(text)


def text_secret(text: str) -> Secret:
    """A key as some service issued it."""
    if not text.strip() or not text.isprintable():
        raise _reject("holds characters that no key has", "give the key as it was issued")
    return Secret(text)


def zone(text: str) -> str:
    """A time zone."""
    try:
        zone_named(text)
    except ValueError:
        allowed = "give an IANA name such as Europe/Berlin, or a POSIX rule such as CET-1CEST,M3.5.0,M10.5.0/3"
        raise _reject(f"is {shown(text)}", allowed) from None
    return text


def port(text: str) -> int:
    """A port."""
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:6]) <= 65535:
        raise _reject(f"is {shown(text)}", "allowed are 0 to 65535")
    return int(text)


def host(text: str) -> str:
    """A host name or address."""
    if not _HOST.fullmatch(text):
        raise _reject(f"is {shown(text)}", "give a host name or an address such as 127.0.0.1")
    return text


def region(text: str) -> str:
    """A country, for phone numbers."""
    from phonenumbers import SUPPORTED_REGIONS

    if text.upper() not in SUPPORTED_REGIONS:
        raise _reject(f"is {shown(text)}", "give a country's two letters such as US or DE")
    return text.upper()


def number(least: int, most: int) -> Callable[[str], int]:
    """A whole number in these bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
            raise _reject(f"is {shown(text)}", f"allowed are {least} to {most}")
        return int(text)

    return parse


def several(parse: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """Values separated by commas."""
    return lambda text: tuple(parse(part.strip()) for part in text.split(",") if part.strip())


def origin(text: str) -> str:
    """A web origin."""
    parts = _split(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise _reject(f"holds {shown(text)}", "give origins such as https://app.example.com, separated by commas")
    return text.rstrip("/").lower()


def network(text: str) -> str:
    """An address or network."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise _reject(f"holds {shown(text)}", "give addresses or networks such as 10.0.0.0/8") from None


def file(text: str) -> Path:
    """A file that is there."""
    path = located(text)
    if not path.is_file():
        raise _reject(f"is {shown(text)}", "give the path of a PEM file")
    return path


def claim(text: str) -> str:
    """The name of a token's claim."""
    if not _CLAIM.fullmatch(text):
        raise _reject(f"is {shown(text)}", "give the name of a claim such as sub")
    return text


def tokenizer(text: str) -> str:
    """A tokenizer.json file (or the folder that holds one), or the name of a tokenizer at the hub."""
    path = located(text)
    if path.is_file() or (path / "tokenizer.json").is_file():
        return str(path)
    if path.suffix == ".json" or not _HUB_NAME.fullmatch(text):
        raise _reject(f"is {shown(text)}", "give the path of a tokenizer.json file, or the name of a hub's model")
    return text
