"""What the project says about itself: links lead somewhere, commands exist, and one command is the same everywhere."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from server.cli import cli

ROOT = Path(__file__).resolve().parent.parent
GITHUB = ROOT / ".github"
RUN = "python3 -m uv run --locked "
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FORM_FIELDS = {"textarea", "input", "dropdown", "checkboxes"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def shell_lines(page: Path) -> Iterator[str]:
    """The commands of a page's shell blocks, without comments, each for itself."""
    for language, block in FENCE.findall(page.read_text()):
        if language == "sh":
            for line in block.splitlines():
                yield from filter(None, (part.strip() for part in line.partition("#")[0].split(" && ")))


def documented() -> set[str]:
    return {line.removeprefix(RUN) for page in PAGES for line in shell_lines(page)}


def recipes() -> dict[str, list[str]]:
    """The justfile's verbs with their commands, written out."""
    text = (ROOT / "justfile").read_text()
    assert f'run := "{RUN.strip()}"' in text
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if verb := re.match(r"([a-z]+)[^:=]*:$", line):
            found[verb[1]] = commands = []
        elif line.startswith("    "):
            commands.append(line.strip().replace("{{ run }} ", RUN).removesuffix(' "$@"'))
    return found


def slugs(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = page.parent / name if name else page
        assert found.exists(), f"{page.name} links to {target}, which is not there."
        assert not anchor or anchor in slugs(found), f"{page.name} links to {target}, a heading that is not there."


def said_of_the_command(page: Path) -> Iterator[str]:
    spans = re.findall(r"`(backstory [^`]+)`", prose(page).replace("\n", " "))
    for said in [*shell_lines(page), *spans]:
        first, *rest = said.removeprefix(RUN).split(" | ")
        if first.startswith("backstory "):
            yield from [first, *(f"backstory {other}" for other in rest)]


def fault_of(said: str) -> str | None:
    """What is wrong with a command line of ours, as far as subcommands and long options go."""
    command: click.Command = cli
    for word in shlex.split(said)[1:]:
        context = click.Context(command)
        if word.startswith("--"):
            known = {name for one in command.get_params(context) for name in [*one.opts, *one.secondary_opts]}
            if word.partition("=")[0] not in known:
                return f"`{said}`: no option {word}"
        elif isinstance(command, click.Group) and re.fullmatch(r"[a-z-]+", word):
            found = command.get_command(context, word)
            if found is None:
                return f"`{said}`: no command {word}"
            command = found
    return None


@pytest.mark.parametrize("said", ["backstory remember", "backstory serve --loud", "backstory token give"])
def test_a_command_that_is_not_there_is_noticed(said: str) -> None:
    assert fault_of(said)


@pages
def test_commands_exist(page: Path) -> None:
    assert [fault for said in said_of_the_command(page) if (fault := fault_of(said))] == []


def test_the_readme_names_every_command() -> None:
    named = {said.split()[1] for said in said_of_the_command(ROOT / "README.md")}
    assert set(cli.list_commands(click.Context(cli))) <= named


def test_the_justfile_has_five_verbs_whose_commands_are_documented() -> None:
    verbs = recipes()
    assert list(verbs) == ["setup", "check", "test", "demo", "bench"]
    commands = [command.removeprefix(RUN) for each in verbs.values() for command in each]
    assert [command for command in commands if command not in documented()] == []
    assert [fault for command in commands if command.startswith("backstory") and (fault := fault_of(command))] == []
    for script in re.findall(r"python (\S+\.py)", " ".join(commands)):
        assert (ROOT / script).is_file(), script


def test_hooks_run_what_check_runs() -> None:
    (repository,) = parsed(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = [hook["entry"].replace("uv run --locked --offline ", RUN) for hook in repository["hooks"]]
    checks = recipes()["check"]
    assert [hook.replace(" --force-exclude", "") for hook in hooks] == [check.removesuffix(" .") for check in checks]


def parsed(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def readme_test_command() -> str:
    block = re.search(r"^<!-- tests -->\n```sh\n(.*)\n```$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert block
    return block[1]


def test_the_workflow_tests_checkout_and_wheel_on_every_python() -> None:
    jobs = parsed(GITHUB / "workflows" / "test.yml")["jobs"]
    ran = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert ran["checkout"] == [readme_test_command()]
    assert ran["wheel"][-1] == ".ci/test_wheel"
    assert (ROOT / ".ci" / "test_wheel").stat().st_mode & 0o111
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    promised = [match[1] for one in classifiers if (match := re.search(r"Python :: (\d\.\d+)$", one))]
    for job in jobs.values():
        assert job["strategy"]["matrix"]["python"] == promised


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_issue_forms_are_whole(name: str) -> None:
    form = parsed(GITHUB / "ISSUE_TEMPLATE" / name)
    assert form["name"] and form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert {field["type"] for field in fields} <= FORM_FIELDS
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_no_issue_is_blank() -> None:
    assert parsed(GITHUB / "ISSUE_TEMPLATE" / "config.yml")["blank_issues_enabled"] is False
