"""What is told on stderr while a measurement runs."""

import sys


def say(what: str) -> None:
    """Say what is done now, on stderr when it is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{what} …")
        sys.stderr.flush()


def done() -> None:
    """Take away what was said last."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
