"""The shipped list of autonomous systems whose kind of network is known: data/networks.csv."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from riskengine.errors import DataError, InvalidInput
from riskengine.network import Kind, kind_of

# How much a row is worth, 0 to 1: reference weights of the list's own words.
CONFIDENCE = {"high": 1.0, "medium": 0.6, "low": 0.3}


@dataclass(frozen=True, slots=True)
class Listed:
    """One row: the kind, how sure (0 to 1), the registry's name, evidence and its date (ISO) or None."""

    kind: Kind
    confidence: float
    name: str
    evidence: str
    date: str | None


@cache
def load(path: Path) -> Mapping[int, Listed]:
    """Return the rows by AS number, read once a process; DataError naming file and row if one is wrong."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The list of networks {path} cannot be read: {error}.") from error
    found: dict[int, Listed] = {}
    for line, row in enumerate(rows, start=2):
        try:
            found[int(row["asn"])] = Listed(
                kind_of(row["category"]),
                CONFIDENCE[row["confidence"]],
                row["name"],
                row["evidence"],
                row["as_of"] or None,
            )
        except (InvalidInput, KeyError, TypeError, ValueError) as error:
            raise DataError(f"The list of networks {path} is wrong in row {line}: {error}.") from error
    return found
