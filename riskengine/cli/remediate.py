"""`riskengine remediate`: an account is back with its owner."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

import click

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import clock, compile_core, make_home, open_locator, open_seal, open_store, read_policy
from riskengine.audit import Audit
from riskengine.cli.listing import plain
from riskengine.cli.operator import operator
from riskengine.cli.shell import Shell, ignore
from riskengine.engine.arrival import Arrival, Remedy
from riskengine.engine.engine import Engine
from riskengine.store.sql import SqlStore


class Judging(NamedTuple):
    """What a command needs that takes part in the sequence of a user's items, beside the servers."""

    engine: Engine
    store: SqlStore
    audit: Audit


@contextmanager
def judging(shell: Shell) -> Iterator[Judging]:
    """Open everything; the policy of the file decides nothing here."""
    settings = shell.settings()
    policy, locator = read_policy(settings), open_locator(settings)
    make_home(settings)
    compile_core(policy, ignore)
    with closing(open_store(settings)) as store:
        seal = open_seal(settings, store)
        yield Judging(Engine(store, locator, policy, seal), store, Audit(store, seal))


@click.command(
    short_help="End a user's being at risk.",
    epilog="Example: riskengine remediate u-1007",
)
@click.argument("user", metavar="USER")
@click.option("--realm", default=DEFAULT_REALM, show_default=True)
@click.pass_obj
def remediate(shell: Shell, user: str, realm: str) -> None:
    """Say that the account of USER (the user id) is back with its owner: logins are no longer stepped up for that."""
    now = clock()
    with judging(shell) as desk:
        desk.audit.record(now, realm, operator(), "user.remediate", "user", user_id=user)
        outcome = desk.engine.insist(Arrival(realm, Remedy(user, now), now, who=operator()))
    if isinstance(outcome, Exception):
        raise outcome
    click.echo(f"{plain(user)} is not at risk.", err=True)
