"""`riskengine keys`: who may call, and the key that seals."""

from contextlib import closing

import click

from riskengine.access.access import Access
from riskengine.access.caller import DEFAULT_REALM, SCOPES
from riskengine.access.keys import DEFAULT_DAYS
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.reindex import reindex
from riskengine.cli.sealing import COMMANDS
from riskengine.cli.shell import Shell, day, table
from riskengine.errors import NotFound
from riskengine.visible import visible


@click.group(short_help="Access keys of callers; the keys that seal.")
def keys() -> None:
    """Access keys of callers: create, list, revoke. Keys that seal: generate, status, rotate, reseal, retire,
    reindex."""


@keys.command(epilog="Example: riskengine keys create --name login-service --scope score --scope report")
@click.option("--name", default="unnamed", help="Who the key is for; stands in the audit trail.")
@click.option(
    "--scope",
    "scopes",
    required=True,
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may do; repeatable.",
)
@click.option("--realm", default=DEFAULT_REALM, show_default=True, help="Whose data it works on.")
@click.option("--days", default=DEFAULT_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Until it expires.")
@click.pass_obj
def create(shell: Shell, name: str, scopes: tuple[str, ...], realm: str, days: int) -> None:
    """Create an access key and print it alone on stdout; it is kept nowhere and cannot be shown again."""
    settings = shell.settings()
    make_home(settings)
    now = clock()
    with closing(open_store(settings)) as store:
        audit = Audit(store, open_seal(settings, store))
        token, row = Access(store).create(name, scopes, realm, now, days)
        audit.record(now, realm, operator(), "key.create", row.id, name=name, scopes=list(row.scopes))
    click.echo(token)
    click.echo(f"Key {row.id} ({visible(name)}) works until {day(row.expires_at)}.", err=True)


@keys.command("list", epilog="Example: riskengine keys list")
@click.pass_obj
def list_keys(shell: Shell) -> None:
    """List every access key; the keys themselves are not kept."""
    settings = shell.settings()
    make_home(settings)
    now = clock()
    with closing(open_store(settings)) as store:
        found = Access(store).all()
    rows = [("id", "name", "realm", "scopes", "created", "expires", "state")]
    for row in found:
        state = "revoked" if row.revoked_at is not None else "expired" if now >= row.expires_at else "valid"
        rows.append(
            (
                row.id,
                row.name,
                row.realm,
                ",".join(row.scopes),
                day(row.created_at),
                day(row.expires_at),
                state,
            )
        )
    table(rows)


@keys.command(epilog="Example: riskengine keys revoke 0123456789abcdef")
@click.argument("key_id", metavar="ID")
@click.pass_obj
def revoke(shell: Shell, key_id: str) -> None:
    """End an access key; servers refuse it within 2 seconds."""
    settings = shell.settings()
    make_home(settings)
    now = clock()
    with closing(open_store(settings)) as store:
        audit = Audit(store, open_seal(settings, store))
        row = store.access_key(key_id)
        if row is None:
            raise NotFound("There is no access key with this id; `riskengine keys list` shows them.")
        Access(store).revoke(key_id, now)
        audit.record(now, row.realm, operator(), "key.revoke", key_id, name=row.name)
    click.echo(f"Key {key_id} ({visible(row.name)}) is revoked.", err=True)


for _command in (*COMMANDS, reindex):
    keys.add_command(_command)
