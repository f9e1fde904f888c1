"""MCP hosts: where each keeps its list of servers, and how an entry gets in there without harm."""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memory.errors import BackstoryError
from server.settings import Settings


@dataclass(frozen=True, slots=True)
class Host:
    """`path` gives the file for a `sys.platform`; `typed` hosts want the transport named in the entry."""

    title: str
    path: Callable[[str], Path]
    typed: bool = False


class _Unmergeable(BackstoryError):
    """The host's file cannot take the entry; it is left as it was."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} was left as it is: {why}.")


@dataclass(frozen=True, slots=True)
class Merged:
    changed: bool
    backup: Path | None = None


def _claude_desktop(platform: str) -> Path:
    if platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "Claude" / "claude_desktop_config.json"


HOSTS: Mapping[str, Host] = {
    "claude-desktop": Host("Claude Desktop", _claude_desktop),
    "claude-code": Host("Claude Code", lambda _: Path.home() / ".claude.json", typed=True),
    "cursor": Host("Cursor", lambda _: Path.home() / ".cursor" / "mcp.json"),
}


_CARRIED = ("index_uri", "embedder", "summarizer", "user", "tenant", "time_zone")


def entry(host: Host, settings: Settings) -> dict[str, Any]:
    """The entry that starts this very installation, with the settings that are in force here (never a secret)."""
    command, *args = launch_command()
    told: dict[str, Any] = {"type": "stdio"} if host.typed else {}
    told |= {"command": command, "args": [*args, "serve"]}
    if environment := _needed_environment(settings):
        told["env"] = environment
    return told


def _needed_environment(settings: Settings) -> dict[str, str]:
    """What a process started from a desktop would not know by itself: what flags and environment say here."""
    needed = {}
    if settings.data_dir != Settings.load(environ={}).data_dir:
        needed["BACKSTORY_DATA_DIR"] = str(settings.data_dir)
    unaided = Settings.load({"data_dir": str(settings.data_dir)}, environ={})
    for name in _CARRIED:
        if getattr(settings, name) != getattr(unaided, name):
            needed[f"BACKSTORY_{name.upper()}"] = str(getattr(settings, name))
    return needed


def launch_command() -> list[str]:
    """An absolute command, since hosts started from a desktop know no PATH of a shell."""
    uvx = shutil.which("uvx")
    if uvx and _is_ephemeral(Path(sys.prefix)):
        return [uvx, "backstory"]
    script = Path(sys.executable).with_name("backstory.exe" if sys.platform == "win32" else "backstory")
    if script.is_file():
        return [str(script)]
    return [sys.executable, "-P", "-m", "server"]


def _is_ephemeral(prefix: Path) -> bool:
    """Whether this environment is one that `uvx` made in its cache and may remove."""
    return any(part.startswith(("archive-v", "environments-v")) for part in prefix.parts)


def rendered(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def merge(path: Path, name: str, added: Mapping[str, Any]) -> Merged:
    """Puts the entry into the file, keeping all else; replaces the file in one step, after a backup.

    Errors: _Unmergeable when the file is no JSON object (it is not touched), or cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link (dotfiles are often links) stays a link
    old = _existing(path)
    config = json.loads(old) if old.strip() else {}
    servers = config.get("mcpServers", {}) if isinstance(config, dict) else None
    if not isinstance(servers, dict):
        raise _Unmergeable(path, "its 'mcpServers' is not a JSON object; correct it by hand")
    if servers.get(name) == added:
        return Merged(changed=False)
    new = rendered({**config, "mcpServers": {**servers, name: dict(added)}}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = _backed_up(path) if old else None
        replace(path, new)
    except OSError as error:
        raise _Unmergeable(path, f"it cannot be written ({error.strerror})") from error
    return Merged(changed=True, backup=backup)


def _existing(path: Path) -> str:
    """The file's text, empty where there is none; checked to be a JSON object."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        parsed = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _Unmergeable(path, f"it cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _Unmergeable(path, "it is not UTF-8 text") from error
    except ValueError as error:
        line = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise _Unmergeable(path, f"it is not valid JSON{line}; correct it by hand, then run this again") from error
    if not isinstance(parsed, dict):
        raise _Unmergeable(path, "it does not hold a JSON object")
    return text


def _backed_up(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    backup = path.with_name(f"{path.name}.{stamp}.bak")
    shutil.copy2(path, backup)
    return backup


def replace(path: Path, text: str) -> None:
    """Writes a sibling and moves it over `path`, with the old one's permissions."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
