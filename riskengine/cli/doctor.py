"""`riskengine doctor`: what is configured, what is missing, what to do. It looks and changes nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import make_url

from riskengine.access.access import Access
from riskengine.activation import read_file
from riskengine.app import clock, read_policy
from riskengine.cli.policy import in_force
from riskengine.cli.shell import Shell
from riskengine.errors import PolicyError, SealKeyError, SettingsError, StoreUnavailable
from riskengine.keyring import LOSS, KeyFile, source_of
from riskengine.locate.status import status as geo_status
from riskengine.seal import SEAL_CHECK, Seal
from riskengine.settings import Settings
from riskengine.store.contract import Store
from riskengine.store.schema import is_behind, schema_status
from riskengine.store.sql import SqlStore
from riskengine.visible import visible

OK, LOOK, WRONG, DOWN = "ok", "look", "WRONG", "DOWN"
_CODES = {WRONG: 4, DOWN: 5}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `state` is ok, look (works, but), WRONG (a setting or file), DOWN (not reachable)."""

    state: str
    topic: str
    says: str


@click.command(
    short_help="What is configured, what is missing, what to do.",
    epilog="Example: riskengine doctor && riskengine serve",
)
@click.pass_obj
def doctor(shell: Shell) -> int:
    """Look at everything a start needs and say what to do; changes nothing.

    Exit 0 when a start would work, 4 when a setting, policy or key is wrong, 5 when something cannot be reached.
    """
    findings = list(examine(shell))
    for finding in findings:
        click.echo(f"{finding.state:5}  {finding.topic:12}  {visible(finding.says)}")
    return min((_CODES[finding.state] for finding in findings if finding.state in _CODES), default=0)


def examine(shell: Shell) -> Iterator[Finding]:
    """Yield a finding for each thing; with wrong settings there is nothing further to look at."""
    try:
        settings = shell.settings()
    except SettingsError as error:
        yield Finding(WRONG, "settings", str(error))
        return
    yield Finding(OK, "settings", f"serves on {settings.base_url}")
    yield _home(settings.home)
    yield _policy(settings)
    yield from _geo(settings)
    yield from _storage(settings)


def _home(home: Path) -> Finding:
    if not home.exists():
        return Finding(OK, "home", f"{home} does not exist yet; the first start makes it")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Finding(WRONG, "home", f"RISKENGINE_HOME {home} cannot be written by this user")
    return Finding(OK, "home", str(home))


def _policy(settings: Settings) -> Finding:
    """Look at the policy in force, and at the files that a start reads."""
    try:
        written = read_policy(settings)
        shadow = None if settings.shadow_policy is None else read_file(settings.shadow_policy)[1]
        policy = in_force(settings)[2]
    except PolicyError as error:
        return Finding(WRONG, "policy", str(error))
    except StoreUnavailable:  # what is wrong with it is a finding of its own
        policy = written
    says = f"{policy.name}, version {policy.version}, mode {policy.mode}"
    says += "" if policy.version == written.version else f"; not the file's {written.version}"
    says += "" if shadow is None else f"; beside it {shadow.name}, version {shadow.version}"
    return Finding(OK if policy.mode == "enforce" else LOOK, "policy", says)


def _geo(settings: Settings) -> Iterator[Finding]:
    found = geo_status(settings.home, settings.geoip_city, settings.geoip_asn, settings.geoip_anonymous)
    if found.source is None:
        yield Finding(WRONG, "geolocation", found.problem or "cannot be used")
        return
    yield Finding(OK, "geolocation", f"{found.source.name} of {found.source.date}, {found.source.level} level")
    for sentence in (found.problem, *found.warnings):
        if sentence:
            yield Finding(LOOK, "geolocation", sentence)


def _storage(settings: Settings) -> Iterator[Finding]:
    """Look at database, key file and access keys; a file that does not exist is not made by looking."""
    file = make_url(settings.database_url).database if settings.is_embedded else None
    if file is not None and not Path(file).exists():
        yield Finding(OK, "database", f"{file} does not exist yet; the first start makes it")
        return
    try:
        current, head = schema_status(settings.database_url)
        if is_behind(current, head):
            yield _behind(settings, current, head)
            return
        store = SqlStore(settings.database_url)
    except StoreUnavailable as error:
        yield Finding(DOWN, "database", f"{error}; see RISKENGINE_DATABASE_URL")
        return
    try:
        counts = ", ".join(f"{count:,} {name}" for name, count in store.counts().items())
        yield Finding(OK, "database", f"{'SQLite' if settings.is_embedded else 'PostgreSQL'}, {counts}")
        yield _seal(settings, store)
        yield _access(store)
    finally:
        store.close()


def _behind(settings: Settings, current: str | None, head: str | None) -> Finding:
    at = f"schema {current or 'empty'}, this version needs {head}"
    if settings.is_embedded:
        return Finding(LOOK, "database", f"{at}; the next start migrates it")
    return Finding(DOWN, "database", f"{at}: run `riskengine db upgrade`")


def _seal(settings: Settings, store: Store) -> Finding:
    check, source = store.meta(SEAL_CHECK), source_of(settings)
    if check is None and isinstance(source, KeyFile) and not source.path.exists():
        if settings.is_embedded:
            return Finding(OK, "sealing key", f"{source.says} does not exist yet; the first start makes it")
        return Finding(WRONG, "sealing key", f"{source.says} is missing: run `riskengine keys generate`")
    try:
        seal = Seal(source.read())
        if check is not None:
            seal.verify_check(check)
    except SealKeyError as error:
        return Finding(WRONG, "sealing key", f"{error}; see RISKENGINE_KEY_FILE")
    old = len(seal.keys.seal) - 1 - (seal.keys.next is not None)
    says = f"{source.says}; {LOSS}"
    return Finding(OK, "sealing key", says + (f"; {old} older, see `riskengine keys status`" if old else ""))


def _access(store: Store) -> Finding:
    now = clock()
    valid = [row for row in Access(store).all() if row.revoked_at is None and now < row.expires_at]
    if not valid:
        return Finding(LOOK, "access keys", "no valid one: run `riskengine keys create --name … --scope score`")
    days = (min(row.expires_at for row in valid) - now) // 86_400_000
    return Finding(OK, "access keys", f"{len(valid)} valid, the next expires in {days} days")
