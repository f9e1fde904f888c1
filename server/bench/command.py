"""`backstory bench recall`."""

from pathlib import Path
from typing import Any

import click

from server.bench.metrics import NAMES
from server.bench.running import Plan, run_recall_bench
from server.commands.options import with_settings
from server.commands.output import echo_json, progress
from server.settings import Settings


@click.command()
@click.option(
    "--data", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The data set."
)
@click.option("--without", multiple=True, metavar="FEATURE", help="Switch a feature of the score off; repeatable.")
@click.option("--ablate", is_flag=True, help="Also measure with each feature switched off, one by one.")
@click.option("--baselines/--no-baselines", default=True, help="Also measure BM25, the vector and their RRF.")
@click.option("--reworded", is_flag=True, help="Pass the data set's rewordings of a question along.")
@click.option("--json", "as_json", is_flag=True, help="Everything for machines, question by question.")
@with_settings()
def recall(
    data: Path,
    without: tuple[str, ...],
    ablate: bool,
    baselines: bool,
    reworded: bool,
    as_json: bool,
    settings: Settings,
) -> None:
    """Measure how often search finds the messages that answer a question.

    The data set (LoCoMo's JSON, or JSON lines of conversations with questions) is recorded into a scratch store, all
    conversations together, and indexed; each question is asked within its conversation. Categories without an answer in
    the conversation (adversarial) stand apart from the total.

    \b
    Examples:
      backstory bench recall --data locomo10.json
      backstory bench recall --data locomo10.json --embedder none --json
      backstory bench recall --data mine.jsonl --ablate
    """
    from inference.embedders import load_embedder

    model = load_embedder(
        settings.embedder,
        openai_base_url=settings.openai_base_url,
        openai_api_key=settings.openai_api_key.reveal() if settings.openai_api_key else None,
    )
    plan = Plan(data, without, ablate, baselines, reworded)
    with progress("preparing") as move:
        result = run_recall_bench(plan, model, lambda text, done, all_: move(done, all_, text))
    if as_json:
        echo_json(result)
    else:
        click.echo(rendered(result))


def rendered(result: dict[str, Any]) -> str:
    """The figures as Markdown tables, in per cent."""
    asked, model = result["questions_asked"], result["embedder"] or "keywords only"
    lines = [f"{result['data']}: {result['messages']:,} messages, {asked:,} questions, {model}", ""]
    lines += table(result["rankings"], "ranking")
    gaps = [
        f"- recall above {name}: recall@10 {signed(row['ours_minus_this']['recall@10'])}, "
        f"nDCG@10 {signed(row['ours_minus_this']['ndcg@10'])}"
        for name, row in result["rankings"].items()
        if name != "recall"
    ]
    lines += ["", *gaps] if gaps else []
    return "\n".join([*lines, "", *table({**result["by_category"], **result["apart"]}, "category")])


def table(rows: dict[str, dict[str, float]], first: str) -> list[str]:
    head = [first, *(["n"] if any("questions" in row for row in rows.values()) else []), *NAMES]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in rows.items():
        count = [str(row["questions"])] if "n" in head else []
        lines.append("| " + " | ".join([name, *count, *(f"{100 * row[figure]:.1f}" for figure in NAMES)]) + " |")
    return lines


def signed(gap: list[float]) -> str:
    low, high = gap[1:]
    return f"{100 * gap[0]:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
