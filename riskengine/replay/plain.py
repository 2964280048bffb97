"""Plain lines of riskengine's own NDJSON, many at a time, made rows of numbers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from riskengine.check import Wrong
from riskengine.event import ACTIONS, EVENT_FIELDS, MFA_RESULTS, OUTCOMES, SENSITIVITIES
from riskengine.readers.lines import MAX_LINE, Block, Raw
from riskengine.readers.plain import FIELDS, NO_TIME, are_ids, find, times
from riskengine.readers.spelling import WRONG, Spellings
from riskengine.replay.register import Register
from riskengine.replay.told import NO_DEVICE, NO_SOFTWARE, NOBODY, digests, silent

_AT = {name: number for number, name in enumerate(FIELDS)}


class Taken(NamedTuple):
    """What was taken of a block: TOLD rows, the ids of their events, and the lines that were left."""

    rows: np.ndarray
    ids: list[str]
    left: list[Raw]


class PlainLines:
    """Takes lines by the checks of `event`; whatever is out of the ordinary it leaves for the reader."""

    def __init__(self, register: Register) -> None:
        self._spelled = {
            "user_id": _numbered("user_id", register.user),
            "ip": _numbered("ip", register.address),
            "user_agent": Spellings(lambda text: register.agent(EVENT_FIELDS["user_agent"](text)), NO_SOFTWARE),
            "device_id": Spellings(lambda text: register.device(EVENT_FIELDS["device_id"](text)), NO_DEVICE),
            "outcome": _coded(OUTCOMES, 0, OUTCOMES.index("success")),
            "mfa": _coded(MFA_RESULTS, 1, 0),
            "action": _coded(ACTIONS, 0, ACTIONS.index("login")),
            "sensitivity": _coded(SENSITIVITIES, 0, -1),
            "resource": _numbered("resource", register.resource, -1),
            "type": _coded(("event",), 0, 0),
        }

    def take(self, block: Block, source: int) -> Taken:
        """Return what a block of a source (by its number) gives."""
        data, text = np.frombuffer(block.data, np.uint8), block.data.decode("latin-1")
        found = find(data)
        at = np.flatnonzero(found.plain)
        spans = found.spans[at]
        meant = {name: known.meanings(data, text, spans[:, _AT[name]]) for name, known in self._spelled.items()}
        time = times(data, spans[:, _AT["occurred_at"]])
        right = (time != NO_TIME) & are_ids(data, spans[:, _AT["event_id"]])
        for pairs in meant.values():
            right &= pairs[:, 0] != WRONG
        taken = at[right]
        ids = _texts(text, spans[right, _AT["event_id"]])
        rows = silent(len(taken))
        rows["time"], rows["event"], rows["source"] = time[right], list(map(hash, ids)), source
        rows["line"], rows["login"], rows["mfa_at"] = block.number + taken, NOBODY, rows["time"]
        for name, field in _COLUMNS:
            rows[name] = meant[field][right, 0]
        more = [meant["user_agent"][right, 1], meant["device_id"][right, 1]]
        more += [_digests(text, spans[right, _AT[name]]) for name in ("session_id", "login")]
        rows["body"] = digests(rows, [*more, np.zeros(len(rows), np.int64)])
        left = np.ones(len(found.plain), bool)
        left[taken] = False
        return Taken(rows, ids, [_raw(block, found.lines, one) for one in np.flatnonzero(left).tolist()])


# Which column a field's meaning goes to.
_COLUMNS = (
    *(("user", "user_id"), ("address", "ip"), ("agent", "user_agent"), ("device", "device_id"), ("mfa", "mfa")),
    *(("outcome", "outcome"), ("action", "action"), ("sensitivity", "sensitivity"), ("resource", "resource")),
)


def _numbered(field: str, number: Callable[[str], int], missing: int = WRONG) -> Spellings:
    """Return spellings of what a register numbers."""
    return Spellings(lambda text: (number(EVENT_FIELDS[field](text)), 0), (missing, 0))


def _coded(names: Sequence[str], first: int, missing: int) -> Spellings:
    """Return spellings of a few names, whose codes count from `first`."""
    codes = {name: code for code, name in enumerate(names, first)}

    def meaning(text: str) -> tuple[int, int]:
        if text not in codes:
            raise Wrong("")
        return codes[text], 0

    return Spellings(meaning, (missing, 0))


def _texts(text: str, spans: np.ndarray) -> list[str]:
    return [text[begin : begin + length] for begin, length in spans.tolist()]


def _digests(text: str, spans: np.ndarray) -> np.ndarray:
    """Return a digest of each text, 0 where there is none."""
    found, at = np.zeros(len(spans), np.int64), np.flatnonzero(spans[:, 0] >= 0)
    found[at] = list(map(hash, _texts(text, spans[at])))
    return found


def _raw(block: Block, lines: np.ndarray, at: int) -> Raw:
    """Return a line of a block as a reader takes it."""
    begin, end = lines[at].tolist()
    line = block.data[begin:end].rstrip(b"\r")
    return Raw(block.number + at, line[:MAX_LINE], end < len(block.data), len(line) > MAX_LINE)
