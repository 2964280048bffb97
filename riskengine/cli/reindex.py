"""`riskengine keys reindex`: another index key."""

import time
from contextlib import ExitStack, closing

import click
from sqlalchemy import delete

from riskengine.app import clock, make_home, open_store
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, progress_bar
from riskengine.errors import SealKeyError
from riskengine.keyring import LOSS, KeyFile, Keys, source_of
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import Settings
from riskengine.store.database import opened_alone
from riskengine.store.sql import SqlStore
from riskengine.store.tables import META
from riskengine.upkeep.reindexing import DONE, REINDEX, Reindex, marked, to_do

WAIT_SECONDS = 1.0


@click.command(epilog="Example: riskengine keys reindex")
@click.pass_obj
def reindex(shell: Shell) -> None:
    """Put in another index key, with all servers stopped: for when somebody may have seen the old one.

    Each digest by which users, devices, addresses and events are found is made again from what is sealed; all are
    looked at in the end, and only then is the old index key destroyed. It may be interrupted at any time; servers do
    not start until it has been run to its end. Every user_ref changes. Counters of attempts and days begin anew.

    Keys from RISKENGINE_KEYS or RISKENGINE_KEY_COMMAND are changed where they are kept: this command prints what has to
    be put there, once before it works and once after.
    """
    settings = shell.settings()
    make_home(settings)
    open_store(settings).close()
    source = source_of(settings)
    old = source.read()
    if _is_over(settings, old):
        _end(settings, old)
        return
    keys = old.reindexing()
    if keys != old and not isinstance(source, KeyFile):
        click.echo(keys.text(), nl=False)
        click.echo(f"Put this where {source.says} has its keys from, then run it again.", err=True)
        return
    with closing(opened_alone(settings.database_url, WAIT_SECONDS)) as database:
        one = Reindex(database, Seal(keys.reindexed()), settings.home / "journal")
        steps = to_do(database)  # nobody else is there
        if keys != old:
            source.replace(old, keys)
        began = time.monotonic()
        with ExitStack() as stack:
            one.tell = progress_bar(stack, steps, quiet=False, label="indexing anew")
            one.run()
    seconds = time.monotonic() - began
    if isinstance(source, KeyFile):
        source.replace(keys, keys.reindexed())
    else:
        click.echo(keys.reindexed().text(), nl=False)
        click.echo(f"Put this where {source.says} has its keys from, before a server starts.", err=True)
    _end(settings, keys.reindexed())
    for name, count in one.done.items():
        click.echo(f"{count:>12,}  {name}", err=True)
    click.echo(f"{one.done['events'] / seconds:,.0f} events/s in {seconds:.0f} s.", err=True)


def _is_over(settings: Settings, keys: Keys) -> bool:
    """Return whether a run was interrupted after its last change of the keys; SealKeyError for other keys."""
    with closing(SqlStore(settings.database_url)) as store:
        with store.reading() as connection:
            mark = marked(connection)
        check = store.meta(SEAL_CHECK)
    if check is None:
        raise SealKeyError("the database holds nothing yet, or not the value that proves its keys")
    given = keys.reindexed() if mark is not None and mark.stage == DONE and keys.next_index is not None else keys
    Seal(given).verify_check(check)
    return mark is not None and mark.stage == DONE and keys.next_index is None


def _end(settings: Settings, keys: Keys) -> None:
    """Let servers start again."""
    with closing(SqlStore(settings.database_url)) as store:
        Audit(store, Seal(keys)).record(clock(), "", operator(), "seal.reindex", keys.current)
        store.write(lambda connection: connection.execute(delete(META).where(META.c.name == REINDEX)))
    click.echo(f"All is found by the new index key; {LOSS}.", err=True)
    click.echo("Copy the keys to every server before it starts. Every user_ref is another one than before.", err=True)
