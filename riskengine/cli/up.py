"""`riskengine up`: from nothing to a serving process; what `make run` calls. A second start asks for nothing."""

import os
import shlex
import sys
from functools import partial
from pathlib import Path

import click
import structlog

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import Parts, build, clock, make_home, start_logging
from riskengine.check import format_time
from riskengine.cli.address import held
from riskengine.cli.serve import launch
from riskengine.cli.shell import Shell
from riskengine.errors import DataError
from riskengine.event import DAY_MS
from riskengine.locate.fetch import fetch
from riskengine.locate.manifest import geo_folder, installed
from riskengine.locate.source import DataSource
from riskengine.settings import Settings

FIRST_KEY = "first-access-key"
FIRST_NAME = "first"
LINK = "sign-in-link"
FIRST_SCOPES = ("score", "report", "verdict", "events:read")
# A fetch that failed is not tried again by every start: a closed network would make each one wait for it.
FAILED = "fetch-failed"
RETRY_MS = DAY_MS
# Two universities' networks, which every city database places right: Columbia in New York, Tokyo in Tokyo.
NEW_YORK, TOKYO = "128.59.105.24", "133.11.0.1"
TEN_MINUTES_MS = 600_000
_BANNER = """\
----------------------------------------------------------------------
 Location is known by country only: the city data could not be had.
 Journeys within a country are not seen. To try again:
   riskengine geo fetch
----------------------------------------------------------------------"""
_log = structlog.get_logger("riskengine.up")


@click.command(
    short_help="First run and every later one: fetch, migrate, make a key, serve.",
    epilog="Example: RISKENGINE_HOME=./.riskengine riskengine up",
)
@click.option("--host", metavar="IP", help="Address to bind.  [RISKENGINE_HOST, default 127.0.0.1]")
@click.option("--port", type=int, help="Port to bind.  [RISKENGINE_PORT, default 8000]")
@click.pass_obj
def up(shell: Shell, host: str | None, port: int | None) -> int:
    """Serve, after making whatever is not there yet: city data, database, sealing key, a first access key."""
    on_terminal = sys.stderr.isatty()
    settings = shell.settings(host=host, port=port)
    # For a person at a terminal, unless somebody chose.
    start_logging("text" if on_terminal and "log_format" not in settings.model_fields_set else settings.log_format)
    with held(settings) as listener:
        make_home(settings)
        obtain_places(settings, clock())
        app = build(settings)
        parts: Parts = app.state.parts
        if parts.locator.source(clock()).level == "country":
            click.echo(_BANNER, err=True)
        is_first = not parts.access.all()
        greeting = [make_first_key(parts, settings)] if is_first else []
        if is_first or sys.stdout.isatty():
            greeting += invitation(parts, settings)
        return launch(app, settings, listener, partial(click.echo, "\n".join(greeting)) if greeting else None)


def obtain_places(settings: Settings, now: int) -> None:
    """Fetch city data if there is none; a failure is told, remembered for a day, and does not stop the start."""
    failed = geo_folder(settings.home) / FAILED
    if settings.geoip_city is not None or _has_data(settings.home) or _failed_lately(failed, now):
        return
    try:
        fetch(settings.home)
        failed.unlink(missing_ok=True)
    except DataError as error:
        click.echo(f"riskengine: {error}", err=True)
        failed.write_text(str(now))


def _has_data(home: Path) -> bool:
    try:
        return installed(home) is not None
    except DataError:
        return False  # damaged: fetching it anew is the cure


def _failed_lately(failed: Path, now: int) -> bool:
    try:
        return 0 <= now - int(failed.read_text()) < RETRY_MS
    except (OSError, ValueError):
        return False


def make_first_key(parts: Parts, settings: Settings) -> str:
    """Create the first access key and return what to tell of it once the server is ready.

    On a terminal that is the key itself, this once; else it is left in a file that only its owner can read.
    """
    now = clock()
    token, row = parts.access.create(FIRST_NAME, FIRST_SCOPES, DEFAULT_REALM, now)
    parts.audit.record(now, row.realm, "up", "key.create", row.id, name=row.name, scopes=list(row.scopes))
    source = parts.locator.source(now)
    if sys.stdout.isatty():
        return f"\nYour first access key, shown only now:\n\n  {token}\n\n{welcome(token, settings, source, now)}"
    file = settings.home / "keys" / FIRST_KEY
    write_private(file, token + "\n")
    held = f"$(cat {shlex.quote(str(file.absolute()))})"
    return f"The first access key is in {file}.\n{welcome(held, settings, source, now)}"


def invitation(parts: Parts, settings: Settings) -> list[str]:
    """Return where the console is and a link that signs in there once, for the first key while it works.

    Like that key the link is shown on a terminal only, and else left in a file.
    """
    now = clock()
    usable = [row for row in parts.access.all() if row.name == FIRST_NAME and row.revoked_at is None]
    if not usable or now >= usable[0].expires_at:
        return []
    link = f"{settings.base_url}/console/sign-in?link={parts.sessions.make_link(usable[0].id, now)}"
    if sys.stdout.isatty():
        return [f"Console; this link signs you in once, within 10 minutes:\n\n  {link}\n"]
    file = settings.home / "keys" / LINK
    write_private(file, link + "\n")
    return [f"The console is at {settings.base_url}/console; a link that signs you in once, within 10 minutes: {file}"]


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, also when it was there with other rights."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)


def welcome(token: str, settings: Settings, source: DataSource, now: int) -> str:
    """Return two commands to paste once the server runs, and what they will show."""
    first = _curl(token, settings, NEW_YORK, now - TEN_MINUTES_MS)
    second = _curl(token, settings, TOKYO, now)
    return (
        f"Try it: a login from New York, and ten minutes later the same user in Tokyo.\n\n{first}\n\n{second}\n\n"
        'The first answers "allow"; the second "step_up", with the sentence that says why: nobody travels so fast.\n'
        f"{'; '.join(source.attribution)}\n\n"
        f"Further commands over this home:  RISKENGINE_HOME={shlex.quote(str(settings.home.absolute()))} "
        f"{shlex.quote(sys.argv[0])} doctor\n"
    )


def _curl(token: str, settings: Settings, ip: str, at: int) -> str:
    body = f'{{"user_id": "ana", "ip": "{ip}", "occurred_at": "{format_time(at)}"}}'
    insecure = "-k " if settings.tls_cert else ""
    return (
        f'curl -s {insecure}{settings.base_url}/score -H "Authorization: Bearer {token}" \\\n'
        f"  -H 'Content-Type: application/json' -d '{body}'"
    )
