"""Following the event history: events printed as they are stored, each once, until told to stop."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import select

import click

from riskengine.cli.listing import HEADS, cells
from riskengine.errors import StoreUnavailable
from riskengine.inquiry.export import writer
from riskengine.inquiry.found import Found
from riskengine.inquiry.inquiry import MOST_LIMIT, Page
from riskengine.writers.target import Target, open_target

START = "start"
# How long to wait when nothing came: each time twice as long, up to the most there is for a quiet or an absent store.
PAUSE_SECONDS, MOST_QUIET_SECONDS, MOST_AWAY_SECONDS = 0.1, 1.0, 5.0
# How wide the columns of a table are at least: what will come is not known.
_WIDTHS = (24, 8, 5, 20, 15, 24, 20, 0)


def follow(ask: Callable[..., Page], after: str, limit: int | None, format_: str) -> None:
    """Print what `ask(limit=…, after=…)` gives after a cursor, `now` or `start`, and then what comes, as it comes.

    It ends after `limit` events (None: never) or when told to stop, and then tells on stderr the cursor behind the last
    event that was printed; and quietly when nobody reads any more. A store that does not answer is asked again.
    """
    at = None if after == START else after
    pause, away = 0.0, False
    with _stops() as stopped, open_target("-") as target, _opened(target, format_) as write:
        target.flush()
        while limit != 0 and not stopped(pause):
            try:
                page = ask(limit=MOST_LIMIT if limit is None else min(limit, MOST_LIMIT), after=at)
            except StoreUnavailable as error:
                if not away:
                    click.echo(f"riskengine: {error}; it is asked again until it does.", err=True)
                away, pause = True, _longer(pause, MOST_AWAY_SECONDS)
                continue
            for one in page.events:
                write(one)
            target.flush()
            away, at, limit = False, page.next, None if limit is None else limit - len(page.events)
            if page.scanned_to is not None:
                pause = 0.0  # there is more
            else:
                pause = PAUSE_SECONDS if page.events else _longer(pause, MOST_QUIET_SECONDS)
        click.echo(f"The same with --after {at or START} goes on from here.", err=True)


def _longer(pause: float, most: float) -> float:
    return min(max(pause * 2, PAUSE_SECONDS), most)


@contextmanager
def _opened(target: Target, format_: str) -> Iterator[Callable[[Found], None]]:
    """Give what prints one event."""
    if format_ != "table":
        with writer(target, format_) as write:
            yield write
        return

    def line(row: tuple[str, ...]) -> None:
        padded = (cell.ljust(width) for cell, width in zip(row, _WIDTHS, strict=True))
        target.write(f"{'  '.join(padded).rstrip()}\n".encode())

    line(HEADS)
    yield lambda one: line(cells(one))


@contextmanager
def _stops() -> Iterator[Callable[[float], bool]]:
    """Give what waits so many seconds, and returns True, at once, when SIGINT or SIGTERM has come: then nothing that is
    under way is cut short. A second signal does what it does elsewhere."""
    heard, bell = os.pipe()

    def ring(*_: object) -> None:
        os.write(bell, b".")
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ring)
    try:
        yield lambda seconds: bool(select([heard], [], [], seconds)[0])
    finally:
        restore()
        os.close(heard)
        os.close(bell)
