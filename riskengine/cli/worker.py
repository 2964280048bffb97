"""One of the processes of `riskengine serve --workers N`, which starts it: not for people.

The socket to listen on is inherited and named by its number; the settings are the first line of standard input. It
says that it is ready by a line on standard output, and stops when standard input ends: then its parent is gone.
"""

import asyncio
import os
import signal
import socket
import sys

import click

from riskengine.app import build, start_logging
from riskengine.cli import exit_code
from riskengine.cli.serve import configured, run
from riskengine.errors import RiskEngineError
from riskengine.settings import Settings


def main(descriptor: str) -> None:
    """Serve until a signal or until the parent is gone; an error of ours is one sentence, as for the command."""
    told = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not fill a pipe that nobody reads

    def announce() -> None:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop)
        os.write(told, b"ready\n")

    settings = Settings.model_validate_json(sys.stdin.buffer.readline())
    start_logging(settings.log_format)
    try:
        with socket.socket(fileno=int(descriptor)) as listener:
            app = build(settings)
            run(app, configured(app, settings), settings, listener, announce)
    except RiskEngineError as error:
        click.echo(f"riskengine: {error}", err=True)
        sys.exit(exit_code(error))


def _stop() -> None:
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1])
