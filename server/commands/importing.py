"""`backstory import`: conversations from files."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server.commands.opening import opened_memory
from server.commands.options import with_settings
from server.commands.output import clean, echo_json, progress
from server.commands.waiting import wait_for_index
from server.formats.importing import Importing, Tally
from server.formats.items import Format
from server.settings import Settings

if TYPE_CHECKING:
    from server.parts import Parts

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FORMATS = ("auto", "jsonl", "locomo")


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=FILE)
@click.option("--format", "form", type=click.Choice(FORMATS), default="auto", show_default=True)
@click.option("--project", "project_id", help="Put everything into this project.")
@click.option("--wait", is_flag=True, help="Wait until the vectors are made as well.")
@click.option("--json", "as_json", is_flag=True, help="The result for machines.")
@with_settings()
def import_(
    paths: tuple[Path, ...], form: str, project_id: str | None, wait: bool, as_json: bool, settings: Settings
) -> None:
    """Import conversations from files. Nothing is recorded twice: an interrupted import goes on where it stopped.
    What cannot be imported is named and skipped; the rest is kept, and the exit code is 1.

    A LoCoMo conversation becomes the project named by its sample_id. Imported sessions are archived. Words can be
    searched at once; vectors follow while a server runs, or with --wait.

    \b
    Examples:
      backstory import history.jsonl
      backstory import --format locomo locomo10.json --wait
      backstory export --format jsonl -o all.jsonl
      backstory import all.jsonl --data-dir ./elsewhere
    """
    from server.formats.reading import format_of

    if project_id is not None and not project_id.strip():
        raise click.UsageError("--project is empty; give the project's id, or leave it out.")
    formats = [format_of(path, form) for path in paths]
    with opened_memory(settings) as memory:
        results = [_import_file(memory, path, form, project_id) for path, form in zip(paths, formats, strict=True)]
        caught_up = wait_for_index(memory, vectors=wait)
    if as_json:
        echo_json({"files": results, "caught_up": caught_up})
    if any(result["skipped"] for result in results):
        raise click.exceptions.Exit(1)


def _import_file(memory: "Parts", path: Path, form: Format, project_id: str | None) -> dict[str, Any]:
    """Imports one file with a progress bar, and says what came of it."""
    tally = Tally()
    importing = Importing(memory.store, memory.settings.owner, memory.clock, tally)
    size = path.stat().st_size or 1
    with progress(path.name) as move:
        taken = [0]

        def done(tally: Tally) -> None:
            move(taken[0], size, f"{path.name}: {tally.new + tally.duplicates:,} messages")

        importing.run(form.read(path, project_id, lambda count: taken.__setitem__(0, count)), done)
    for skipped in tally.skipped:
        click.echo(clean(f"{path}, {skipped.where}: {skipped.why}"), err=True)
    if tally.new or tally.duplicates or not tally.skipped:
        click.echo(told(path, tally), err=True)
    return {
        "path": str(path),
        "format": form.name,
        "recorded": tally.new,
        "duplicates": tally.duplicates,
        "sessions": len(tally.sessions),
        "skipped": [asdict(skipped) for skipped in tally.skipped],
    }


def told(path: Path, tally: Tally) -> str:
    counted = f"{number(tally.new, 'message')} recorded in {number(len(tally.sessions), 'session')}"
    if tally.duplicates and not tally.new:
        counted = f"nothing new; {number(tally.duplicates, 'message')} had been recorded before"
    elif tally.duplicates:
        counted += f", {tally.duplicates:,} were recorded before"
    if not tally.skipped:
        return f"{path}: {counted}."
    skipped = f"{number(len(tally.skipped), 'place')} skipped, as named above"
    return f"{path}: {counted}; {skipped}: mend what is wrong and import the file again, which records nothing twice."


def number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
