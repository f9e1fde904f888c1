"""Settings: flags over environment over `backstory.toml` in the data directory. The only reader of either."""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import urlsplit, urlunsplit

from memory.errors import Invalid, shown
from memory.model import Owner
from server import setting_values as kinds
from server.setting_values import Secret as Secret

ToolSet = Literal["recall", "agent", "full"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
_TOML_NAME: Final = "backstory.toml"


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
    rate_per_minute: int = 6000
    rate_burst: int = 400
    max_streams: int = 500
    session_idle: int = 60
    traces: Literal["none", "otlp"] = "none"
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
    summarize_turns: int = 20
    summarize_tokens: int = 6000
    tokenizer: str | None = None
    profile_sessions: int = 10
    profile_days: int | None = None
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
    max_message: int = 10 * 1024 * 1024
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
    def database_file(self) -> Path:
        """The SQLite file that holds the record where no database is named."""
        return self.data_dir / "backstory.db"

    @property
    def database_label(self) -> str:
        """Where the record lies, without a password: for messages."""
        if self.database_url is None:
            return str(self.database_file)
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
        """Reads all three sources, and for the time zone TZ. `flags` are by field name, None where not given.

        Errors: Invalid.
        """
        env = os.environ if environ is None else environ
        given = {name: str(value) for name, value in (flags or {}).items() if value is not None}
        _known(given, "flag")
        sources: list[_Source] = [
            (given, _flag_name),
            ({n: env[k.env] for n, k in _KEYS.items() if env.get(k.env)}, _env_name),
        ]
        data_dir = _pick("data_dir", sources) or _default_data_dir()
        sources.append((_read_toml(data_dir / _TOML_NAME), lambda name: f"{name} in {data_dir / _TOML_NAME}"))
        sources.append(({"time_zone": env["TZ"]} if env.get("TZ") else {}, lambda _: "TZ"))
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


_HTTP_KEYS: Final[Mapping[str, _Key]] = {
    "auth": _Key("BACKSTORY_AUTH", kinds.one_of("token", "none")),
    "public_url": _Key("BACKSTORY_PUBLIC_URL", kinds.http_url),
    "allowed_hosts": _Key("BACKSTORY_ALLOWED_HOSTS", kinds.several(kinds.host)),
    "allowed_origins": _Key("BACKSTORY_ALLOWED_ORIGINS", kinds.several(kinds.origin)),
    "trusted_proxies": _Key("BACKSTORY_TRUSTED_PROXIES", kinds.several(kinds.network)),
    "tls_certificate": _Key("BACKSTORY_TLS_CERTIFICATE", kinds.file),
    "tls_key": _Key("BACKSTORY_TLS_KEY", kinds.file),
    "max_body": _Key("BACKSTORY_MAX_BODY", kinds.number(1024, 1024**3)),
    "rate_per_minute": _Key("BACKSTORY_RATE_PER_MINUTE", kinds.number(0, 10_000_000)),
    "rate_burst": _Key("BACKSTORY_RATE_BURST", kinds.number(1, 1_000_000)),
    "max_streams": _Key("BACKSTORY_MAX_STREAMS", kinds.number(1, 100_000)),
    "session_idle": _Key("BACKSTORY_SESSION_IDLE", kinds.number(10, 86_400)),
    "traces": _Key("BACKSTORY_TRACES", kinds.one_of("none", "otlp")),
    "oauth_issuer": _Key("BACKSTORY_OAUTH_ISSUER", kinds.http_url),
    "oauth_audience": _Key("BACKSTORY_OAUTH_AUDIENCE", kinds.claim),
    "oauth_jwks_url": _Key("BACKSTORY_OAUTH_JWKS_URL", kinds.http_url),
    "oauth_user_claim": _Key("BACKSTORY_OAUTH_USER_CLAIM", kinds.claim),
    "oauth_tenant_claim": _Key("BACKSTORY_OAUTH_TENANT_CLAIM", kinds.claim),
    "oauth_rights_claim": _Key("BACKSTORY_OAUTH_RIGHTS_CLAIM", kinds.claim),
}
_KEYS: Final[Mapping[str, _Key]] = {
    "data_dir": _Key("BACKSTORY_DATA_DIR", kinds.directory),
    "database_url": _Key("BACKSTORY_DATABASE_URL", kinds.database),
    "index_uri": _Key("BACKSTORY_INDEX_URI", kinds.index),
    "embedder": _Key(
        "BACKSTORY_EMBEDDER", kinds.with_model(("bundled", "multilingual", "none"), ("fastembed", "openai"))
    ),
    "summarizer": _Key("BACKSTORY_SUMMARIZER", kinds.with_model(("extractive", "client"), ("openai",))),
    "summarize_turns": _Key("BACKSTORY_SUMMARIZE_TURNS", kinds.number(1, 10_000)),
    "summarize_tokens": _Key("BACKSTORY_SUMMARIZE_TOKENS", kinds.number(100, 1_000_000)),
    "tokenizer": _Key("BACKSTORY_TOKENIZER", kinds.tokenizer),
    "profile_sessions": _Key("BACKSTORY_PROFILE_SESSIONS", kinds.number(1, 1000)),
    "profile_days": _Key("BACKSTORY_PROFILE_DAYS", kinds.number(1, 36_500)),
    "openai_api_key": _Key("OPENAI_API_KEY", kinds.text_secret),
    "openai_base_url": _Key("OPENAI_BASE_URL", kinds.http_url),
    "user": _Key("BACKSTORY_USER", kinds.identifier),
    "tenant": _Key("BACKSTORY_TENANT", kinds.identifier),
    "encryption_key": _Key("BACKSTORY_ENCRYPTION_KEY", kinds.key),
    "log_level": _Key("BACKSTORY_LOG_LEVEL", kinds.one_of(*get_args(LogLevel))),
    "time_zone": _Key("BACKSTORY_TIME_ZONE", kinds.zone),
    "tools": _Key("BACKSTORY_TOOLS", kinds.one_of(*get_args(ToolSet))),
    "host": _Key("BACKSTORY_HOST", kinds.host),
    "port": _Key("BACKSTORY_PORT", kinds.port),
    "phone_region": _Key("BACKSTORY_PHONE_REGION", kinds.region),
    "max_message": _Key("BACKSTORY_MAX_MESSAGE", kinds.number(1, 10 * 1024**2)),
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
            except kinds.Rejected as rejected:
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

    try:
        return kinds.directory(str(user_data_path("backstory", appauthor=False)))
    except (RuntimeError, kinds.Rejected):
        why = "is not set, and this user has no home that the usual place could be in"
        raise Invalid("BACKSTORY_DATA_DIR", why, "set it to the path of a directory") from None


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
