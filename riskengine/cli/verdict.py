"""`riskengine verdict`: one verdict on all events that a search finds, and taking it back."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import click

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import clock
from riskengine.cli.events import given_filters, with_filters
from riskengine.cli.operator import operator
from riskengine.cli.remediate import judging
from riskengine.cli.shell import Shell, progress_bar
from riskengine.event import VERDICTS
from riskengine.inquiry.inquiry import Asker, Inquiry
from riskengine.verdicts import Step, Verdicts

_YES = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(
    short_help="One verdict on all events that a search finds.",
    epilog="""\b
Examples:
  riskengine verdict --cidr 198.51.100.0/24 --since 7d confirmed_compromised
  riskengine verdict --decision step_up --country PT --since 24h dismissed --yes
  riskengine verdict undo 3f9a02c71b""",
)
@with_filters
@click.option("--since", metavar="WHEN", help="A time (RFC 3339), or how long ago: 90m, 24h, 7d, 2w.")
@click.option("--until", metavar="WHEN", help="Likewise; events before it.")
@click.option("--realm", default=DEFAULT_REALM, show_default=True)
@click.pass_context
def verdict(context: click.Context, /, realm: str, **options: Any) -> None:
    """Count the events that match all of the filters, ask, and give one verdict on each; at most 10,000.

    The id that is printed takes all of it back: the histories are then folded again as if it had never been given.
    """
    context.meta["filters"], context.meta["realm"] = given_filters(options, clock()), realm


def _giving(result: str) -> click.Command:
    @click.command(result, epilog=f"Example: riskengine verdict --ip 198.51.100.7 --since 24h {result}")
    @_YES
    @click.pass_context
    def give(context: click.Context, yes: bool) -> None:
        filters = context.meta["filters"]
        _run(context, yes, lambda verdicts, asker: verdicts.count(asker, filters, result))

    give.help = f"Give the verdict {result} on all that match. Prints the id that takes it back."
    return give


for _result in VERDICTS:
    verdict.add_command(_giving(_result))


@verdict.command(epilog="Example: riskengine verdict undo 3f9a02c71b --yes")
@click.argument("verdicts_id", metavar="ID")
@_YES
@click.pass_context
def undo(context: click.Context, verdicts_id: str, yes: bool) -> None:
    """Withdraw the verdicts that were given together, but where another verdict was given since."""
    if context.meta["filters"]:
        raise click.UsageError("An id stands alone: filters say nothing beside it.")
    _run(context, yes, lambda verdicts, asker: verdicts.undo(asker, verdicts_id))


def _run(context: click.Context, yes: bool, counted: Callable[[Verdicts, Asker], Step]) -> None:
    """Count, ask, and do it step by step."""
    shell: Shell = context.obj
    asker = Asker(operator(), context.meta["realm"])
    with judging(shell) as desk, ExitStack() as stack:
        inquiry = Inquiry(desk.store, desk.engine.seal, desk.audit, clock)
        verdicts = Verdicts(desk.engine, desk.store, inquiry, desk.audit, clock)
        step = counted(verdicts, asker)
        told = step.told()
        what = "withdraw the verdict" if told["result"] == "withdrawn" else told["result"]
        click.echo(f"{what}: {told['count']:,} events.", err=True)
        if step.confirm is None:
            return
        if not yes:
            click.confirm("Do it?", abort=True, err=True)
        advance, done = progress_bar(stack, told["count"], quiet=False, label="judging"), 0
        while step.confirm is not None:
            step = verdicts.step(asker, step.confirm)
            advance(step.progress.done - done)
            done = step.progress.done
        told = step.told()
    click.echo(told["id"])
    click.echo(f"{told['applied']:,} done, {told['skipped']:,} left as they were.", err=True)
