"""Compiles the core's functions on single rows to machine code, and keeps that between starts.

The core decides row by row: what an item teaches its user's history depends on the decision on it. As numpy columns
a lone decision took milliseconds of calls on one-row arrays, and one user's 100,000 items as many passes; compiled, the
same rules cost microseconds a row, whatever the batch. Functions that are compiled take rows (of ITEM, of a history
record, of a policy's sheet) and plain numbers; whoever calls them from outside gives and gets arrays.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numba
import numpy as np

# A row of a structured array. Its fields are attributes, which no type checker knows.
Row: TypeAlias = Any
F = TypeVar("F", bound=Callable[..., Any])
# Makes a field of a row a signed number of 64 bits: what numba makes of signed and unsigned ones together is a float.
signed: Any = np.int64

# What the machine code is made of. numba looks at the file of a function alone, not at those of what it calls.
SOURCES = (
    *("assess", "batch", "check", "compiled", "counters", "decision", "engine/attempts", "engine/sharing", "errors"),
    *("event", "geo", "history", "network", "policy", "readers/plain", "readers/spelling", "reason", "replay/cells"),
    *("replay/crowd", "replay/loom", "score", "signals"),
)
UNUSED_DAYS = 30  # machine code that no process has started from for so long is thrown away


def digest(package: Path) -> str:
    """Return what changes whenever any source of the core does."""
    found = hashlib.sha256(numba.__version__.encode())
    for name in SOURCES:
        for source in sorted([*package.glob(f"{name}.py"), *package.glob(f"{name}/*.py")]):
            found.update(source.read_bytes())
    return found.hexdigest()[:16]


def folder_for(package: Path) -> Path | None:
    """Return the folder for machine code of these sources (XDG base directories), made and marked as used; None where
    none can be written. Others that were not used for UNUSED_DAYS make room for a new one."""
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(given) if given else Path.home() / ".cache") / "riskengine" / digest(package)
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _throw_away(folder.parent, time.time() - UNUSED_DAYS * 86_400)
        os.utime(folder)
    except (OSError, RuntimeError):  # RuntimeError: nobody's home
        return None
    return folder if os.access(folder, os.W_OK) else None


def _throw_away(parent: Path, before: float) -> None:
    """Remove the folders that were last used before a time."""
    for other in parent.iterdir():
        if other.stat().st_mtime < before:
            shutil.rmtree(other, ignore_errors=True)  # another process may be about it, too


FOLDER = folder_for(Path(__file__).parent)
if FOLDER is not None:
    numba.config.CACHE_DIR = str(FOLDER)  # type: ignore[attr-defined]  # made at run time from its environment
# A division by zero is infinite or NaN and an index beyond an array an IndexError, as in numpy.
_options: dict[str, Any] = {"cache": FOLDER is not None, "nogil": True, "error_model": "numpy", "boundscheck": True}


def compiled(function: F) -> F:
    """Return `function`, compiled when it is first called.

    Nothing is reordered or contracted, so that a row gives the same bits in any batch.
    """
    made: F = numba.njit(**_options)(function)
    return made


def is_kept(function: Callable[..., Any]) -> bool:
    """Return whether a compiled function, and so what it calls, was compiled by an earlier process."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}-*.nbi"
    return FOLDER is not None and any(FOLDER.glob(f"*/{name}"))
