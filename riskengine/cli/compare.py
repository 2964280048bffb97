"""`riskengine replay --compare`: what would change if another policy decided."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from riskengine.activation import read_file
from riskengine.app import compile_core, make_home, open_locator, open_seal, open_store, read_policy
from riskengine.cli.page import refuse_page, write_page
from riskengine.cli.shell import FINISHED_WITH_REJECTS, Shell, again, as_json, ignore, progress_bar, shown
from riskengine.compare.comparison import Comparison, Naming, by_name, by_pseudonym, compare
from riskengine.compare.page import page
from riskengine.compare.replays import decided_twice
from riskengine.compare.section import Provenance, Reports, facts, sections
from riskengine.compare.stored import Retained, decided_again
from riskengine.document.terminal import text_lines
from riskengine.errors import NotFound
from riskengine.policy.policy import Policy
from riskengine.readers.read import Log
from riskengine.replay.events import Events
from riskengine.replay.lines import Summary, memory_engine
from riskengine.replay.pipeline import Replay
from riskengine.replay.transcript import Reject, Scribe, Transcript
from riskengine.settings import Settings
from riskengine.visible import visible_lines

STORED = "stored"
# Options that say where answers go, or that reach the store: a comparison writes figures, and changes nothing.
_OF_ANSWERS = ("out", "out_format", "save", "input_order")
_OF_FIGURES = ("json_", "report", "pseudonyms")
# What a comparison with the store knows; all others speak of a log.
_OF_STORED = ("against", "policy", "quiet", *_OF_FIGURES)
# Options that say how the figures are shown, not what they are.
_OUTPUTS = ("report", "json_", "rejects", "jobs", "quiet")


def compare_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add to `replay` the options of a comparison."""
    options = [
        click.option(
            "--compare",
            "against",
            metavar="FILE|stored",
            help="Tell what changes against this policy, or, without a LOG, against the answers in the store.",
        ),
        click.option("--json", "json_", is_flag=True, help="Write the comparison as JSON instead of tables."),
        click.option(
            "--report",
            type=click.Path(path_type=Path),
            metavar="FILE.html",
            help="Write the comparison as a page with plots, too.",
        ),
        click.option("--pseudonyms", is_flag=True, help="Call users by their user_ref in the comparison."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def refuse_odd(context: click.Context) -> None:
    """Refuse options and arguments that do not go together."""
    given = context.params
    against, logs = given["against"], given["logs"]
    for option in context.command.params:
        name = option.name or ""
        if name == "logs" or context.get_parameter_source(name) != ParameterSource.COMMANDLINE:
            continue
        if against is None and name in _OF_FIGURES:
            raise click.UsageError(f"{option.opts[0]} needs --compare.", context)
        if against == STORED and name not in _OF_STORED:
            raise click.UsageError(f"{option.opts[0]} does not go with --compare stored.", context)
        if against is not None and name in _OF_ANSWERS:
            raise click.UsageError(f"{option.opts[0]} does not go with --compare.", context)
    if against == STORED and logs:
        raise click.UsageError("--compare stored takes the events of the store: it needs no LOG.", context)
    if against != STORED and not logs:
        raise click.UsageError("Missing argument 'LOG…'.", context)
    others = (against, given["policy"], given["rejects"])
    refuse_page(given["report"], [*logs, *(path for path in others if path is not None)])


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison came to, before it is shown."""

    figures: Comparison
    reports_before: Reports | None
    reports_after: Reports
    undecided: int = 0
    rejected: bool = False


def compare_log(context: click.Context, log: Callable[[], Log], reject: Reject) -> Compared:
    """Decide a log by both policies and return what changes."""
    given, settings = context.params, _settings(context)
    policies = read_file(Path(given["against"]))[1], read_policy(settings)
    with ExitStack() as stack:
        locator = open_locator(settings)
        for policy in policies:
            _compile(policy, given["quiet"])
        opened, summary, events = log(), Summary(), stack.enter_context(closing(Events()))
        transcript = stack.enter_context(
            closing(read_shown(Scribe(locator, summary, reject, events, given["jobs"]), opened, given))
        )
        summaries = Summary(reporting=summary.reporting), summary
        runs = zip(transcript.twice(), policies, summaries, (ignore, reject), strict=True)
        before, after = (Replay(*run) for run in runs)
        progress = progress_bar(stack, transcript.ordered.count, given["quiet"])
        figures = compare(decided_twice(before, after, events, given["jobs"], progress), _naming(given))
    summary.sources = [source.told() for source in opened.sources]
    if not given["quiet"]:
        click.echo(visible_lines("\n".join(summary.lines())), err=True)
    one, other = (Reports(run.reports, run.refused_reports) for run in summaries)
    return Compared(figures, one, other, rejected=bool(summary.rejected))


def read_shown(scribe: Scribe, log: Log, given: dict[str, Any]) -> Transcript:
    """Read a log as the options say, and show how far that is."""
    with ExitStack() as stack:
        progress = progress_bar(stack, None, given["quiet"], "reading")
        return scribe.read(log, not given["as_of_arrival"], progress)


def compare_stored(context: click.Context) -> Compared:
    """Decide the store's own events again and return what changes."""
    given, settings = context.params, _settings(context)
    policy = read_policy(settings)
    make_home(settings)
    with ExitStack() as stack:
        _compile(policy, given["quiet"])
        engine = memory_engine(open_locator(settings), policy)
        store = stack.enter_context(closing(open_store(settings)))
        seal, counts, retained = open_seal(settings, store), store.counts(), Retained()
        if not counts["events"]:
            raise NotFound("The store holds no events to decide again.")
        progress = progress_bar(stack, counts["events"] + counts["reports"], given["quiet"])
        figures = compare(decided_again(store, seal, engine, retained, progress), _naming(given))
    reports = Reports(retained.reports, retained.refused_reports)
    return Compared(figures, None, reports, undecided=retained.undecided)


def _settings(context: click.Context) -> Settings:
    shell: Shell = context.obj
    return shell.settings(policy=context.params["policy"])


def _compile(policy: Policy, quiet: bool) -> None:
    compile_core(policy, ignore if quiet else partial(click.echo, err=True))


def _naming(given: dict[str, Any]) -> Naming:
    return by_pseudonym if given["pseudonyms"] else by_name


def show(context: click.Context, found: Compared) -> int:
    """Write the figures where they are wanted; return the exit code."""
    given = context.params
    about, figures = _provenance(context, found), found.figures
    text = text_lines(facts(about, figures), sections(figures))
    click.echo(as_json(about, figures) if given["json_"] else "\n".join(text))
    if given["report"] is not None:
        write_page(given["report"], page(about, figures))
    return FINISHED_WITH_REJECTS if found.rejected else 0


def _provenance(context: click.Context, found: Compared) -> Provenance:
    given = context.params
    stored = given["against"] == STORED
    return Provenance(
        logs=[shown(log) for log in given["logs"]],
        before="as stored" if stored else shown(given["against"]),
        after="the policy that is set" if given["policy"] is None else shown(given["policy"]),
        pseudonyms=given["pseudonyms"],
        reports_before=found.reports_before,
        reports_after=found.reports_after,
        undecided=found.undecided,
        command=again(context, _OUTPUTS),
    )
