"""Microseconds per stage of a decision: the engine in this process, batch by batch, its parts timed by name.

Nothing in the product knows of it. STAGES says which functions make a stage; where the product has renamed one, or no
longer calls it, this ends with a sentence that names it, and the table is mended in a minute.
"""

import importlib
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any

from riskengine.app import assemble
from riskengine.check import decode
from riskengine.engine.arrival import Arrival, receive
from riskengine.engine.engine import Engine
from riskengine.event import parse_event
from riskengine.live import now_ms
from riskengine.settings import Settings

BATCHES = {1: 400, 16: 120, 64: 60}  # how many of each size
PARSE, REST, WHOLE = "parse", "rest", "whole"
_SEGMENT, _TRANSACTION = "riskengine.engine.segment", "riskengine.store.sql:SqlTransaction"
# A function is looked up where it is called from: a module that imports it by name has one of its own.
STAGES: dict[str, tuple[str, ...]] = {
    "locate": ("riskengine.locate.locator:Locator.locate",),
    "tokens": ("riskengine.engine.engine:entry",),
    "lock, claim": (f"{_TRANSACTION}.lock_users", f"{_TRANSACTION}.claim_ids"),
    "load": (f"{_SEGMENT}:load_histories",),
    "rows": (f"{_SEGMENT}:event_rows",),
    "counters": (
        f"{_TRANSACTION}.load_cells",
        f"{_TRANSACTION}.load_days",
        f"{_SEGMENT}:count_attempts",
        f"{_SEGMENT}:count_days",
        f"{_SEGMENT}:shown",
    ),
    "assess": (f"{_SEGMENT}:assess",),
    "answers": (f"{_SEGMENT}:answer", f"{_SEGMENT}:judged"),
    "seal": (f"{_SEGMENT}:event_row", f"{_SEGMENT}:history_rows", f"{_SEGMENT}:pack_items"),
    "write": (f"{_TRANSACTION}.save", f"{_TRANSACTION}.save_days"),
    "commit": ("sqlalchemy.engine.base:RootTransaction.commit",),
}


class Watch:
    """Adds up how long each stage took, without what other stages took inside it."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._inner = [0.0]

    def timed(self, stage: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, timed."""

        @wraps(function)
        def run(*given: Any, **named: Any) -> Any:
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                took = time.perf_counter() - began
                self.seconds[stage] += took - self._inner.pop()
                self._inner[-1] += took
                self.calls[name] += 1

        return run


def resolve(name: str) -> tuple[Any, str]:
    """Return what holds the function that `module:path` names, and its name there; SystemExit if it is gone."""
    module, _, path = name.partition(":")
    *holders, last = path.split(".")
    try:
        holder: Any = importlib.import_module(module)
        for part in holders:
            holder = getattr(holder, part)
        getattr(holder, last)
    except (ImportError, AttributeError):
        raise SystemExit(f"tests/bench/stages.py times {name}, which is no more: mend STAGES.") from None
    return holder, last


@contextmanager
def watched(stages: dict[str, tuple[str, ...]]) -> Iterator[Watch]:
    """Time the functions of these stages while inside; SystemExit names one that was not called."""
    watch, undo = Watch(), []
    try:
        for stage, name in _pairs(stages):
            holder, last = resolve(name)
            function = getattr(holder, last)
            undo.append((holder, last, function))
            setattr(holder, last, watch.timed(stage, name, function))
        yield watch
    finally:
        for holder, last, function in reversed(undo):
            setattr(holder, last, function)
    for _, name in _pairs(stages):
        if not watch.calls[name]:
            raise SystemExit(f"tests/bench/stages.py times {name}, which nothing calls: mend STAGES.")


def _pairs(stages: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(stage, name) for stage, names in stages.items() for name in names]


@dataclass(frozen=True)
class Stages:
    """Microseconds per event of each stage, by name, in batches of `size`. WHOLE is all but the parsing."""

    size: int
    microseconds: dict[str, float]


def measure(environment: dict[str, str], requests: Path, share: float) -> list[Stages]:
    """Return the stages of batches of each size, over the store that these settings (RISKENGINE_…) name.

    `share` is how many of BATCHES are run, from 0 to 1.
    """
    prefix = "RISKENGINE_"
    given = {n.removeprefix(prefix).lower(): v for n, v in environment.items() if n.startswith(prefix)}
    parts = assemble(Settings(**given))  # type: ignore[arg-type]
    lines = iter(requests.read_text().splitlines())
    try:
        _run(parts.live.engine, lines, 16, 8)  # what is slow only once
        return [_run(parts.live.engine, lines, size, max(int(count * share), 2)) for size, count in BATCHES.items()]
    finally:
        parts.store.close()


def _run(engine: Engine, lines: Iterator[str], size: int, batches: int) -> Stages:
    whole = parsing = 0.0
    with watched(STAGES) as watch:
        for _ in range(batches):
            began = time.perf_counter()
            arrivals = [_arrival(line) for line in islice(lines, size)]
            parsed = time.perf_counter()
            for outcome in engine.run(arrivals):
                if not isinstance(outcome, dict):
                    raise SystemExit(f"the engine answered {outcome!r}")
            whole += time.perf_counter() - parsed
            parsing += parsed - began
    per_event = 1e6 / (size * batches)
    found = {PARSE: parsing * per_event} | {stage: watch.seconds[stage] * per_event for stage in STAGES}
    found[REST] = (whole - sum(watch.seconds.values())) * per_event
    found[WHOLE] = whole * per_event
    return Stages(size, found)


def _arrival(line: str) -> Arrival:
    body = f'{{"event_id":"{uuid.uuid4().hex}",{line[1:]}'.encode()
    return receive(parse_event(decode(body)), "default", now_ms(), True)
