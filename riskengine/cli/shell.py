"""What the commands share: the settings, read when a command needs them, and how they print."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from riskengine.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Shell:
    """One run of the command line; `config` is the TOML file given with --config."""

    config: Path | None

    def settings(self, **flags: Any) -> Settings:
        """Return the settings, flags of the command first; raise SettingsError with one sentence."""
        return load(self.config, **flags)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their columns under each other."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def day(milliseconds: int) -> str:
    """Return the day of a time in ms since 1970, UTC.

    >>> day(0)
    '1970-01-01'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
