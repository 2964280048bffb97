"""What the commands share: the settings, read when a command needs them, and how they print."""

import shlex
import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from click.core import ParameterSource

from riskengine.cli.progress import Progress
from riskengine.settings import Settings, load
from riskengine.visible import visible, visible_json

FINISHED_WITH_REJECTS = 3


@dataclass(frozen=True, slots=True)
class Shell:
    """One run of the command line; `config` is the TOML file given with --config."""

    config: Path | None

    def settings(self, **flags: Any) -> Settings:
        """Return the settings, flags of the command first; raise SettingsError with one sentence."""
        return load(self.config, **flags)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their columns under each other, whatever their cells hold."""
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def day(milliseconds: int) -> str:
    """Return the day of a time in ms since 1970, UTC.

    >>> day(0)
    '1970-01-01'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()


def ignore(_: object) -> None:
    """Take no notice."""


def progress_bar(stack: ExitStack, total: int | None, quiet: bool, label: str = "deciding") -> Callable[[int], None]:
    """Return what is told how many items are done: a line on a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        return ignore
    return stack.enter_context(closing(Progress(label, total, sys.stderr)))


def shown(path: str | Path) -> str:
    """Return a path as text, even where its bytes are none."""
    return str(click.format_filename(path))


def again(context: click.Context, but: Collection[str]) -> str:
    """Return the command that was given, over its logs, without the options named in `but`."""
    words = ["riskengine", str(context.command.name), *map(shown, context.params["logs"])]
    for option in context.command.params:
        name = option.name or ""
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if not given or name in ("logs", *but):
            continue
        if isinstance(option, click.Option) and option.is_flag:
            words.append(option.opts[0])
            continue
        value = context.params[name]
        for one in value if isinstance(value, tuple) else (value,):
            words += [option.opts[0], shown(one) if isinstance(one, Path) else str(one)]
    return shlex.join(words)


def as_json(provenance: Any, figures: Any) -> str:
    """Return figures (a dataclass with slots) as JSON to read: `provenance`, and their fields."""
    body = {"provenance": provenance, **{name: getattr(figures, name) for name in figures.__slots__}}
    return visible_json(msgspec.json.format(msgspec.json.encode(body), indent=2)).decode()
