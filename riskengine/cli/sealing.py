"""`riskengine keys` over the keys that seal: generate, status, rotate, retire."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, progress_bar, table
from riskengine.errors import SealKeyError
from riskengine.keyring import LOSS, KeyFile, Keys, KeySource, source_of
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import Settings
from riskengine.store.contract import Store
from riskengine.store.database import Database, opened
from riskengine.upkeep.pace import FLAT_OUT, Pace
from riskengine.upkeep.resealing import reseal, used_in_journal, used_keys

# How long a step of a command waits for others.
WAIT_SECONDS = 10.0
# Servers look at the file every second.
TAKEN_UP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sealing:
    """What these commands work on."""

    settings: Settings
    source: KeySource
    seal: Seal
    store: Store
    database: Database

    def record(self, action: str, key_id: str) -> None:
        """Put into the audit trail what was done with a key."""
        Audit(self.store, self.seal).record(clock(), "", operator(), action, key_id)

    def replace(self, keys: Keys) -> None:
        """Have the source hold these keys, and the store prove itself by them."""
        self.source.replace(self.seal.keys, keys)
        self.seal.adopt(keys)
        self.store.set_meta(SEAL_CHECK, self.seal.check_value())


@contextmanager
def sealing(shell: Shell) -> Iterator[Sealing]:
    """Open everything; the keys are proved to be those of the database."""
    settings = shell.settings()
    make_home(settings)
    with closing(open_store(settings)) as store, ExitStack() as stack:
        seal = open_seal(settings, store)
        database = opened(settings.database_url, WAIT_SECONDS)
        stack.callback(database.close)
        yield Sealing(settings, source_of(settings), seal, store, database)


@click.command(epilog="Example: RISKENGINE_KEY_FILE=/etc/riskengine/seal.json riskengine keys generate")
@click.option("--print", "printed", is_flag=True, help="Print the keys instead, for a secret manager.")
@click.pass_obj
def generate(shell: Shell, printed: bool) -> None:
    """Write a new sealing key file for a PostgreSQL database; an existing file is never overwritten.

    The embedded database makes its own. Whoever loses this file loses the personal data sealed with it: back it up.
    """
    settings = shell.settings()
    if printed:
        click.echo(Keys.generate().text(), nl=False)
        click.echo(f"Keep these keys: {LOSS}.", err=True)
        return
    make_home(settings)
    source = source_of(settings)
    if not isinstance(source, KeyFile):
        raise SealKeyError(f"the keys come from {source.says}: give it what `riskengine keys generate --print` prints")
    Keys.generate().write(source.path)
    click.echo(f"{source.says} is written; {LOSS}.", err=True)


@click.command(epilog="Example: riskengine keys status")
@click.pass_obj
def status(shell: Shell) -> None:
    """Say where the sealing keys are, and how much of what is stored each of them sealed. Reads the whole database."""
    with sealing(shell) as parts:
        keys, used = parts.seal.keys, used_keys(parts.database)
        journal = used_in_journal(_journal(parts.settings))
    rows = [("key", "state", "values sealed", "where")]
    for key_id in sorted(keys.seal.keys() | used.keys() | journal.keys(), key=lambda one: (one != keys.current, one)):
        where = {**used.get(key_id, {}), **({"journal": journal[key_id]} if journal[key_id] else {})}
        said = ", ".join(f"{name} {count:,}" for name, count in where.items())
        rows.append((key_id, _state(key_id, keys), f"{sum(where.values()):,}", said))
    table(rows)
    click.echo(f"They are kept in {parts.source.says}; {LOSS}.", err=True)


def _state(key_id: str, keys: Keys) -> str:
    if key_id not in keys.seal:
        return "MISSING"
    return "current" if key_id == keys.current else "prepared" if key_id == keys.next else "older"


@click.command(epilog="Examples: riskengine keys rotate; riskengine keys rotate --prepare")
@click.option("--prepare", is_flag=True, help="Only make the new key, to be copied to other machines' servers first.")
@click.option("--no-wait", is_flag=True, help="Leave it to the servers to seal anew what older keys sealed.")
@click.option("--flat-out", is_flag=True, help="Without the rests that leave the database to logins.")
@click.pass_obj
def rotate(shell: Shell, prepare: bool, no_wait: bool, flat_out: bool) -> None:
    """Seal with a new key from now on, and seal anew what older keys sealed, while servers go on.

    Running servers take the new key up within a second, or when they first meet it. It may be interrupted at any time:
    the servers go on with it, and so does `riskengine keys reseal`. The older key stays until `riskengine keys retire`.

    Where servers on several machines have copies of the key file: first `--prepare`, copy the file to all of them, then
    `rotate`, and copy it again. Keys from RISKENGINE_KEYS or RISKENGINE_KEY_COMMAND are changed where they are kept:
    this command then prints what has to be put there.
    """
    with sealing(shell) as parts:
        made = parts.seal.keys.prepared() if prepare else parts.seal.keys.rotated()
        if not isinstance(parts.source, KeyFile):
            click.echo(made.text(), nl=False)
            click.echo(
                f"Put this where {parts.source.says} has its keys from, then `riskengine keys reseal`.", err=True
            )
            return
        before = parts.seal.keys.current
        parts.replace(made)
        if prepare:
            parts.record("seal.prepare", str(made.next))
            click.echo(f"Key {made.next} is prepared; copy {parts.source.says} to every server, then rotate.", err=True)
            return
        parts.record("seal.rotate", made.current)
        click.echo(f"Key {made.current} seals from now on; {LOSS}.", err=True)
        if no_wait:
            return
        _reseal(parts, flat_out)
    click.echo(f"`riskengine keys retire` takes out key {before} once nothing needs it.", err=True)


@click.command("reseal", epilog="Example: riskengine keys reseal")
@click.option("--flat-out", is_flag=True, help="Without the rests that leave the database to logins.")
@click.pass_obj
def reseal_old(shell: Shell, flat_out: bool) -> None:
    """Seal anew, with the current key, all that older keys sealed; servers do so too, once an hour."""
    with sealing(shell) as parts:
        parts.store.set_meta(SEAL_CHECK, parts.seal.check_value())  # where the keys were changed outside of us
        _reseal(parts, flat_out)


def _reseal(parts: Sealing, flat_out: bool) -> None:
    with ExitStack() as stack:
        tell = progress_bar(stack, None, quiet=False, label="sealing anew")
        done = reseal(parts.database, parts.seal, FLAT_OUT if flat_out else Pace(), tell)
    click.echo(f"{done:,} values are sealed anew.", err=True)


@click.command(epilog="Example: riskengine keys retire")
@click.pass_obj
def retire(shell: Shell) -> None:
    """Take out of the key file the older keys that nothing needs any more; those that something needs stay.

    The whole database and the journal under RISKENGINE_HOME are looked through. Not looked at: backups, which still
    need the keys of their day, and the journals of other machines.
    """
    with sealing(shell) as parts:
        keys = parts.seal.keys
        _until_taken_up(parts.source)
        older = sorted(keys.seal.keys() - {keys.current, keys.next})
        used, journal = used_keys(parts.database), used_in_journal(_journal(parts.settings))
        parts.store.set_meta(SEAL_CHECK, parts.seal.check_value())
        for key_id in older:
            where = {**used.get(key_id, {}), **({"journal": journal[key_id]} if journal[key_id] else {})}
            if where:
                said = ", ".join(f"{name} {count:,}" for name, count in where.items())
                click.echo(f"Key {key_id} stays: it sealed {said}. `riskengine keys reseal` sees to that.", err=True)
                continue
            keys = keys.without(key_id)
            if isinstance(parts.source, KeyFile):
                parts.replace(keys)
                parts.record("seal.retire", key_id)
            click.echo(
                f"Key {key_id} is retired; backups of its time need it: keep the key file they came with.", err=True
            )
        if not isinstance(parts.source, KeyFile):
            click.echo(keys.text(), nl=False)
            click.echo(f"Put this where {parts.source.says} has its keys from.", err=True)
        if not older:
            click.echo("There is no older key.", err=True)


def _until_taken_up(source: KeySource) -> None:
    """Wait until every server that reads this key file has seen its last change: none seals with an older key then."""
    if isinstance(source, KeyFile):
        time.sleep(min(max(source.path.stat().st_mtime + TAKEN_UP_SECONDS - time.time(), 0), TAKEN_UP_SECONDS))


def _journal(settings: Settings) -> Path:
    return settings.home / "journal"


COMMANDS = (generate, status, rotate, reseal_old, retire)
