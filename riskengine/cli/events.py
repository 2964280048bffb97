"""`riskengine events`: search the stored events, and tell the story of one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import click

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit
from riskengine.check import Wrong, format_time, span
from riskengine.cli.follow import follow
from riskengine.cli.listing import HEADS, cells, plain
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, table
from riskengine.decision import DECISIONS, LEVELS
from riskengine.event import OUTCOMES, STATES
from riskengine.inquiry.export import FORMATS, exported
from riskengine.inquiry.found import Found
from riskengine.inquiry.inquiry import NOW, Asker, Inquiry
from riskengine.network import KINDS
from riskengine.writers.target import open_target

# option → filter; those marked may be given several times.
_SEVERAL = ("decision", "level", "network", "country", "city", "asn", "resource", "outcome", "action", "state")
_CHOICES = {"decision": DECISIONS, "level": LEVELS, "network": KINDS, "outcome": OUTCOMES, "state": STATES}
_OPTIONS = {
    "user": "user_id", "user-ref": "user_ref", "login": "login", "ip": "ip", "cidr": "cidr", "device": "device_id",
    "session": "session_id", "reason": "reason", "min-score": "min_score", "max-score": "max_score",
    "min-speed": "min_speed_kmh",
}  # fmt: skip


def with_filters(command: Any) -> Any:
    """Give a command an option for each filter."""
    for name in reversed(_SEVERAL):
        choices = click.Choice(_CHOICES[name]) if name in _CHOICES else None
        command = click.option(f"--{name}", multiple=True, type=choices, help="May be given several times.")(command)
    for name in reversed(_OPTIONS):
        command = click.option(f"--{name}", metavar=name.upper(), default=None)(command)
    return command


@click.group(
    invoke_without_command=True,
    short_help="Search the stored events; show one.",
    epilog="""\b
Examples:
  riskengine events --user u17 --since 7d --decision deny
  riskengine events --cidr 198.51.100.0/25 --min-score 40 --format csv > attempts.csv
  riskengine events --follow --decision deny
  riskengine events show e17""",
)
@with_filters
@click.option("--since", metavar="WHEN", help="A time (RFC 3339), or how long ago: 90m, 24h, 7d, 2w.")
@click.option("--until", metavar="WHEN", help="Likewise; events before it.")
@click.option("--limit", type=click.IntRange(0), help="0: all that match.  [100; with --follow 0]")
@click.option("--format", "format_", default="table", show_default=True, type=click.Choice(("table", *FORMATS)))
@click.option("--follow", is_flag=True, help="Print events as they are stored, each once, until stopped.")
@click.option("--after", metavar="CURSOR", help="Follow from where a follower ended, from now or from start.  [now]")
@click.option("--realm", default=DEFAULT_REALM, show_default=True)
@click.pass_context
def events(context: click.Context, /, limit: int | None, format_: str, realm: str, **options: Any) -> None:
    """Print the stored events that match all of the filters, newest first. Who asked for whom is audited.

    With --follow print those that are stored from now on, in that order, as they come.
    """
    if context.invoked_subcommand is not None:
        return
    if options["after"] and not options["follow"]:
        raise click.UsageError("--after goes with --follow.")
    given, asker = given_filters(options, clock()), Asker(operator(), realm)
    with _opened(context.obj) as inquiry:
        filters = inquiry.filters(given, realm)
        if options["follow"]:
            follow(partial(inquiry.follow, asker, filters), options["after"] or NOW, limit or None, format_)
            return
        found: Iterable[Found] = inquiry.all(asker, filters)
        most = 100 if limit is None else limit
        _print(islice(found, most) if most else found, format_)


@events.command(epilog="Example: riskengine events show e17")
@click.argument("event_id")
@click.option("--realm", default=DEFAULT_REALM, show_default=True)
@click.pass_obj
def show(shell: Shell, event_id: str, realm: str) -> None:
    """Tell the story of one decision: who, from where, why, what would have changed it, what was reported since."""
    with _opened(shell) as inquiry:
        story = inquiry.event(Asker(operator(), realm), event_id)
    for line in story_lines(story):
        click.echo(line)


def story_lines(story: dict[str, Any]) -> Iterator[str]:
    """Yield the story of one event, whose texts may be hostile."""
    event, answer = story["event"], story["answer"]
    place, network, journey = answer["location"] or {}, answer["network"], answer["travel"]
    observed = "" if answer["would_be"] is None else f" (observing, else {answer['would_be']})"
    yield f"{answer['decision']}{observed} with a score of {answer['score']:g} ({answer['level']})"
    facts = {
        "event": answer["event_id"],
        "at": answer["occurred_at"],
        "user": event.get("user_id"),
        "login": event.get("login"),
        "outcome": event.get("outcome", "success"),
        "from": f"{event['ip']}, {place.get('place') or 'place unknown'}",
        "network": f"{network['name'] or 'unknown'} ({network['kind']})",
        "device": event.get("device_id"),
        "software": event.get("user_agent"),
        "resource": event.get("resource"),
        "travel": None if journey is None else f"{journey['distance_km']:,.0f} km in {journey['seconds']:,.0f} s",
        "state": story["state"],
        "policy": f"{answer['policy']['name']}, {answer['policy']['version'][:12]}",
    }
    for name, value in facts.items():
        if value is not None:
            yield f"  {name:9} {plain(value)}"
    for reason in answer["reasons"]:
        yield f"  {reason['points']:5.1f}  {plain(reason['message'])}  [{reason['code']}]"
    for one in answer.get("vouched", []):
        yield f"  {-one['points']:5.1f}  taken back: the {one['by']} is trusted"
    yield from map(plain, story["explanation"])
    for report in story["reports"]:
        yield f"{report['at']}  {report['result']}, by {plain(report['by'])}"
    for line in answer["data"].get("attribution", []):
        yield plain(line)


@contextmanager
def _opened(shell: Shell) -> Iterator[Inquiry]:
    settings = shell.settings()
    make_home(settings)
    store = open_store(settings)
    try:
        seal = open_seal(settings, store)
        yield Inquiry(store, seal, Audit(store, seal), clock)
    finally:
        store.close()


def given_filters(options: dict[str, Any], now: int) -> dict[str, Any]:
    """Return the filters that options of the command line state."""
    given: dict[str, Any] = {
        name: options[option.replace("-", "_")] for option, name in _OPTIONS.items()
        if options[option.replace("-", "_")] is not None
    }  # fmt: skip
    given |= {name: list(options[name]) for name in _SEVERAL if options[name]}
    given |= {name: moment(options[name], now) for name in ("since", "until") if options[name] is not None}
    return given


def moment(text: str, now: int) -> str:
    """Return a time as the filters take it: an age is counted back from `now`.

    >>> moment("2h", 7_200_000), moment("2026-01-01T00:00:00Z", 0)
    ('1970-01-01T00:00:00.000Z', '2026-01-01T00:00:00Z')
    """
    try:
        return format_time(max(now - span(text), 0))
    except Wrong:
        return text


def _print(found: Iterable[Found], format_: str) -> None:
    if format_ == "table":
        table([HEADS, *(cells(one) for one in found)])
        return
    with open_target("-") as target:
        for part in exported(found, format_):
            target.write(part)
