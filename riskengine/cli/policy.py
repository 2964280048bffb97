"""`riskengine policy`: is a policy file right, which policy is in force, and putting another one in force."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import make_url

from riskengine.activation import Changes, policy_of, read_file, takes_up
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, table
from riskengine.errors import PolicyError
from riskengine.policy.odd import oddities
from riskengine.policy.policy import Policy
from riskengine.settings import Settings
from riskengine.store.contract import PolicyRow
from riskengine.store.sql import SqlStore
from riskengine.visible import visible

AS_WRITTEN = "as-written"
LISTED = 20


@click.group(short_help="The policy: check, show, activate, roll back, observe or enforce.")
def policy() -> None:
    """Weights, thresholds and rules that decide; RISKENGINE_POLICY names a file of your own.

    The last change counts, for all servers of a database within 5 seconds: a policy file whose content changed, or one
    of `activate`, `rollback` and `mode`. What was activated gives way when a policy file changes again.
    """


@policy.command(epilog="Example: riskengine policy check my-policy.toml")
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Say whether FILE is a policy; exit 4 with the line and the key when it is not. What is odd is a warning."""
    _, found = read_file(file)
    _warn(found)
    click.echo(f"{file} is right: policy {visible(found.name)}, version {found.version}, mode {found.mode}.")


@policy.command(epilog="Example: riskengine policy show > my-policy.toml")
@click.pass_obj
def show(shell: Shell) -> None:
    """Print the policy that servers decide by, comments included; stderr says which and from where."""
    settings = shell.settings()
    row, text, found = in_force(settings)
    source = f"from {settings.policy_file}" if row is None else _said(row)
    click.echo(f"Policy {visible(found.name)}, version {found.version}, {source}", err=True)
    click.echo(text, nl=False)


@policy.command(epilog="Example: riskengine policy status")
@click.pass_obj
def status(shell: Shell) -> None:
    """Say which policy servers decide by, in which mode and by whose word; exit 4 when the policy file is broken."""
    settings = shell.settings()
    row, _, found = in_force(settings)
    mode = f"{found.mode} (set by {row.actor})" if row and row.mode else f"{found.mode} (as written)"
    lines = [("policy", found.name), ("version", found.version), ("mode", mode)]
    lines += [("in force", _said(row) if row else "as soon as a server starts"), ("file", str(settings.policy_file))]
    if settings.shadow_policy is not None:
        _, shadow = read_file(settings.shadow_policy)
        lines.append(("shadow", f"{shadow.name}, version {shadow.version}, from {settings.shadow_policy}"))
    table(lines)
    version, problem = _written(settings)
    if problem is not None:
        raise problem
    if version != found.version:
        click.echo(f"warning: the file's version {version} is not the one in force", err=True)


@policy.command("list", epilog="Example: riskengine policy list")
@click.option("--all", "most", flag_value=1_000_000, default=LISTED, help="Every change, not the last 20 only.")
@click.pass_obj
def list_policies(shell: Shell, most: int) -> None:
    """List the changes of what is in force, newest first."""
    with _store(shell.settings()) as store:
        found = store.policies(most)
    rows = [("when", "what", "version", "name", "mode", "by")]
    rows += [(_when(row.at), row.action, row.version, row.name, row.mode or AS_WRITTEN, row.actor) for row in found]
    table(rows)


@policy.command(epilog="Example: riskengine policy activate my-policy.toml")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def activate(shell: Shell, file: Path) -> None:
    """Put FILE in force on all servers within 5 seconds, until a policy file changes or somebody says otherwise."""
    text, found = read_file(file)
    _warn(found)
    with _changes(shell.settings()) as changes:
        _tell(changes.activate(text, found, clock()))


@policy.command(epilog="Examples: riskengine policy rollback; riskengine policy rollback 6f0c2a")
@click.argument("version", required=False)
@click.pass_obj
def rollback(shell: Shell, version: str | None) -> None:
    """Put the policy of before in force again, or the one whose VERSION begins so; all servers within 5 seconds.

    A second rollback without a version takes back the first.
    """
    with _changes(shell.settings()) as changes:
        _tell(changes.roll_back(version, clock()))


@policy.command(epilog="Example: riskengine policy mode observe")
@click.argument("mode", type=click.Choice(["observe", "enforce", AS_WRITTEN]))
@click.pass_obj
def mode(shell: Shell, mode: str) -> None:
    """Make all servers observe (allow, and say in would_be what it would have been) or enforce within 5 seconds.

    It stays, whatever policies state, until it is set anew; as-written leaves it to the policy again.
    """
    with _changes(shell.settings()) as changes:
        _tell(changes.set_mode(None if mode == AS_WRITTEN else mode, clock()))


def in_force(settings: Settings) -> tuple[PolicyRow | None, str, Policy]:
    """Return the change, the text and the policy that servers with these settings decide by; without a change, those
    of the policy file. A database that is not there yet is not made by looking."""
    row = None
    if not settings.is_embedded or Path(make_url(settings.database_url).database or "").exists():
        with closing(SqlStore(settings.database_url)) as store:
            store.ping()
            row = next(iter(store.policies(1)), None)
    version, _ = _written(settings)
    if row is None or (version is not None and takes_up(row, version, settings.policy is None)):
        return None, *read_file(settings.policy_file)
    return row, row.text, policy_of(row)


def _written(settings: Settings) -> tuple[str | None, PolicyError | None]:
    """Return the version of the policy file, or what is wrong with it."""
    try:
        return read_file(settings.policy_file)[1].version, None
    except PolicyError as error:
        return None, error


@contextmanager
def _store(settings: Settings) -> Iterator[SqlStore]:
    make_home(settings)
    with closing(open_store(settings)) as store:
        yield store


@contextmanager
def _changes(settings: Settings) -> Iterator[Changes]:
    with _store(settings) as store:
        yield Changes(store, Audit(store, open_seal(settings, store)), operator())


def _warn(found: Policy) -> None:
    for sentence in oddities(found):
        click.echo(f"warning: {sentence}", err=True)


def _tell(row: PolicyRow) -> None:
    found = policy_of(row)
    how = "as written" if row.mode is None else "set, whatever the policy states; `policy mode as-written` lifts it"
    click.echo(f"Policy {visible(row.name)}, version {row.version}, is in force, mode {found.mode} ({how}).", err=True)


def _said(row: PolicyRow) -> str:
    """Return by whose word a policy is in force."""
    return f"by {row.action} of {row.actor} at {_when(row.at)}"


def _when(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
