"""`riskengine clients`: who may ask for tokens."""

import json
from contextlib import closing
from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from riskengine.access.caller import DEFAULT_REALM, SCOPES
from riskengine.access.clients import DEFAULT_DAYS, Clients
from riskengine.api.proxies import thumbprint_of
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, day, table
from riskengine.errors import Fault, InvalidInput
from riskengine.store.contract import ClientRow
from riskengine.visible import visible


@click.group(short_help="Clients that ask for tokens: create, list, rotate, revoke.")
def clients() -> None:
    """Clients of the token endpoint, POST /oauth/token (OAuth 2.0 client credentials)."""


@clients.command(
    epilog="Example: riskengine clients create login-service --scope score --scope report --certificate client.pem"
)
@click.argument("name")
@click.option(
    "--scope", "scopes", required=True, multiple=True, type=click.Choice(SCOPES), help="What it may do; repeatable."
)
@click.option("--realm", default=DEFAULT_REALM, show_default=True, help="Whose data it works on.")
@click.option("--days", default=DEFAULT_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Until it expires.")
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The certificate (PEM) that it has to show; its tokens are bound to it (RFC 8705).",
)
@click.option(
    "--jwks",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Its public keys (JWKS); it signs what proves it (private_key_jwt, RFC 7523) and has no secret.",
)
@click.option("--one-time", is_flag=True, help="Give it tokens that work for one request each.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def create(
    shell: Shell,
    name: str,
    scopes: tuple[str, ...],
    realm: str,
    days: int,
    certificate: Path | None,
    jwks: Path | None,
    one_time: bool,
    as_json: bool,
) -> None:
    """Register a client and print its id and secret; the secret is kept nowhere and cannot be shown again.

    With --jwks there is no secret: the client signs with a key of which only the public part is given here.
    """
    settings = shell.settings()
    make_home(settings)
    now = clock()
    thumbprint = None if certificate is None else _thumbprint(certificate)
    keys = None if jwks is None else _text(jwks)
    with closing(open_store(settings)) as store:
        audit = Audit(store, open_seal(settings, store))
        row, secret = Clients(store).create(
            name, scopes, realm, now, days, one_time=one_time, certificate=thumbprint, jwks=keys
        )
        audit.record(now, realm, operator(), "client.create", row.id, name=name, scopes=list(row.scopes))
    _show(row, secret, as_json)
    click.echo(f"Client {row.id} ({visible(name)}) works until {day(row.expires_at)}.", err=True)


@clients.command("list", epilog="Example: riskengine clients list")
@click.pass_obj
def list_clients(shell: Shell) -> None:
    """List every client; secrets are not kept."""
    settings = shell.settings()
    make_home(settings)
    now = clock()
    with closing(open_store(settings)) as store:
        found = Clients(store).all()
    rows = [("id", "name", "realm", "scopes", "proves itself by", "tokens", "expires", "state")]
    for row in found:
        state = "revoked" if row.revoked_at is not None else "expired" if now >= row.expires_at else "valid"
        by = [
            *(["secret"] if row.digest else []),
            *(["public key"] if row.jwks else []),
            *(["certificate"] if row.certificate else []),
        ]
        tokens = "one-time" if row.one_time else "access"
        rows.append(
            (row.id, row.name, row.realm, ",".join(row.scopes), ",".join(by), tokens, day(row.expires_at), state)
        )
    table(rows)


@clients.command(epilog="Example: riskengine clients rotate rc_0123456789abcdef")
@click.argument("client_id", metavar="ID")
@click.option("--days", default=DEFAULT_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Until it expires.")
@click.option(
    "--jwks",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The public keys in place of those it has; list old and new ones for as long as both are in use.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def rotate(shell: Shell, client_id: str, days: int, jwks: Path | None, as_json: bool) -> None:
    """Give a client a new secret, the one before works for an hour yet; or with --jwks other public keys."""
    settings = shell.settings()
    make_home(settings)
    now = clock()
    with closing(open_store(settings)) as store:
        audit = Audit(store, open_seal(settings, store))
        clients, secret = Clients(store), None
        if jwks is None:
            row, secret = clients.rotate(client_id, now, days)
        else:
            row = clients.replace_keys(client_id, _text(jwks), now, days)
        audit.record(now, row.realm, operator(), "client.rotate", row.id, name=row.name)
    _show(row, secret, as_json)


@clients.command(epilog="Example: riskengine clients revoke rc_0123456789abcdef")
@click.argument("client_id", metavar="ID")
@click.pass_obj
def revoke(shell: Shell, client_id: str) -> None:
    """End a client and all its tokens; servers refuse them within 2 seconds."""
    settings = shell.settings()
    make_home(settings)
    now = clock()
    with closing(open_store(settings)) as store:
        audit = Audit(store, open_seal(settings, store))
        row = Clients(store).revoke(client_id, now)
        audit.record(now, row.realm, operator(), "client.revoke", row.id, name=row.name)
    click.echo(f"Client {row.id} ({visible(row.name)}) is revoked.", err=True)


def _show(row: ClientRow, secret: str | None, as_json: bool) -> None:
    shown = {"client_id": row.id, **({"client_secret": secret} if secret else {})}
    if as_json:
        click.echo(json.dumps({**shown, "name": row.name, "realm": row.realm, "scopes": list(row.scopes)}))
    else:
        for name, value in shown.items():
            click.echo(f"{name}={value}")


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput([Fault("/jwks", "must be a file in UTF-8")]) from error


def _thumbprint(file: Path) -> str:
    try:
        found = load_pem_x509_certificate(file.read_bytes())
    except ValueError as error:
        raise InvalidInput([Fault("/certificate", "must be a file with a certificate in PEM")]) from error
    return thumbprint_of(found.public_bytes(Encoding.DER))
