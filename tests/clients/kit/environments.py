"""Environments for the clients that Backstory is tried with. As a script: makes those that are named, or all of them.

They lie in the user's cache directory and are made anew when their packages change in clients.toml. Only PyPI and npm
are asked, through uv and npm.
"""

import json
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

HERE = Path(__file__).parent
CACHE = user_cache_path("backstory") / "clients"


@dataclass(frozen=True)
class Client:
    """A client to try: `key` names its table in clients.toml and its driver, `name` is what people call it."""

    key: str
    name: str
    python: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()

    @property
    def is_apart(self) -> bool:
        """Whether it needs an environment of its own."""
        return bool(self.python or self.npm)

    @property
    def environment(self) -> Path:
        return CACHE / self.key

    @property
    def driver(self) -> list[str]:
        """The command that runs its driver; it wants one more argument, the file for its findings."""
        script = HERE / "drivers" / f"with_{self.key.replace('-', '_')}"
        if self.npm:
            return ["node", f"{script}.mjs"]
        python = self.environment / "bin" / "python" if self.python else Path(sys.executable)
        return [str(python), f"{script}.py"]


def known() -> dict[str, Client]:
    """The clients of clients.toml by their keys."""
    tables = tomllib.loads((HERE / "clients.toml").read_text())
    return {
        key: Client(key, table["name"], tuple(table.get("python", ())), tuple(table.get("npm", ())))
        for key, table in tables.items()
    }


def make(client: Client) -> None:
    """Makes a client's environment, unless it stands as clients.toml says. Errors: CalledProcessError."""
    stamp = client.environment / "made.json"
    wanted = json.dumps([sys.version_info[:2], client.python, client.npm])
    if not client.is_apart or (stamp.exists() and stamp.read_text() == wanted):
        return
    shutil.rmtree(client.environment, ignore_errors=True)
    client.environment.mkdir(parents=True)
    for command in _commands(client):
        subprocess.run(command, cwd=client.environment, check=True)
    stamp.write_text(wanted)


def _commands(client: Client) -> list[list[str]]:
    if client.npm:
        return [["npm", "install", "--silent", "--no-save", *client.npm]]
    uv = [sys.executable, "-m", "uv"] if not shutil.which("uv") else ["uv"]
    venv = [*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(client.environment)]
    return [venv, [*uv, "pip", "install", "--quiet", "--python", str(client.environment), *client.python]]


if __name__ == "__main__":
    for client in [known()[key] for key in sys.argv[1:]] or known().values():
        print(client.environment if client.is_apart else sys.prefix, client.name, flush=True)
        make(client)
