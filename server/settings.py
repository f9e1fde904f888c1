"""Settings: flags over environment over `backstory.toml` in the data directory. The only reader of either."""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import urlsplit, urlunsplit

from memory.errors import Invalid, shown
from memory.model import Owner

ToolSet = Literal["recall", "agent", "full"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
TOML_NAME: Final = "backstory.toml"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,127}")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How the HTTP server behaves. `rate_per_minute` 0 is no limit; sizes in bytes, times in seconds."""

    auth: Literal["token", "none"] = "token"
    public_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_body: int = 16 * 1024 * 1024
    max_message: int = 10 * 1024 * 1024
    rate_per_minute: int = 6000
    rate_burst: int = 400
    max_streams: int = 500
    session_idle: int = 300
    oauth_issuer: str | None = None
    oauth_audience: str | None = None
    oauth_jwks_url: str | None = None
    oauth_user_claim: str = "sub"
    oauth_tenant_claim: str = "tenant"
    oauth_rights_claim: str = "scope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this process is set up. Build with `load`, or directly in tests."""

    data_dir: Path
    database_url: Secret | None = None
    index_uri: str | None = None
    embedder: str = "bundled"
    summarizer: str = "extractive"
    openai_api_key: Secret | None = None
    openai_base_url: str | None = None
    user: str = "local"
    tenant: str = "default"
    encryption_key: Secret | None = None
    log_level: LogLevel = "WARNING"
    time_zone: str | None = None
    tools: ToolSet = "agent"
    host: str = "127.0.0.1"
    port: int = 8765
    phone_region: str | None = "US"
    http: HttpSettings = HttpSettings()

    @property
    def owner(self) -> Owner:
        """Whose memory a local process (stdio, the command line) works on."""
        return Owner(self.tenant, self.user)

    @property
    def embedded(self) -> bool:
        """Whether the record is a SQLite file of this machine, migrated at start."""
        return self.database_url is None or self.database_url.reveal().startswith("sqlite")

    @property
    def database_label(self) -> str:
        """Where the record lies, without a password: for messages."""
        if self.database_url is None:
            return str(self.data_dir / "backstory.db")
        parts = urlsplit(self.database_url.reveal())
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    @property
    def index_location(self) -> str:
        """An absolute path or an object store's URI."""
        return self.index_uri or str(self.data_dir / "index")

    @classmethod
    def load(
        cls, flags: Mapping[str, str | int | None] | None = None, environ: Mapping[str, str] | None = None
    ) -> "Settings":
        """Reads all three sources. `flags` are by field name, None where not given. Errors: Invalid."""
        env = os.environ if environ is None else environ
        given = {name: str(value) for name, value in (flags or {}).items() if value is not None}
        _known(given, "flag")
        sources: list[_Source] = [
            (given, _flag_name),
            ({n: env[k.env] for n, k in _KEYS.items() if env.get(k.env)}, _env_name),
        ]
        data_dir = _pick("data_dir", sources) or _default_data_dir()
        sources.append((_read_toml(data_dir / TOML_NAME), lambda name: f"{name} in {data_dir / TOML_NAME}"))
        picked = {name: _pick(name, sources) for name in _KEYS if name != "data_dir"}
        values = {name: value for name, value in picked.items() if value is not None}
        http = HttpSettings(**{name: values.pop(name) for name in _HTTP_KEYS if name in values})
        settings = cls(data_dir=data_dir, http=http, **values)
        _check_together(settings)
        return settings


@dataclass(frozen=True, slots=True)
class _Key:
    env: str
    parse: Callable[[str], Any]
    secret: bool = False


class _Rejected(Exception):
    """Why a value cannot be used, and what can: two halves of one sentence."""


def _reject(why: str, allowed: str) -> _Rejected:
    return _Rejected(why, allowed)


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise _reject(f"is {shown(text)}", f"allowed are {', '.join(choices)}")

    return parse


def _with_model(plain: tuple[str, ...], prefixes: tuple[str, ...]) -> Callable[[str], str]:
    allowed = "allowed are " + ", ".join([*plain, *(f"{p}:MODEL" for p in prefixes)])

    def parse(text: str) -> str:
        prefix, colon, model = text.partition(":")
        if text in plain or (colon and prefix in prefixes and model.strip() and model.isprintable()):
            return text
        raise _reject(f"is {shown(text)}", allowed)

    return parse


def _identifier(text: str) -> str:
    if not _ID.fullmatch(text):
        raise _reject(f"is {shown(text)}", _ID_RULE)
    return text


def _directory(text: str) -> Path:
    if "\0" in text:
        raise _reject("holds a NUL character", "give the path of a directory")
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise _reject(f"is {shown(text)}, which is no directory", "give a directory, or a path that can become one")
    return path


def _database(text: str) -> Secret:
    scheme = text.partition(":")[0]
    if scheme not in ("sqlite", "postgresql", "postgresql+psycopg", "postgres") or "://" not in text:
        raise _reject(
            "is no database URL that can be used", "allowed are sqlite:////path/to/file and postgresql://user@host/name"
        )
    return Secret(text)


def _index(text: str) -> str:
    scheme, found, _ = text.partition("://")
    if found:
        if scheme not in ("s3", "gs", "az", "s3+ddb"):
            raise _reject(f"is {shown(text)}", "allowed are a path and s3://, gs:// or az:// addresses")
        return text
    return str(_directory(text))


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _reject("is no web address", "give one like https://api.example.com/v1")
    return text


def _key(text: str) -> Secret:
    import base64
    import binascii

    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise _reject("is no key", "give 32 random bytes in base64, for example from `openssl rand -base64 32`")
    return Secret(text)


def _text_secret(text: str) -> Secret:
    if not text.strip() or not text.isprintable():
        raise _reject("holds characters that no key has", "give the key as it was issued")
    return Secret(text)


def _zone(text: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise _reject(f"is {shown(text)}", "give an IANA name such as Europe/Berlin or UTC") from None
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:6]) <= 65535:
        raise _reject(f"is {shown(text)}", "allowed are 0 to 65535")
    return int(text)


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", text):
        raise _reject(f"is {shown(text)}", "give a host name or an address such as 127.0.0.1")
    return text


def _region(text: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS

    if text.upper() not in SUPPORTED_REGIONS:
        raise _reject(f"is {shown(text)}", "give a country's two letters such as US or DE")
    return text.upper()


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
            raise _reject(f"is {shown(text)}", f"allowed are {least} to {most}")
        return int(text)

    return parse


def _several(parse: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    return lambda text: tuple(parse(part.strip()) for part in text.split(",") if part.strip())


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise _reject(f"holds {shown(text)}", "give origins such as https://app.example.com, separated by commas")
    return text.rstrip("/").lower()


def _network(text: str) -> str:
    import ipaddress

    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise _reject(f"holds {shown(text)}", "give addresses or networks such as 10.0.0.0/8") from None


def _file(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise _reject(f"is {shown(text)}", "give the path of a PEM file")
    return path


def _claim(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", text):
        raise _reject(f"is {shown(text)}", "give the name of a claim such as sub")
    return text


_HTTP_KEYS: Final[Mapping[str, _Key]] = {
    "auth": _Key("BACKSTORY_AUTH", _one_of("token", "none")),
    "public_url": _Key("BACKSTORY_PUBLIC_URL", _http_url),
    "allowed_hosts": _Key("BACKSTORY_ALLOWED_HOSTS", _several(_host)),
    "allowed_origins": _Key("BACKSTORY_ALLOWED_ORIGINS", _several(_origin)),
    "trusted_proxies": _Key("BACKSTORY_TRUSTED_PROXIES", _several(_network)),
    "tls_certificate": _Key("BACKSTORY_TLS_CERTIFICATE", _file),
    "tls_key": _Key("BACKSTORY_TLS_KEY", _file),
    "max_body": _Key("BACKSTORY_MAX_BODY", _number(1024, 1024**3)),
    "max_message": _Key("BACKSTORY_MAX_MESSAGE", _number(1, 10 * 1024**2)),
    "rate_per_minute": _Key("BACKSTORY_RATE_PER_MINUTE", _number(0, 10_000_000)),
    "rate_burst": _Key("BACKSTORY_RATE_BURST", _number(1, 1_000_000)),
    "max_streams": _Key("BACKSTORY_MAX_STREAMS", _number(1, 100_000)),
    "session_idle": _Key("BACKSTORY_SESSION_IDLE", _number(10, 86_400)),
    "oauth_issuer": _Key("BACKSTORY_OAUTH_ISSUER", _http_url),
    "oauth_audience": _Key("BACKSTORY_OAUTH_AUDIENCE", _claim),
    "oauth_jwks_url": _Key("BACKSTORY_OAUTH_JWKS_URL", _http_url),
    "oauth_user_claim": _Key("BACKSTORY_OAUTH_USER_CLAIM", _claim),
    "oauth_tenant_claim": _Key("BACKSTORY_OAUTH_TENANT_CLAIM", _claim),
    "oauth_rights_claim": _Key("BACKSTORY_OAUTH_RIGHTS_CLAIM", _claim),
}
_KEYS: Final[Mapping[str, _Key]] = {
    "data_dir": _Key("BACKSTORY_DATA_DIR", _directory),
    "database_url": _Key("BACKSTORY_DATABASE_URL", _database, secret=True),
    "index_uri": _Key("BACKSTORY_INDEX_URI", _index),
    "embedder": _Key("BACKSTORY_EMBEDDER", _with_model(("bundled", "multilingual", "none"), ("fastembed", "openai"))),
    "summarizer": _Key("BACKSTORY_SUMMARIZER", _with_model(("extractive", "client"), ("openai",))),
    "openai_api_key": _Key("OPENAI_API_KEY", _text_secret, secret=True),
    "openai_base_url": _Key("OPENAI_BASE_URL", _http_url),
    "user": _Key("BACKSTORY_USER", _identifier),
    "tenant": _Key("BACKSTORY_TENANT", _identifier),
    "encryption_key": _Key("BACKSTORY_ENCRYPTION_KEY", _key, secret=True),
    "log_level": _Key("BACKSTORY_LOG_LEVEL", _one_of(*get_args(LogLevel))),
    "time_zone": _Key("BACKSTORY_TIME_ZONE", _zone),
    "tools": _Key("BACKSTORY_TOOLS", _one_of(*get_args(ToolSet))),
    "host": _Key("BACKSTORY_HOST", _host),
    "port": _Key("BACKSTORY_PORT", _port),
    "phone_region": _Key("BACKSTORY_PHONE_REGION", _region),
    **_HTTP_KEYS,
}

_Source = tuple[Mapping[str, str], Callable[[str], str]]


def _flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def _env_name(name: str) -> str:
    return _KEYS[name].env


def _pick(name: str, sources: list[_Source]) -> Any:
    for values, called in sources:
        if name in values:
            try:
                return _KEYS[name].parse(values[name])
            except _Rejected as rejected:
                why, allowed = cast(tuple[str, str], rejected.args)
                raise Invalid(called(name), why, allowed) from None
    return None


def _known(values: Mapping[str, Any], what: str) -> None:
    for name in values:
        if name not in _KEYS:
            raise Invalid(f"The {what} {shown(name)}", "is not a setting", f"settings are {', '.join(sorted(_KEYS))}")


def _read_toml(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise Invalid(str(path), f"is not valid TOML ({bad})", "write lines such as log_level = 'INFO'") from None
    except OSError as bad:
        raise Invalid(str(path), f"cannot be read ({bad.strerror})", "make it readable, or remove it") from None
    _known(found, f"line in {path} for")
    if "data_dir" in found:
        raise Invalid(f"data_dir in {path}", "cannot move its own file", "set BACKSTORY_DATA_DIR or --data-dir instead")
    for name, value in found.items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise Invalid(f"{name} in {path}", "is neither text nor a number", "write it in quotation marks")
    return {name: str(value) for name, value in found.items()}


def _default_data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("backstory", appauthor=False)


def _check_together(settings: Settings) -> None:
    for name, value in (("BACKSTORY_EMBEDDER", settings.embedder), ("BACKSTORY_SUMMARIZER", settings.summarizer)):
        if value.startswith("openai:") and settings.openai_api_key is None and settings.openai_base_url is None:
            raise Invalid(
                "OPENAI_API_KEY",
                f"is missing, which {name}={value} needs",
                "set it, or OPENAI_BASE_URL for a local one",
            )
    http = settings.http
    for given, name, needed, other in (
        (http.tls_certificate, "BACKSTORY_TLS_KEY", http.tls_key, "BACKSTORY_TLS_CERTIFICATE"),
        (http.tls_key, "BACKSTORY_TLS_CERTIFICATE", http.tls_certificate, "BACKSTORY_TLS_KEY"),
        (http.oauth_issuer, "BACKSTORY_OAUTH_AUDIENCE", http.oauth_audience, "BACKSTORY_OAUTH_ISSUER"),
        (http.oauth_audience, "BACKSTORY_OAUTH_ISSUER", http.oauth_issuer, "BACKSTORY_OAUTH_AUDIENCE"),
    ):
        if given and not needed:
            raise Invalid(name, f"is missing, which {other} needs", "set both or neither")
