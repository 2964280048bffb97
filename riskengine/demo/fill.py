"""The month through the real engine, as an import."""

from collections.abc import Callable, Sequence
from itertools import groupby

from riskengine.demo.habits import Item
from riskengine.engine.arrival import Arrival, Remedy
from riskengine.engine.engine import Engine
from riskengine.errors import Conflict
from riskengine.readers.log import Rejected
from riskengine.replay.lines import REALM, Line, Summary, decide, run_all
from riskengine.store.contract import Store


def refuse_filled(store: Store) -> None:
    """Raise Conflict if the store holds events or users: what is made up is never mixed with what happened."""
    held = store.counts()
    if held["events"] or held["users"]:
        raise Conflict(
            f"The database holds {held['events']:,} events, and a demo fills an empty one only. Give it a folder of "
            "its own: RISKENGINE_HOME=./demo riskengine demo"
        )


def fill(engine: Engine, items: Sequence[Item | Remedy], progress: Callable[[int], None], now: int) -> Summary:
    """Decide and save items in their order, as received at `now` (ms since 1970), and return what became of them."""
    summary = Summary(reporting=True)
    for by_hand, run in groupby(items, lambda item: isinstance(item, Remedy)):
        if by_hand:
            run_all(engine, [Arrival(REALM, item, now, who="demo") for item in run])
            continue
        lines = [Line(item, "demo", at + 1, at) for at, item in enumerate(run) if not isinstance(item, Remedy)]
        for _ in decide(lines, engine, summary, _surprised, progress, now):
            pass
    return summary


def _surprised(rejected: Rejected) -> None:
    raise RuntimeError(f"the engine refuses what the demo made up: {rejected.reason}")
