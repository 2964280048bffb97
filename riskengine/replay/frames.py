"""Lines of events of which there is little to tell: allowed, without points and rules. They are most of a log.

What such lines have in common is taken from `answer` itself, by one of them with marks where lines differ; what differs
is put in column by column. A line so is made of the same bytes at a tenth of the cost.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np

from riskengine.assess import Assessments
from riskengine.decision import DECISIONS
from riskengine.engine.answer import VOUCHERS, end, least_speed, location, network, vouched
from riskengine.policy.policy import SIGNALS
from riskengine.replay.register import Tables

_MARK = re.compile(rb"\0(\w+)\0")
_ALLOW = DECISIONS.index("allow")
_KEPT = 1 << 15  # parts of lines that are kept of each kind
_CREDIT = ("taken", *(f"for_{name}" for name in VOUCHERS))
_Credit: Any = namedtuple("_Credit", _CREDIT)  # type: ignore[misc]
# What tells frames apart, of a verdict.
_KIND = ("maturity", "level", "limit", "score", "would_be")
_encode = msgspec.json.Encoder().encode


def plain(result: Assessments) -> np.ndarray:
    """Return which events of an assessment have no reasons to tell."""
    items, found = result.items, result.found
    verdicts = found.verdicts
    return (
        (items["decision"] == _ALLOW)
        & (verdicts["rules"] == 0)
        & ~(verdicts["impossible"] > 0)
        & ~found.points.any(axis=1)
    )


class _Frame(NamedTuple):
    """The bytes before, between and after what differs, and the names of that."""

    fixed: list[bytes]
    names: list[str]


@dataclass(slots=True)
class Parts:
    """Parts of answers in JSON, by what they are made of."""

    found: dict[Hashable, bytes] = field(default_factory=dict)

    def of(self, keys: Iterable[Any], make: Callable[..., Any]) -> list[bytes]:
        """Return the part of each key (a tuple that `make` takes)."""
        found, told = self.found, []
        for key in keys:
            part = found.get(key)
            if part is None:
                if len(found) >= _KEPT:
                    found.clear()
                found[key] = part = _encode(make(*key))
            told.append(part)
        return told


class Frames:
    """Makes lines; `tables` and `logs` are those of the replay."""

    def __init__(self, tables: Tables, logs: Sequence[str]) -> None:
        self._tables = tables
        self._logs = [_encode(log) for log in logs]
        self._refs = [*(ref.encode() for ref in tables.user_refs), b""]  # nobody's last
        self._frames: dict[Any, _Frame] = {}
        self._places, self._ends, self._others, self._networks = (Parts() for _ in range(4))
        self._signals, self._credits = Parts(), Parts()

    def lines(
        self, result: Assessments, told: np.ndarray, ids: Sequence[str], answer_of: Callable[[int], dict[str, Any]]
    ) -> list[bytes]:
        """Return the lines of plain events, `told` as TOLD rows; `answer_of` gives the answer to one (by its row)."""
        found = np.empty(len(told), object)
        for kind, rows in _kinds(result, told):
            frame = self._frames.get(kind)
            if frame is None:
                self._frames[kind] = frame = _framed(answer_of(int(rows[0])))
            found[rows] = self._filled(frame, result, told, ids, rows)
        lines: list[bytes] = found.tolist()
        return lines

    def _filled(
        self, frame: _Frame, result: Assessments, told: np.ndarray, ids: Sequence[str], rows: np.ndarray
    ) -> list[bytes]:
        columns = self._columns(result.items[rows], result.verdicts[rows], result.found.signals[rows], told[rows])
        columns["event_id"] = [_encode(ids[at]) for at in rows.tolist()]
        pieces: list[Iterable[bytes]] = [repeat(frame.fixed[0])]
        for name, fixed in zip(frame.names, frame.fixed[1:], strict=True):
            pieces += (columns[name], repeat(fixed))
        return list(map(b"".join, zip(*pieces, strict=False)))

    def _columns(
        self, items: np.ndarray, verdicts: np.ndarray, found: np.ndarray, told: np.ndarray
    ) -> dict[str, list[bytes]]:
        """Return what differs between lines, by its name in a frame."""
        labels, numbers = self._tables.labels, self._tables.label[told["address"]]
        item, verdict = _Columns(items), _Columns(verdicts)
        spots = list(zip(item.country, item.located, item.latitude, item.longitude, item.radius, strict=True))
        label_of = numbers.tolist()
        own = self._ends.of(
            zip(label_of, spots, strict=True),
            lambda at, spot: end(labels[at].place(), spot[0], *spot[2:]),
        )
        other = self._others.of(
            zip(
                *(verdict.other_country, verdict.other_latitude, verdict.other_longitude, verdict.other_radius),
                strict=True,
            ),
            lambda *spot: end(None, *spot),
        )
        gaps = zip(verdict.distance, verdict.other_radius, item.radius, verdict.gap, strict=True)
        came = verdict.before
        each = found.tobytes()
        width = found.dtype.itemsize * found.shape[1]
        return {
            "occurred_at": np.datetime_as_string(told["time"].astype("M8[ms]"), timezone="UTC").astype("S").tolist(),
            "user_ref": [self._refs[user] for user in told["user"].tolist()],
            "location": self._places.of(
                zip(label_of, spots, strict=True), lambda at, spot: location(*spot, labels[at])
            ),
            "network": self._networks.of(
                zip(label_of, item.asn, item.kind, item.claimed, strict=True),
                lambda at, *known: network(*known, labels[at]),
            ),
            "from": [a if before else b for before, a, b in zip(came, other, own, strict=True)],
            "to": [b if before else a for before, a, b in zip(came, other, own, strict=True)],
            "distance_km": _json(verdict.distance),
            "seconds": _json([gap / 1000 for gap in verdict.gap]),
            "min_speed_kmh": _json([least_speed(*of) for of in gaps]),
            "impossible": _json(verdict.impossible),
            "rough": _json(verdict.wide),
            "habitual": _json(verdict.habitual),
            "vouched": self._credits.of(
                zip(*(verdicts[name].tolist() for name in _CREDIT), strict=True),
                lambda *credit: vouched(_Credit(*credit)),
            ),
            "signals": self._signals.of(
                ((each[at : at + width],) for at in range(0, len(each), width)),
                lambda row: dict(zip(SIGNALS, np.frombuffer(row).tolist(), strict=True)),
            ),
            "log": [self._logs[source] for source in told["source"].tolist()],
            "line": _json(told["line"].tolist()),
        }


class _Columns:
    """Fields of rows as lists."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        return self._rows[name].tolist()


def _kinds(result: Assessments, told: np.ndarray) -> Iterable[tuple[tuple[Any, ...], np.ndarray]]:
    """Yield what tells frames apart, and the rows that have it in common."""
    verdicts, items = result.verdicts, result.items
    known: list[np.ndarray] = [verdicts[name] for name in _KIND]
    known += [np.isnan(items["latitude"]), np.isnan(verdicts["distance"]), told["user"] < 0]
    kinds, of = np.unique(np.stack([one.astype(np.int64) for one in known], axis=1), axis=0, return_inverse=True)
    for number, kind in enumerate(kinds.tolist()):
        yield tuple(kind), np.flatnonzero(of == number)


def _framed(answer: dict[str, Any]) -> _Frame:
    """Return the frame of lines like that of an answer with `log` and `line`: where they differ it has marks."""
    marked = dict(answer)
    for name in ("occurred_at", "user_ref"):
        if answer[name] is not None:
            marked[name] = msgspec.Raw(b'"\0%b\0"' % name.encode())
    for name in ("event_id", "location", "network", "signals", "vouched", "log", "line"):
        if answer[name] is not None:
            marked[name] = _mark(name)
    if answer["travel"] is not None:
        marked["travel"] = {name: _mark(name) for name in answer["travel"]}
    parts = _MARK.split(_encode(marked) + b"\n")
    return _Frame(parts[::2], [name.decode() for name in parts[1::2]])


def _mark(name: str) -> msgspec.Raw:
    return msgspec.Raw(b"\0%b\0" % name.encode())


def _json(values: list[Any]) -> list[bytes]:
    """Return each of some numbers or truths in JSON; NaN is null."""
    return _encode(values)[1:-1].split(b",") if values else []
