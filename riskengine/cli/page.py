"""The page that `--report` asks for: refused before anything long begins, and written whole."""

from collections.abc import Sequence
from pathlib import Path

from riskengine.cli.shell import shown
from riskengine.errors import SettingsError
from riskengine.readers.lines import STDIN
from riskengine.writers.target import open_target


def refuse_page(report: Path | None, others: Sequence[str | Path]) -> None:
    """Refuse a page that would take the place of another file of the run, or that has no place."""
    if report is None:
        return
    if report.resolve() in [Path(path).resolve() for path in others if path != STDIN]:
        raise SettingsError("--report must be a file of its own, not another one of this run.")
    if report.is_dir() or not report.absolute().parent.is_dir():
        raise SettingsError(f"--report {shown(report)} cannot be written: no such folder, or a folder itself.")


def write_page(report: Path, text: str) -> None:
    """Write the page."""
    try:
        with open_target(report) as target:
            target.write(text.encode())
    except OSError as error:
        raise SettingsError(f"--report {shown(report)} cannot be written: {error.strerror}.") from error
