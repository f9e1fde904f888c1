"""`backstory connect`: the entry is right, and a host's file is never harmed."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server.commands.hosts import HOSTS, launch_command

COMMAND = [sys.executable, "-P", "-m", "server", "connect"]


def connect(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **environment}
    return subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("claude-desktop", ".config/Claude/claude_desktop_config.json"),
        ("claude-code", ".claude.json"),
        ("cursor", ".cursor/mcp.json"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="the places are those of Linux")
def test_prints_and_writes_the_entry(tmp_path: Path, host: str, where: str) -> None:
    printed = connect(tmp_path, host)
    assert printed.returncode == 0 and where in printed.stderr
    entry = json.loads(printed.stdout)["mcpServers"]["backstory"]
    assert Path(entry["command"]).is_absolute() and entry["args"][-1] == "serve" and "env" not in entry
    assert entry.get("type") == ("stdio" if host == "claude-code" else None)
    assert not (tmp_path / where).exists()
    assert connect(tmp_path, host, "--write").returncode == 0
    assert json.loads((tmp_path / where).read_text()) == {"mcpServers": {"backstory": entry}}


def test_places_on_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    mac = HOSTS["claude-desktop"].path("darwin")
    assert mac == Path.home() / "Library/Application Support/Claude/claude_desktop_config.json"
    monkeypatch.setenv("APPDATA", "/roaming")
    assert HOSTS["claude-desktop"].path("win32") == Path("/roaming/Claude/claude_desktop_config.json")


def test_the_command_in_the_entry_starts_this_installation() -> None:
    done = subprocess.run([*launch_command(), "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.startswith("backstory ")


def test_settings_in_force_travel_but_secrets_do_not(tmp_path: Path) -> None:
    done = connect(
        tmp_path, "cursor", "--user", "ana",
        BACKSTORY_DATA_DIR=str(tmp_path / "d"), BACKSTORY_EMBEDDER="none",
        OPENAI_API_KEY="sk-secret", BACKSTORY_DATABASE_URL="postgresql://u:secret@h/x",
    )  # fmt: skip
    entry = json.loads(done.stdout)["mcpServers"]["backstory"]
    expected = {"BACKSTORY_DATA_DIR": str(tmp_path / "d"), "BACKSTORY_USER": "ana", "BACKSTORY_EMBEDDER": "none"}
    assert entry["env"] == expected
    assert "secret" not in done.stdout + done.stderr


def test_other_entries_permissions_and_links_are_kept(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "mcp.json"
    real.parent.mkdir()
    old: dict[str, Any] = {"theme": "dürr", "mcpServers": {"other": {"command": "x"}, "backstory": {"command": "old"}}}
    real.write_text(json.dumps(old, ensure_ascii=False), encoding="utf-8")
    real.chmod(0o600)
    link = tmp_path / "mcp.json"
    link.symlink_to(real)
    done = connect(tmp_path, "cursor", "--write", "--file", str(link))
    assert done.returncode == 0, done.stderr
    merged = json.loads(real.read_text(encoding="utf-8"))
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o600
    assert merged["theme"] == "dürr" and merged["mcpServers"]["other"] == {"command": "x"}
    assert merged["mcpServers"]["backstory"]["args"][-1] == "serve"
    (backup,) = real.parent.glob("*.bak")
    assert json.loads(backup.read_text(encoding="utf-8")) == old
    again = connect(tmp_path, "cursor", "--write", "--file", str(link))
    assert again.returncode == 0 and "nothing was changed" in again.stderr
    assert len(list(real.parent.iterdir())) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"mcpServers": {', "not valid JSON at line 1"),
        (b"[]", "does not hold a JSON object"),
        (b'{"mcpServers": []}', "'mcpServers' is not a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_take_it_is_left_alone(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(text)
    done = connect(tmp_path, "cursor", "--write", "--file", str(path))
    assert done.returncode == 1 and told in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert path.read_bytes() == text and list(tmp_path.glob("*.bak")) == []


def test_an_empty_file_takes_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("")
    assert connect(tmp_path, "cursor", "--write", "--file", str(path)).returncode == 0
    assert "backstory" in json.loads(path.read_text())["mcpServers"]


def test_unknown_host_is_wrong_usage(tmp_path: Path) -> None:
    done = connect(tmp_path, "notepad")
    assert done.returncode == 2 and "claude-desktop" in done.stderr
