"""`riskengine evaluate`: how a policy would have served a log whose truth is known."""

from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import click

from riskengine.app import compile_core, open_locator, read_policy
from riskengine.cli.page import refuse_page, write_page
from riskengine.cli.replay import open_log
from riskengine.cli.shell import FINISHED_WITH_REJECTS, Shell, again, as_json, ignore, progress_bar, shown
from riskengine.document.terminal import text_lines
from riskengine.engine.engine import Engine
from riskengine.errors import Fault, InvalidInput, SettingsError
from riskengine.evaluate import evaluation
from riskengine.evaluate.labels import Label, read_labels
from riskengine.evaluate.page import page
from riskengine.evaluate.sample import Sample, draw
from riskengine.evaluate.section import Provenance, facts, sections
from riskengine.policy.policy import Policy
from riskengine.readers.formats import FORMATS
from riskengine.readers.lines import STDIN
from riskengine.readers.opened import AUTO
from riskengine.replay.lines import Summary, decide, gather, in_time_order, memory_engine
from riskengine.settings import Settings
from riskengine.visible import visible_lines

# Options that say how the figures are shown, not what they are.
_OUTPUTS = ("report", "json_", "quiet")


class BaseRate(click.ParamType[Fraction]):
    """The share of attacks among all logins, as 1/10000 or 0.0001: above 0, below 1."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Fraction:
        try:
            rate = Fraction(str(value).replace(",", ""))
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate < 1:
            self.fail(f"{value} is no share between 0 and 1, as 1/10000", param, context)
        return rate


@click.command(
    name="evaluate",
    short_help="What a policy is worth over a log whose truth is known.",
    epilog="""\b
Examples:
  riskengine evaluate events.ndjson --labels labels.csv --warm-up 21
  riskengine evaluate events.ndjson --labels labels.csv --policy stricter.toml --report stricter.html
  riskengine evaluate auth.log --year 2026 --labels labels.ndjson --json
""",
)
@click.argument("logs", nargs=-1, required=True, metavar="LOG…")
@click.option(
    "--labels",
    required=True,
    metavar="FILE",
    help="CSV (event_id,label) or NDJSON: legitimate, attack, or the name of a kind of attack.",
)
@click.option("--format", "format_", type=click.Choice([AUTO, *FORMATS]), default=AUTO, show_default=True)
@click.option("--policy", type=click.Path(path_type=Path), metavar="FILE", help="Decide by this policy.")
@click.option("--warm-up", type=click.IntRange(0), default=0, metavar="DAYS", help="Learn so long before measuring.")
@click.option(
    "--base-rate",
    "base_rates",
    type=BaseRate(),
    multiple=True,
    metavar="SHARE",
    help="Attacks among all logins, for the precision; may be repeated (default 1/1000, 1/10000, 1/90000).",
)
@click.option("--json", "json_", is_flag=True, help="Write the figures as JSON instead of tables.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Write a page with plots, too.")
@click.option("--year", type=int, help="Year of the last line, for time stamps without one.")
@click.option("--tz", metavar="ZONE", help="IANA zone of time stamps without one (default UTC).")
@click.option("--quiet", is_flag=True, help="No progress and no summary on stderr.")
@click.pass_context
def evaluate(
    context: click.Context,
    logs: tuple[str, ...],
    labels: str,
    format_: str,
    policy: Path | None,
    warm_up: int,
    base_rates: tuple[Fraction, ...],
    json_: bool,
    report: Path | None,
    year: int | None,
    tz: str | None,
    quiet: bool,
) -> int:
    """Decide every login of the logs as replay does, and hold the decisions against what is known of each.

    Labels name events by the ids that the log has or that replay writes. Events without a label teach but are not
    measured, and no more are failures: nobody got past the password. Exit code 3: some lines of a log were rejected.
    """
    _refuse(logs, labels, policy, report)
    shell: Shell = context.obj
    settings = shell.settings(policy=policy)
    judge, known, summary = read_policy(settings), _labels(labels), Summary()
    with ExitStack() as stack:
        engine = _engine(settings, judge, quiet)
        log = open_log(logs, format_, year, tz)
        lines = gather(log, ignore, summary)
        summary.sources = [source.told() for source in log.sources]
        progress = progress_bar(stack, len(lines), quiet)
        sample = draw(lines, decide(in_time_order(lines), engine, summary, ignore, progress), known, warm_up)
    if len(sample.unmatched_lines) == len(known):
        raise InvalidInput([Fault(shown(labels), "labels no event of the log; `riskengine replay` writes their ids")])
    about = _provenance(context, sample, judge)
    found = evaluation.evaluate(sample, len(known), base_rates or evaluation.BASE_RATES)
    if not quiet:
        click.echo(visible_lines("\n".join(summary.lines())), err=True)
    click.echo(as_json(about, found) if json_ else "\n".join(text_lines(facts(about, found.coverage), sections(found))))
    if report is not None:
        write_page(report, page(about, found))
    return FINISHED_WITH_REJECTS if summary.rejected else 0


def _engine(settings: Settings, judge: Policy, quiet: bool) -> Engine:
    """Open an engine that decides by a policy, over nothing but this process's memory."""
    compile_core(judge, ignore if quiet else partial(click.echo, err=True))
    return memory_engine(open_locator(settings), judge)


def _refuse(logs: Sequence[str], labels: str, policy: Path | None, report: Path | None) -> None:
    """Refuse, before anything long begins, what cannot come to a good end."""
    if [*logs, labels].count(STDIN) > 1:
        raise SettingsError("Only one of the logs and the labels can be standard input.")
    refuse_page(report, [*logs, labels, *([policy] if policy else [])])


def _labels(path: str) -> dict[str, Label]:
    try:
        return read_labels(path)
    except OSError as error:
        raise SettingsError(f"--labels {shown(path)} cannot be read: {error.strerror}.") from error


def _provenance(context: click.Context, sample: Sample, policy: Policy) -> Provenance:
    given, data = context.params, sample.data or {}
    return Provenance(
        logs=[shown(log) for log in given["logs"]],
        labels=shown(given["labels"]),
        policy=policy.name,
        policy_version=policy.version,
        mode=policy.mode,
        data=data.get("source"),
        data_date=data.get("date"),
        warm_up_days=given["warm_up"],
        command=again(context, _OUTPUTS),
    )
