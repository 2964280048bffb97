"""`riskengine audit`: read the trail of who did what, and see whether it is whole."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import click

from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit, detail_of, matching, verify
from riskengine.check import Wrong, format_time, parse_time
from riskengine.cli.events import moment
from riskengine.cli.listing import plain
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, table
from riskengine.errors import Fault, InvalidInput, SealKeyError
from riskengine.seal import Seal, SealBroken
from riskengine.store.sql import SqlStore
from riskengine.store.trail import AuditLine

_LONGEST_DETAIL = 80


@click.group(short_help="Who did what: list the trail, verify it.")
def audit() -> None:
    """The audit trail: who looked for whom, changes of keys and policies, verdicts, exports."""


@audit.command(
    "list",
    epilog="""\b
Examples:
  riskengine audit list --since 7d --action events.search
  riskengine audit list --actor cli:root --limit 0 --format ndjson > trail.ndjson""",
)
@click.option("--actor", help="Who did it: the name of an access key, or cli:USER.")
@click.option("--action", help="As events.search, key.create.")
@click.option("--object", "object_", help="What it was done to.")
@click.option("--realm", help="Of this realm alone.")
@click.option("--since", metavar="WHEN", help="A time (RFC 3339), or how long ago: 90m, 24h, 7d, 2w.")
@click.option("--until", metavar="WHEN", help="Likewise; lines before it.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(0), help="0: all that match.")
@click.option("--format", "format_", default="table", show_default=True, type=click.Choice(("table", "ndjson")))
@click.pass_obj
def list_lines(shell: Shell, /, object_: str | None, limit: int, format_: str, **options: str | None) -> None:
    """Print the lines that match, newest first. They name whom somebody asked about, so this is audited too."""
    now = clock()
    since, until = (_time(name, options.pop(name), now) for name in ("since", "until"))
    with _opened(shell) as (store, seal):
        wanted = {**options, "object": object_}
        asked = [f"{name}={value}" for name, value in wanted.items() if value is not None]
        Audit(store, seal).record(now, options["realm"] or "default", operator(), "audit.list", "audit", asked=asked)
        lines = matching(store.audit_newest(), since, until, **wanted)
        shown = [_shown(line, seal) for line in (islice(lines, limit) if limit else lines)]
    if format_ == "ndjson":
        for one in shown:
            click.echo(json.dumps(one))
        return
    heads = ("line", "at", "realm", "actor", "action", "object", "detail")
    table([heads, *(tuple(_cell(one[head]) for head in heads) for one in shown)])


@audit.command(
    "verify",
    epilog="""\b
Examples:
  riskengine audit verify
  riskengine audit verify --head 57:0c5f…   (as an earlier run printed it)""",
)
@click.option("--head", metavar="HEAD", help="What an earlier run printed: notices an end cut off since.")
@click.pass_context
def verify_trail(context: click.Context, head: str | None) -> None:
    """Check that no line was altered, taken out or moved; print the head, to be noted somewhere else.

    The end of a trail can be cut off, and who may change everything can write it anew: only a head that was noted where
    that person does not reach tells. Exit code 1 when something is wrong.
    """
    with _opened(context.obj) as (store, seal):
        found = verify(store.audit_lines(), seal, head)
    for fault in found.faults:
        click.echo(fault, err=True)
    erased = f", {found.erased} with a person who was erased" if found.erased else ""
    click.echo(f"{found.lines} lines{erased}, {len(found.faults)} faults", err=True)
    if found.head is not None:
        click.echo(found.head)
    context.exit(1 if found.faults else 0)


def _time(name: str, text: str | None, now: int) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(moment(text, now))
    except Wrong as error:
        raise InvalidInput([Fault(f"--{name}", str(error))]) from error


def _shown(line: AuditLine, seal: Seal) -> dict[str, Any]:
    """Return a line as it is shown; a detail that does not open says so."""
    try:
        detail: Any = detail_of(line, seal)
    except (SealBroken, SealKeyError) as error:
        detail = {"unreadable": str(error)}
    return {
        "line": line.id,
        "at": format_time(line.at),
        **{name: getattr(line, name) for name in ("realm", "actor", "action", "object")},
        "detail": detail,
    }


def _cell(value: Any) -> str:
    text = plain(json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value)
    return text if len(text) <= _LONGEST_DETAIL else text[: _LONGEST_DETAIL - 1] + "…"


@contextmanager
def _opened(shell: Shell) -> Iterator[tuple[SqlStore, Seal]]:
    settings = shell.settings()
    make_home(settings)
    store = open_store(settings)
    try:
        yield store, open_seal(settings, store)
    finally:
        store.close()
