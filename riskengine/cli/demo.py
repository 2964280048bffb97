"""`riskengine demo`: a month of made-up logins in an empty database, to try the console out."""

import shlex
from contextlib import ExitStack, closing
from functools import partial

import click

from riskengine.app import clock, compile_core, make_home, open_locator, open_seal, open_store, read_policy
from riskengine.cli.shell import Shell, ignore, progress_bar
from riskengine.cli.up import obtain_places
from riskengine.demo.fill import fill, refuse_filled
from riskengine.demo.people import PEOPLE
from riskengine.demo.story import story
from riskengine.engine.engine import Engine


@click.command(
    short_help="Fill an empty database with a month of made-up logins.",
    epilog="""\b
Example:
  RISKENGINE_HOME=./demo riskengine demo
  RISKENGINE_HOME=./demo riskengine up""",
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@click.pass_obj
def demo(shell: Shell, quiet: bool) -> None:
    """Fill an empty database with the month that ends now, to try console, searches and policies out.

    Two hundred people of a company in four cities, their offices, homes, phones, journeys and VPNs, a program; a night
    in which a list of passwords is tried, stolen sessions, a journey nobody makes, step-ups that are passed or not, and
    verdicts. All are made up, decided by the policy that is set, and the same each time but for their dates. A database
    that holds events is refused.
    """
    settings = shell.settings()
    tell = ignore if quiet else partial(click.echo, err=True)
    policy = read_policy(settings)
    make_home(settings)
    with ExitStack() as stack:
        store = stack.enter_context(closing(open_store(settings)))
        refuse_filled(store)
        obtain_places(settings, clock())
        compile_core(policy, tell)
        engine = Engine(store, open_locator(settings), policy, open_seal(settings, store))
        now = clock()
        tell("making up a month")
        items = story(now)
        summary = fill(engine, items, progress_bar(stack, len(items), quiet), now)
    decided = ", ".join(f"{count:,} {name}" for name, count in sorted(summary.decisions.items()))
    home = f"RISKENGINE_HOME={shlex.quote(str(settings.home.absolute()))} "
    click.echo(
        f"{summary.events:,} logins of {PEOPLE} people who do not exist: {decided}.\n"
        f"Next, serve them; it prints a link to the console, {settings.base_url}/console:\n\n  {home}riskengine up\n\n"
        f"Or ask from here:\n\n  {home}riskengine events --since 30d --decision deny\n\n"
        "To begin for real, take another home: what is made up here would teach the engine as if it had happened."
    )
