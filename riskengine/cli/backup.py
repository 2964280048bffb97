"""`riskengine backup` and `riskengine restore`: all that is stored as one file, and back."""

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click

from riskengine.app import clock, make_home
from riskengine.cli.sealing import sealing
from riskengine.cli.shell import Shell, progress_bar
from riskengine.keyring import LOSS, source_of
from riskengine.store.schema import head, is_behind
from riskengine.upkeep.archive import POLICIES, Manifest
from riskengine.upkeep.backup import backup as made
from riskengine.upkeep.restore import restore as put


@click.command(
    short_help="All that is stored as one file, beside running servers.",
    epilog="Examples: riskengine backup /var/backups; riskengine backup monday.tar",
)
@click.argument("target", metavar="DIR|FILE", type=click.Path(path_type=Path))
@click.option("--with-keys", is_flag=True, help="Put the key file in too: who has the backup then reads everything.")
@click.pass_obj
def backup(shell: Shell, target: Path, with_keys: bool) -> None:
    """Write database, journal and policies, as they are at one moment, to FILE, or to a new file in DIR.

    Servers go on. What the backup needs beside it is printed: the key file above all, which is not in it unless
    --with-keys says so. A PostgreSQL database is copied by its own pg_dump; journals of other machines are not reached.
    """
    if target.is_dir():
        target /= f"riskengine-{datetime.fromtimestamp(clock() / 1000, UTC):%Y%m%dT%H%M%SZ}.tar"
    with sealing(shell) as parts, ExitStack() as stack:
        parts.record("backup", target.name)
        tell = progress_bar(stack, None, quiet=False, label="copying pages")
        manifest = made(parts.settings, parts.seal, target, clock(), with_keys, tell)
        where = parts.source.says
    click.echo(str(target))
    _tell(manifest)
    click.echo("Needed beside it, and not in it:", err=True)
    for line in _needed(manifest, where):
        click.echo(f"- {line}", err=True)


@click.command(
    short_help="Put a backup where nothing is yet.",
    epilog="Example: RISKENGINE_HOME=/srv/riskengine riskengine restore monday.tar",
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.pass_obj
def restore(shell: Shell, file: Path) -> None:
    """Restore FILE into RISKENGINE_HOME and RISKENGINE_DATABASE_URL, where no database may be yet.

    Checksums are compared and the keys are proved before anything is put in place. The key file has to lie in its place
    before, unless the backup was made --with-keys. It may be interrupted, and begun again.
    """
    settings = shell.settings()
    make_home(settings)
    manifest = put(settings, source_of(settings), file)
    _tell(manifest)
    click.echo("Restored; the keys are those that it was sealed with. Before you serve:", err=True)
    for line in _to_do(manifest, settings.home):
        click.echo(f"- {line}", err=True)


def _tell(manifest: Manifest) -> None:
    counts = manifest.counts
    click.echo(
        f"Of {manifest.made_at} by riskengine {manifest.version} ({manifest.database}, schema {manifest.schema}): "
        f"{counts['events']:,} events, {counts['histories']:,} histories, {counts['journal']:,} journal records.",
        err=True,
    )


def _needed(manifest: Manifest, where: str) -> list[str]:
    keys = f"key {', '.join(manifest.keys)} and the index key, as {where} holds them"
    held = f"nothing to open it: {keys}, are in it. Guard it as you guard them; who has it reads everything"
    return [
        held if manifest.holds_keys else f"the keys ({keys}); {LOSS}",
        f"the files of places and networks: {', '.join(manifest.geo) or 'none are in use'}",
        f"the settings: {', '.join(manifest.settings) or 'none are set'}",
    ]


def _to_do(manifest: Manifest, home: Path) -> list[str]:
    lines = [
        f"set {setting} to {home / name}, or the shipped policy takes its place"
        for name, setting in POLICIES.items()
        if name in manifest.parts
    ]
    lines += [f"have the files of places and networks that it had: {', '.join(manifest.geo)}"] if manifest.geo else []
    lines += [f"look through the settings that it had: {', '.join(manifest.settings)}"] if manifest.settings else []
    if is_behind(manifest.schema, head()):
        lines.append("riskengine db upgrade")
    return [*lines, "erase again who was erased since, and revoke and block again what was: riskengine audit list"]
