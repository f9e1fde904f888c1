"""`backstory doctor`: is everything in order, and what to do where it is not."""

import click

from server.commands.checkup import Finding, checkup
from server.commands.opening import configure_logging
from server.commands.options import with_settings
from server.commands.output import echo_json
from server.settings import Settings

MARKS = {"ok": "green", "note": "yellow", "bad": "red"}


@click.command()
@click.option("--repair", is_flag=True, help="Rebuild the search index from the record.")
@click.option("--audit", is_flag=True, help="Compare every session with what was recorded.")
@click.option("--json", "as_json", is_flag=True, help="The findings for machines.")
@with_settings()
def doctor(repair: bool, audit: bool, as_json: bool, settings: Settings) -> None:
    """Check the data directory, the database, the search index and the embedder. Nothing is changed without --repair.

    \b
    Examples:
      backstory doctor
      backstory doctor --audit     # proof that nothing was lost or altered
      backstory doctor --repair    # after a damaged index
    """
    configure_logging(settings)
    findings: list[Finding] = []
    for finding in checkup(settings, repair=repair, audit=audit):
        findings.append(finding)
        if not as_json:
            show(finding)
    healthy = all(finding.state != "bad" for finding in findings)
    if as_json:
        told = [{"check": f.check, "state": f.state, "text": f.text} for f in findings]
        echo_json({"healthy": healthy, "findings": told})
    if not healthy:
        raise click.exceptions.Exit(1)


def show(finding: Finding) -> None:
    mark = click.style(f"{finding.state:<5}", fg=MARKS[finding.state])
    click.echo(f"{mark}{finding.check:<15}{finding.text}")
