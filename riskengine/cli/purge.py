"""`riskengine purge`: what is older than its retention goes."""

from contextlib import ExitStack

import click

from riskengine.app import clock
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.sealing import sealing
from riskengine.cli.shell import Shell, progress_bar
from riskengine.settings import FOR_EVER
from riskengine.upkeep.pace import FLAT_OUT, Pace
from riskengine.upkeep.purge import Retention, purged
from riskengine.upkeep.purge import purge as made


@click.command(
    short_help="Take out what is older than its retention.",
    epilog="Examples: riskengine purge --dry-run; RISKENGINE_PERSONAL_DAYS=90 riskengine purge",
)
@click.option("--dry-run", is_flag=True, help="Only count what would go; reads the whole database.")
@click.option("--flat-out", is_flag=True, help="Without the rests that leave the database to logins.")
@click.pass_obj
def purge(shell: Shell, dry_run: bool, flat_out: bool) -> None:
    """Empty events of what is personal after RISKENGINE_PERSONAL_DAYS, and delete them after RISKENGINE_RETENTION_DAYS.

    Servers do so by themselves, each day at RISKENGINE_PURGE_AT. An emptied event keeps its time, place, network,
    decision and reason codes, and nothing that says whose it was; histories are folded again without it. Counters, day
    bitmaps, event ids and reports go with it. In short transactions beside the logins; it may be interrupted.
    """
    with sealing(shell) as parts, ExitStack() as stack:
        kept, now = Retention.of(parts.settings), clock()
        tell = progress_bar(stack, None, quiet=dry_run, label="purging")
        pace = FLAT_OUT if flat_out else Pace()
        one = made(parts.database, parts.seal, parts.settings, now, pace, tell)
        if dry_run:
            counts = one.waiting()
        else:
            Audit(parts.store, parts.seal).record(now, "", operator(), "purge", "events")
            counts = one.run()
            purged(parts.database, now)
    for name, count in counts.items():
        click.echo(f"{count:>12,}  {name}")
    kept_says = f"what is personal {_days(kept.personal_days)}, decisions {_days(kept.decision_days)}"
    click.echo(f"{'Would be kept' if dry_run else 'Kept'}: {kept_says}.", err=True)


def _days(days: int | None) -> str:
    return FOR_EVER if days is None else f"for {days} days"
