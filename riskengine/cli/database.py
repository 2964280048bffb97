"""`riskengine db`: the schema of the database."""

import click

from riskengine.app import make_home
from riskengine.cli.shell import Shell
from riskengine.errors import StoreUnavailable
from riskengine.store.schema import is_behind, schema_status
from riskengine.store.schema import upgrade as migrate


@click.group(short_help="The database: upgrade, status.")
def db() -> None:
    """The database that RISKENGINE_DATABASE_URL names; without it an embedded one under RISKENGINE_HOME."""


@db.command(epilog="Example: RISKENGINE_DATABASE_URL=postgresql://risk@db/risk riskengine db upgrade")
@click.pass_obj
def upgrade(shell: Shell) -> None:
    """Bring the schema to this version; running it twice, or on two machines at once, does no harm."""
    settings = shell.settings()
    make_home(settings)
    before, _ = schema_status(settings.database_url)
    migrate(settings.database_url)
    after, _ = schema_status(settings.database_url)
    click.echo(f"The schema is at {after}" + (" already." if before == after else f", it was {before or 'empty'}."))


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
