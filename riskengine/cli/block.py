"""`riskengine block`: shut out an address, network, user or device for a while."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import click

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import clock, make_home, open_seal, open_store
from riskengine.audit import Audit
from riskengine.blocklist import Blocklist, parse_order
from riskengine.check import format_time
from riskengine.cli.listing import plain
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, table
from riskengine.inquiry.inquiry import Asker, Inquiry

_REALM = click.option("--realm", default=DEFAULT_REALM, show_default=True, help="Whose logins.")


class _Desk(NamedTuple):
    """What these commands work on."""

    blocklist: Blocklist
    inquiry: Inquiry


@click.group(short_help="Shut out an address, network, user or device for a while.")
def block() -> None:
    """Deny every login of an address, network, user or device, for a while: on all servers within 5 seconds.

    A block ends by itself. What is to last belongs on the block list of the policy.
    """


@block.command(
    epilog="""\b
Examples:
  riskengine block add 198.51.100.0/24 --for 24h --why "password spraying, ticket 4711"
  riskengine block add AS64500 --for 2h --why "a botnet's host"
  riskengine block add user:u-1007 --for 7d --why "left the company\""""
)
@click.argument("value")
@click.option("--for", "span", metavar="TIME", required=True, help="How long: 90m, 24h, 7d, 2w; 90d at most.")
@click.option("--why", required=True, help="What colleagues, and the audit trail, are to read.")
@click.option("--force", is_flag=True, help="Also a network wider than /8 (IPv6: /19), or with loopback in it.")
@_REALM
@click.pass_obj
def add(shell: Shell, value: str, span: str, why: str, force: bool, realm: str) -> None:
    """Shut out VALUE: an address, a CIDR, AS64500, user:ID or device:ID. Prints the id of the block.

    stderr says how many logins of the last 24 hours it would have denied.
    """
    order = parse_order({"value": value, "for": span, "why": why, "force": force})
    with _opened(shell) as desk:
        lately = desk.inquiry.lately(Asker(operator(), realm), order.target)
        told = "too many addresses to count" if lately is None else f"{lately} logins"
        click.echo(f"Of the last 24 hours it would have denied: {told}.", err=True)
        made = desk.blocklist.add(order, realm, operator(), clock())
    click.echo(made.id)
    until = format_time(made.expires_at)
    click.echo(f"{plain(made.target)} is shut out until {until}: on all servers within 5 seconds.", err=True)


@block.command("list", epilog="Example: riskengine block list --all")
@click.option("--all", "every", is_flag=True, help="Also the newest of those that ended.")
@_REALM
@click.pass_obj
def list_blocks(shell: Shell, every: bool, realm: str) -> None:
    """List the blocks in force, newest first."""
    now = clock()
    with _opened(shell) as desk:
        found = desk.blocklist.listed(realm, operator(), now, every=every)
    rows = [("id", "what", "until", "state", "by", "why")]
    rows += [
        (one.id, plain(one.target), format_time(one.expires_at), one.state(now), plain(one.who), plain(one.why))
        for one in found
    ]
    table(rows)


@block.command(epilog="Example: riskengine block lift 3f9a02c71b")
@click.argument("block_id", metavar="ID")
@_REALM
@click.pass_obj
def lift(shell: Shell, block_id: str, realm: str) -> None:
    """End the block ID before its time: on all servers within 5 seconds. One that ended already stays as it is."""
    with _opened(shell) as desk:
        lifted = desk.blocklist.lift(block_id, realm, operator(), clock())
    click.echo(f"{plain(lifted.target)} is shut out no more, as far as no other block holds it.", err=True)


@contextmanager
def _opened(shell: Shell) -> Iterator[_Desk]:
    settings = shell.settings()
    make_home(settings)
    with closing(open_store(settings)) as store:
        seal = open_seal(settings, store)
        audit = Audit(store, seal)
        yield _Desk(Blocklist(store, seal, audit), Inquiry(store, seal, audit, clock))
