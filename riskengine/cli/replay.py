"""`riskengine replay`: a log through the engine, one answer a line."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from riskengine.app import clock, compile_core, make_home, open_locator, open_seal, open_store, read_policy
from riskengine.cli.compare import STORED, compare_log, compare_options, compare_stored, read_shown, refuse_odd, show
from riskengine.cli.sealing import WAIT_SECONDS
from riskengine.cli.shell import FINISHED_WITH_REJECTS, Shell, ignore, progress_bar
from riskengine.engine.engine import Engine
from riskengine.engine.saved import spelled
from riskengine.errors import SettingsError
from riskengine.locate.locator import Locator
from riskengine.policy.policy import Policy
from riskengine.readers.formats import FORMATS
from riskengine.readers.lines import named
from riskengine.readers.log import Rejected
from riskengine.readers.opened import AUTO, make_reading
from riskengine.readers.read import Log, read
from riskengine.replay.events import Events
from riskengine.replay.lines import REALM, Summary, decide, gather, in_time_order, sent, user_refs
from riskengine.replay.pipeline import Replay
from riskengine.replay.restored import in_input_order
from riskengine.replay.transcript import Reject, Scribe
from riskengine.seal import Seal
from riskengine.settings import Settings
from riskengine.store.database import opened as open_database
from riskengine.upkeep.reorder import Reordering
from riskengine.visible import visible_lines
from riskengine.writers.answers import NDJSON, OUT_FORMATS, format_of, open_answers
from riskengine.writers.ndjson import open_ndjson
from riskengine.writers.rejects import open_rejects
from riskengine.writers.target import STDOUT


@click.command(
    short_help="What would have been decided over a log.",
    epilog="""\b
Examples:
  riskengine replay auth.log --out decisions.ndjson --rejects rejects.ndjson
  riskengine replay events.ndjson --policy stricter.toml
  zcat old.gz | riskengine replay - --format sshd --year 2025
  riskengine replay 'okta/*.json.gz' signins.json --aliases people.csv
  riskengine replay portal.log --mapping portal.toml
  riskengine replay events.ndjson --policy new.toml --compare old.toml --report what-if.html
  riskengine replay --policy new.toml --compare stored

\b
Formats (--format; told by a log's first lines unless named):
"""
    + "\n".join(f"  {name:14} {what}" for name, what in FORMATS.items())
    + """

Logs may be lines, JSON lists or envelopes, CSV, packed with gzip, zstd, bzip2 or xz, in any order.""",
)
@click.argument("logs", nargs=-1, metavar="[LOG…]")
@click.option(
    "--format",
    "format_",
    type=click.Choice([AUTO, *FORMATS]),
    default=AUTO,
    show_default=True,
    metavar="NAME",
    help="See below.",
)
@click.option("--mapping", metavar="FILE", help="Read the logs by a mapping of your own, in TOML.")
@click.option("--user-field", metavar="PATH", help="Take the user from there, as actor.alternateId, in a vendor's log.")
@click.option("--aliases", metavar="FILE", help="CSV of name,user_id: the users that names in the log stand for.")
@click.option("--out", default=STDOUT, metavar="FILE", help="Where the answers go; - is standard output (default).")
@click.option(
    "--out-format",
    type=click.Choice(list(OUT_FORMATS)),
    help="How the answers are written; by default as the name of --out says, else as NDJSON.",
)
@click.option("--rejects", metavar="FILE", help="Where lines that cannot be read go, with number and reason.")
@click.option("--policy", type=click.Path(path_type=Path), metavar="FILE", help="Decide by this policy.")
@click.option("--save", is_flag=True, help="Import into the store; without it histories begin empty and end here.")
@click.option("--as-of-arrival", is_flag=True, help="Keep the log's own order instead of ordering by time.")
@click.option("--input-order", is_flag=True, help="Write the answers in the log's order.")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Decide in N processes, with --compare N for each policy; the answers are the same. --save takes one.",
)
@click.option("--year", type=int, help="Year of the last line, for time stamps without one.")
@click.option("--tz", metavar="ZONE", help="IANA zone of time stamps without one (default UTC).")
@click.option("--quiet", is_flag=True, help="No progress and no summary on stderr.")
@compare_options
@click.pass_context
def replay(
    context: click.Context,
    /,
    logs: tuple[str, ...],
    format_: str,
    mapping: str | None,
    user_field: str | None,
    aliases: str | None,
    out: str,
    out_format: str | None,
    rejects: str | None,
    policy: Path | None,
    save: bool,
    as_of_arrival: bool,
    input_order: bool,
    jobs: int,
    year: int | None,
    tz: str | None,
    quiet: bool,
    against: str | None,
    **_: Any,
) -> int:
    """Decide every login of the logs as live would have, had everything arrived in order of time.

    One row an event. As NDJSON it is the full answer of POST /score, with `log` and `line`; as CSV (.csv) or Parquet
    (.parquet) its columns beside those of the event; as documents for a SIEM (.ocsf.ndjson, .ecs.ndjson) OCSF 3002 or
    ECS. Exit code 3: some lines were rejected.

    With --compare no answers are written but what would change: how many decisions, by reason, group and network,
    whose, with examples.
    """
    refuse_odd(context)
    _refuse_overwriting(logs, out, rejects)
    opened = partial(open_log, logs, format_, year, tz, (mapping, user_field, aliases))
    if against == STORED:
        return show(context, compare_stored(context))
    if against is not None:
        with ExitStack() as stack, _writable(rejects):
            compared = compare_log(context, opened, _rejecter(stack, rejects))
        return show(context, compared)
    shell: Shell = context.obj
    settings = shell.settings(policy=policy)
    summary = Summary()
    with ExitStack() as stack, _writable(out, rejects):
        judge, locator = read_policy(settings), open_locator(settings)
        compile_core(judge, ignore if quiet else partial(click.echo, err=True))
        log = opened()
        reject = _rejecter(stack, rejects)
        summary.sources = [source.told() for source in log.sources]
        if save:
            engine = stack.enter_context(_engine(settings, judge, locator))
            _import(context, log, engine, settings, summary, reject)
        else:
            _decide(context, log, judge, locator, summary, reject)
    if not quiet:
        click.echo(visible_lines("\n".join(summary.lines())), err=True)
    return FINISHED_WITH_REJECTS if summary.rejected else 0


def _decide(
    context: click.Context, log: Log, policy: Policy, locator: Locator, summary: Summary, reject: Reject
) -> None:
    """Decide a log and write the answers; nothing is saved."""
    given = context.params
    format_ = given["out_format"] or format_of(given["out"])
    with ExitStack() as stack:
        events = None if format_ == NDJSON else stack.enter_context(closing(Events()))
        scribe = Scribe(locator, summary, reject, events, given["jobs"])
        transcript = stack.enter_context(closing(read_shown(scribe, log, given)))
        progress = progress_bar(stack, transcript.ordered.count, given["quiet"])
        decided = Replay(transcript, policy, summary, reject).decide(given["jobs"], progress)
        if given["input_order"] and not transcript.ordered.in_order:
            decided = in_input_order(decided)
        if events is None:
            rows = stack.enter_context(open_ndjson(given["out"]))
            for some in decided:
                rows.write_lines(some.lines.data.data)
        else:
            write = stack.enter_context(open_answers(given["out"], format_))
            for some in decided:
                for answer, event in zip(some.answers(), events.of(some.numbers), strict=True):
                    write(answer, spelled(event))


def _import(
    context: click.Context, log: Log, engine: Engine, settings: Settings, summary: Summary, reject: Reject
) -> None:
    """Decide a log in the store, write the answers, and put the histories of who was known before in order."""
    given = context.params
    with ExitStack() as stack:
        items = gather(log, reject, summary)
        order = stack.enter_context(_reordering(settings, engine.seal))
        known = order.known(user_refs(items, engine.tokeniser))
        lines = items if given["as_of_arrival"] else in_time_order(items)
        progress = progress_bar(stack, len(lines), given["quiet"])
        write = stack.enter_context(open_answers(given["out"], given["out_format"] or format_of(given["out"])))
        answers: Iterator[tuple[int, dict[str, Any]]] = decide(lines, engine, summary, reject, progress, clock())
        for number, answer in sorted(answers, key=lambda pair: pair[0]) if given["input_order"] else answers:
            write(answer, sent(items[number]))
        progress = progress_bar(stack, len(known), given["quiet"], "ordering histories")
        for user in known:
            summary.reordered += order.reorder(user)
            progress(1)


def _refuse_overwriting(logs: tuple[str, ...], out: str, rejects: str | None) -> None:
    """Refuse an output that is a log itself, or the other output."""
    read_from = {Path(log).resolve() for log in named(logs) if log != STDOUT}
    targets = [Path(target).resolve() for target in (out, rejects) if target not in (None, STDOUT)]
    if read_from.intersection(targets) or len(set(targets)) < len(targets):
        raise SettingsError("--out and --rejects must be files of their own, not a log or each other.")


@contextmanager
def _engine(settings: Settings, policy: Policy, locator: Locator) -> Iterator[Engine]:
    """Open an engine over the store."""
    make_home(settings)
    with closing(open_store(settings)) as store:
        yield Engine(store, locator, policy, open_seal(settings, store))


@contextmanager
def _reordering(settings: Settings, seal: Seal) -> Iterator[Reordering]:
    """Open what puts the histories of users in order who were known before an import."""
    with closing(open_database(settings.database_url, WAIT_SECONDS)) as database:
        yield Reordering(database, seal, REALM)


@contextmanager
def _writable(*targets: str | None) -> Iterator[None]:
    """Turn a file that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        named = " or ".join(target for target in targets if target)
        raise SettingsError(f"{named} cannot be written: {error.strerror or error}.") from error


def open_log(
    logs: tuple[str, ...],
    format_: str,
    year: int | None,
    tz: str | None,
    how: tuple[str | None, str | None, str | None] = (None, None, None),
) -> Any:
    """Open logs for reading; `how`: a mapping's file, the user's field, a file of aliases. SettingsError names what
    cannot be read."""
    if how[0] is not None and format_ != AUTO:
        raise SettingsError("--mapping says how the logs are read: --format cannot be given beside it.")
    try:
        return read(named(logs), format_, year, tz, make_reading(*how))
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _rejecter(stack: ExitStack, target: str | None) -> Callable[[Rejected], None]:
    """Return what takes a rejected line: the file asked for, or nothing but the count."""
    return stack.enter_context(open_rejects(target)).write if target else ignore
