"""`riskengine export` and `riskengine erase`: all that is held on one person, and taking it out."""

import json

import click
from sqlalchemy import make_url

from riskengine.access.caller import DEFAULT_REALM
from riskengine.app import clock
from riskengine.audit import Audit
from riskengine.cli.operator import operator
from riskengine.cli.sealing import sealing
from riskengine.cli.shell import Shell
from riskengine.errors import RiskEngineError
from riskengine.upkeep.person import Erasure, Person, checkpoint
from riskengine.visible import visible_json

_REALM = click.option("--realm", default=DEFAULT_REALM, show_default=True, help="Whose data it is.")


@click.command(
    short_help="All that is held on one person, as JSON.",
    epilog="Example: riskengine export u-1007 > u-1007.json",
)
@click.argument("user", metavar="USER")
@_REALM
@click.pass_obj
def export(shell: Shell, user: str, realm: str) -> None:
    """Print all that is held on USER (the user id): events with their answers, reports, history, audit lines.

    It is written into the audit trail first. What a purge has emptied is held on nobody any more.
    """
    with sealing(shell) as parts:
        person = Person(parts.database, parts.seal, realm, user)
        audit = Audit(parts.store, parts.seal)
        audit.record(clock(), realm, operator(), "person.export", "person", user_id=user)
        held = person.held()
    click.echo(visible_json(json.dumps(held, ensure_ascii=False, indent=2).encode()))
    click.echo(f"{len(held['events']):,} events and {len(held['reports']):,} reports.", err=True)


@click.command(
    short_help="Take one person out of everything, with proof.",
    epilog="Example: riskengine erase u-1007 --yes",
)
@click.argument("user", metavar="USER")
@_REALM
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(shell: Shell, user: str, realm: str, yes: bool) -> None:
    """Take all of USER (the user id) out for good: events, ids, reports, history, counters, journal.

    The audit trail calls them by a pseudonym from then on that nothing leads back from. Afterwards tables and, with the
    embedded database, files are searched for what was there, and the outcome is printed; exit 1 if anything is left.
    Not reached: backups, exports, and journals of other machines.
    """
    if not yes:
        click.confirm("All that is held on this user goes, and nothing brings it back. Erase?", abort=True, err=True)
    with sealing(shell) as parts:
        settings = parts.settings
        person = Person(parts.database, parts.seal, realm, user)
        one = Erasure(person, settings.home / "journal")
        Audit(parts.store, parts.seal).record(
            clock(), realm, operator(), "person.erase", "person", person=one.pseudonym
        )
        one.run()
        moved = checkpoint(settings.database_url)
        file = make_url(settings.database_url).database if settings.is_embedded else None
        folders = [settings.home / "journal"]
        if file is not None:
            folders.append(settings.home.__class__(file).parent)
        left = one.left([folder for folder in folders if folder.is_dir()])
    for name, count in one.done.items():
        click.echo(f"{count:>12,}  {name}")
    if left:
        hint = "" if moved else "; the log of the database was in use: run it again in a moment"
        raise RiskEngineError(f"something of them is still found in {', '.join(left)}{hint}")
    where = "tables and files" if settings.is_embedded else "tables"
    click.echo(
        f"Nothing of them is found any more: {where} were searched for {len(one.needles):,} values that were there."
    )
    click.echo(f"The audit trail calls them {one.pseudonym}.")
