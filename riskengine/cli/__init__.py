"""`riskengine …`: the commands, and how their ends become exit codes.

0 done, 1 failure, 2 wrong usage, 3 finished with rejected rows, 4 a setting, policy or key is wrong, 5 something
this depends on cannot be reached, 130 interrupted.
"""

import os
import sys
from pathlib import Path

import click
import structlog

from riskengine.cli.audit import audit
from riskengine.cli.backup import backup, restore
from riskengine.cli.block import block
from riskengine.cli.clients import clients
from riskengine.cli.database import db
from riskengine.cli.demo import demo
from riskengine.cli.doctor import doctor
from riskengine.cli.evaluate import evaluate
from riskengine.cli.events import events
from riskengine.cli.explain import explain
from riskengine.cli.geo import geo
from riskengine.cli.keys import keys
from riskengine.cli.person import erase, export
from riskengine.cli.policy import policy
from riskengine.cli.purge import purge
from riskengine.cli.remediate import remediate
from riskengine.cli.replay import replay
from riskengine.cli.serve import serve
from riskengine.cli.shell import Shell
from riskengine.cli.up import up
from riskengine.cli.verdict import verdict
from riskengine.errors import (
    DataError,
    InvalidInput,
    PolicyError,
    RiskEngineError,
    SettingsError,
    StoreUnavailable,
)
from riskengine.visible import visible_lines

_EXAMPLES = """

\b
Examples:
  riskengine serve                            serve on 127.0.0.1:8000
  riskengine keys create --name login-service --scope score --scope report
  riskengine demo                             a month of made-up logins, to try the console out
  riskengine doctor                           what is configured, what is missing, what to do
"""


@click.group(help="Risk decisions for logins: allow, step up or deny, with reasons." + _EXAMPLES)
@click.version_option(package_name="riskengine")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="TOML file with settings.")
@click.pass_context
def riskengine(context: click.Context, config: Path | None) -> None:
    """Remember where the settings are; each command reads them when it needs them."""
    structlog.reset_defaults()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # stdout is a command's results
    context.obj = Shell(config)


_COMMANDS = (
    *(serve, up, demo, replay, evaluate, events, explain, block, verdict, remediate, keys, clients, policy, audit, geo),
    *(db, doctor, purge, erase, export, backup, restore),
)
for _command in _COMMANDS:
    riskengine.add_command(_command)


def main() -> None:
    """Run the command line and exit; an error of ours is one sentence on stderr, without a trace."""
    try:
        code = riskengine.main(prog_name="riskengine", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = 130
    except BrokenPipeError:
        # Whoever read our output has gone; what Python still holds of it must not raise a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except RiskEngineError as error:
        click.echo(visible_lines(f"riskengine: {error}"), err=True)
        code = exit_code(error)
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: RiskEngineError) -> int:
    """Return the exit code that tells a script what sort of error ended a command."""
    match error:
        case SettingsError() | PolicyError() | DataError():
            return 4
        case StoreUnavailable():
            return 5
        case InvalidInput():
            return 2
        case _:
            return 1
