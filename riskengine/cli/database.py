"""`riskengine db`: the schema of the database."""

import click

from riskengine.app import clock, make_home
from riskengine.cli.shell import Shell
from riskengine.errors import StoreUnavailable
from riskengine.settings import Settings
from riskengine.store.partitions import PATIENT_MS, Kept, keep
from riskengine.store.schema import is_behind, schema_status
from riskengine.store.schema import upgrade as migrate


@click.group(short_help="The database: upgrade, status, partitions.")
def db() -> None:
    """The database that RISKENGINE_DATABASE_URL names; without it an embedded one under RISKENGINE_HOME."""


@db.command(epilog="Example: RISKENGINE_DATABASE_URL=postgresql:///risk riskengine db upgrade")
@click.pass_obj
def upgrade(shell: Shell) -> None:
    """Bring the schema to this version; running it twice, or on two machines at once, does no harm."""
    settings = shell.settings()
    make_home(settings)
    before, _ = schema_status(settings.database_url)
    migrate(settings.database_url)
    after, _ = schema_status(settings.database_url)
    click.echo(f"The schema is at {after}" + (" already." if before == after else f", it was {before or 'empty'}."))
    _tell(_keep(settings))


@db.command(epilog="Example: riskengine db status")
@click.pass_obj
def status(shell: Shell) -> None:
    """Say where the schema is; exit 5 when it is not what this version needs."""
    settings = shell.settings()
    make_home(settings)
    current, head = schema_status(settings.database_url)
    if is_behind(current, head):
        raise StoreUnavailable(f"The schema is {current or 'empty'} and must be {head}: run `riskengine db upgrade`.")
    click.echo(f"The schema is at {current}, as this version needs it.")


@db.command(epilog="Example: RISKENGINE_RETENTION_DAYS=200 riskengine db partitions")
@click.pass_obj
def partitions(shell: Shell) -> None:
    """Make the month partitions of the next three months, and drop those beyond RISKENGINE_RETENTION_DAYS.

    Servers do so by themselves, once an hour; here steps may take their time. SQLite has no partitions.
    """
    kept = _keep(shell.settings())
    _tell(kept)
    if not kept.made and not kept.dropped:
        click.echo("There is nothing to do.")


def _keep(settings: Settings) -> Kept:
    return keep(settings.database_url, clock(), settings.retention_days, PATIENT_MS)


def _tell(kept: Kept) -> None:
    for verb, names in (("Made", kept.made), ("Dropped", kept.dropped)):
        if names:
            click.echo(f"{verb} {', '.join(names)}.")
