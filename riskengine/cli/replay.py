"""`riskengine replay`: a log through the engine, one answer a line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from riskengine.app import clock, compile_core, make_home, open_locator, open_seal, open_store, read_policy
from riskengine.cli.progress import Progress
from riskengine.cli.shell import Shell
from riskengine.engine.engine import Engine
from riskengine.errors import SettingsError
from riskengine.locate.locator import Locator
from riskengine.policy.policy import Policy
from riskengine.readers.log import Rejected
from riskengine.readers.read import AUTO, FORMATS, read
from riskengine.replay.lines import Summary, decide, gather, in_time_order
from riskengine.replay.pipeline import Replay
from riskengine.replay.restored import in_input_order
from riskengine.settings import Settings
from riskengine.writers.ndjson import STDOUT, open_ndjson
from riskengine.writers.rejects import open_rejects

FINISHED_WITH_REJECTS = 3


@click.command(
    short_help="What would have been decided over a log.",
    epilog="""\b
Examples:
  riskengine replay auth.log --out decisions.ndjson --rejects rejects.ndjson
  riskengine replay events.ndjson --policy stricter.toml
  zcat old.gz | riskengine replay - --format sshd --year 2025""",
)
@click.argument("logs", nargs=-1, required=True, metavar="LOG…")
@click.option("--format", "format_", type=click.Choice([AUTO, *FORMATS]), default=AUTO, show_default=True)
@click.option("--out", default=STDOUT, metavar="FILE", help="Where the answers go; - is standard output (default).")
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
    help="Decide in N processes, with the same answers; --save takes one.",
)
@click.option("--year", type=int, help="Year of the last line, for time stamps without one.")
@click.option("--tz", metavar="ZONE", help="IANA zone of time stamps without one (default UTC).")
@click.option("--quiet", is_flag=True, help="No progress and no summary on stderr.")
@click.pass_obj
def replay(
    shell: Shell,
    logs: tuple[str, ...],
    format_: str,
    out: str,
    rejects: str | None,
    policy: Path | None,
    save: bool,
    as_of_arrival: bool,
    input_order: bool,
    jobs: int,
    year: int | None,
    tz: str | None,
    quiet: bool,
) -> int:
    """Decide every login of the logs as live would have, had everything arrived in order of time.

    One JSON line an event: the full answer of POST /score, with `log` and `line`. Exit code 3: some were rejected.
    """
    _refuse_overwriting(logs, out, rejects)
    settings = shell.settings(**({} if policy is None else {"policy": policy}))
    summary = Summary()
    with ExitStack() as stack, _writable(out, rejects):
        policy_, locator = read_policy(settings), open_locator(settings)
        compile_core(policy_, ignore if quiet else partial(click.echo, err=True))
        log = open_log(logs, format_, year, tz)
        reject = _rejecter(stack, rejects)
        summary.sources = [f"{source.name} read as {source.format}: {source.why}" for source in log.sources]
        if save:
            engine = stack.enter_context(_saving(settings, policy_, locator))
            lines = gather(log, reject, summary)
            lines = lines if as_of_arrival else in_time_order(lines)
            progress = progress_bar(stack, len(lines), quiet)
            rows = stack.enter_context(open_ndjson(out))
            answers: Iterator[tuple[int, dict[str, Any]]] = decide(lines, engine, summary, reject, progress, clock())
            for _, answer in sorted(answers, key=lambda pair: pair[0]) if input_order else answers:
                rows.write(answer)
        else:
            replayed = Replay(locator, policy_, summary, reject)
            count = replayed.read(log, not as_of_arrival, progress_bar(stack, None, quiet, "reading"))
            rows = stack.enter_context(open_ndjson(out))
            decided = replayed.decide(jobs, progress_bar(stack, count, quiet))
            for _, some in in_input_order(decided) if input_order and not replayed.in_order else decided:
                rows.write_lines(some)
    if not quiet:
        click.echo("\n".join(summary.lines()), err=True)
    return FINISHED_WITH_REJECTS if summary.rejected else 0


def _refuse_overwriting(logs: tuple[str, ...], out: str, rejects: str | None) -> None:
    """Refuse an output that is a log itself, or the other output."""
    read_from = {Path(log).resolve() for log in logs if log != STDOUT}
    targets = [Path(target).resolve() for target in (out, rejects) if target not in (None, STDOUT)]
    if read_from.intersection(targets) or len(set(targets)) < len(targets):
        raise SettingsError("--out and --rejects must be files of their own, not a log or each other.")


@contextmanager
def _saving(settings: Settings, policy: Policy, locator: Locator) -> Iterator[Engine]:
    """Open an engine over the store."""
    make_home(settings)
    with closing(open_store(settings)) as store:
        yield Engine(store, locator, policy, open_seal(settings, store))


@contextmanager
def _writable(*targets: str | None) -> Iterator[None]:
    """Turn a file that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        named = " or ".join(target for target in targets if target)
        raise SettingsError(f"{named} cannot be written: {error.strerror or error}.") from error


def open_log(logs: tuple[str, ...], format_: str, year: int | None, tz: str | None) -> Any:
    """Open logs for reading; SettingsError names one that cannot be."""
    try:
        return read(logs, format_, year, tz)
    except OSError as error:
        raise SettingsError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _rejecter(stack: ExitStack, target: str | None) -> Callable[[Rejected], None]:
    """Return what takes a rejected line: the file asked for, or nothing but the count."""
    return stack.enter_context(open_rejects(target)).write if target else ignore


def ignore(_: object) -> None:
    """Take no notice."""


def progress_bar(
    stack: ExitStack, total: int | None, quiet: bool, label: str = "deciding"
) -> Callable[[int], None]:
    """Return what is told how many items are done: a line on a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        return ignore
    return stack.enter_context(closing(Progress(label, total, sys.stderr)))
