"""Lines of answers that differ in few things: allowed, by no rule and no impossible journey. They are most of a log.

What such lines have in common is taken from `answer` itself, by one of them with marks where lines differ; what differs
is put in column by column. A line so is made of the same bytes at a fraction of the cost.
"""

import re
from collections import namedtuple
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from riskengine.assess import Assessments
from riskengine.decision import DECISIONS
from riskengine.engine.answer import RADIUS_DIGITS, VOUCHERS, end, least_speed, location, network, vouched
from riskengine.policy.policy import SIGNALS
from riskengine.replay.loom import Frame, Lines, Pool, Shared, shown, table, woven
from riskengine.replay.register import Tables
from riskengine.visible import visible_json

_MARK = re.compile(rb"\0(\w+)\0")
_ALLOW = DECISIONS.index("allow")
_KEPT_BYTES = 3 << 20  # of texts that lines have in common, beside the names of users
_CREDIT = ("taken", *(f"for_{name}" for name in VOUCHERS))
_Credit: Any = namedtuple("_Credit", _CREDIT)  # type: ignore[misc]
# What tells frames apart, of a verdict, beside the limit: each less than _SMALL.
_KIND, _SMALL = ("maturity", "level", "would_be"), 8
# What lines differ in. A line that is like no other is `whole`.
_COLUMNS = (
    *("event_id", "occurred_at", "user_ref", "score", "reasons", "location", "network"),
    *("from", "to", "distance_km", "seconds", "min_speed_kmh", "impossible", "rough", "habitual"),
    *("signals", "vouched", "log", "line", "whole"),
)
_AT = {name: number for number, name in enumerate(_COLUMNS)}
_WHOLE = 0  # the frame of nothing but that
_encode = msgspec.json.Encoder().encode


class Answers(Protocol):
    """The answers to the events of an assessment, by their rows, with `log` and `line`; and their reasons alone."""

    def whole(self, rows: np.ndarray) -> Iterable[dict[str, Any]]: ...

    def reasons(self, rows: np.ndarray) -> Iterable[list[dict[str, Any]]]: ...


class Frames:
    """Makes lines; `tables` and `logs` are those of the replay."""

    def __init__(self, tables: Tables, logs: Sequence[str]) -> None:
        self._tables, self._logs = tables, [shown(log) for log in logs]
        self._begin()

    def _begin(self) -> None:
        """Begin with an empty pool."""
        self._pool = pool = Pool()
        labels = self._tables.labels
        self._refs = pool.alike(np.append(self._tables.user_refs, b""))  # nobody's last
        self._files = pool.texts(self._logs)
        self._nothing, self._truths = pool.put(b"[]"), pool.texts([b"false", b"true"])
        self._frames = [Frame([(0, 0), pool.put(b"\n")], [_AT["whole"]])]
        self._kinds: dict[int, int] = {}
        self._places = Shared(pool, lambda at, *spot: location(*spot, labels[at]))
        self._networks = Shared(pool, lambda at, *known: network(*known, labels[at]))
        self._own = Shared(pool, lambda at, *spot: end(labels[at].place(), *spot))
        self._other = Shared(pool, lambda *spot: end(None, *spot))
        self._signals = Shared(pool, lambda row: dict(zip(SIGNALS, row.tolist(), strict=True)))
        self._credits = Shared(pool, lambda *credit: vouched(_Credit(*credit)))
        self._full = pool.used + _KEPT_BYTES

    def lines(self, result: Assessments, told: np.ndarray, ids: Sequence[str], answers: Answers) -> Lines:
        """Return the line of each event, `told` as TOLD rows."""
        if self._pool.used > self._full:
            self._begin()
        verdicts, pool = result.verdicts, self._pool
        is_alike = (result.items["decision"] == _ALLOW) & (verdicts["rules"] == 0) & ~(verdicts["impossible"] > 0)
        alike, others = np.flatnonzero(is_alike), np.flatnonzero(~is_alike)
        frames = self._frames_of(result, told, alike, answers)
        spans = np.zeros((len(_COLUMNS), len(told), 2), np.int64)
        for name, column in self._shared(result, told).items():
            spans[_AT[name]] = column
        kept = pool.used
        for name, column in self._own_columns(result, told, ids).items():
            spans[_AT[name]] = column
        reasoned = alike[result.found.points[alike].any(axis=1)]
        spans[_AT["reasons"]] = self._nothing
        spans[_AT["reasons"], reasoned] = pool.texts(list(map(shown, answers.reasons(reasoned))))
        spans[_AT["whole"], others] = pool.texts(list(map(shown, answers.whole(others))))
        lines = Lines(*woven(pool.data, spans, *table(self._frames), frames))
        pool.used = kept
        return lines

    def _frames_of(self, result: Assessments, told: np.ndarray, alike: np.ndarray, answers: Answers) -> np.ndarray:
        """Return the number of the frame that each line has; those that are not there yet are made."""
        frames = np.full(len(told), _WHOLE)
        for kind, rows in _kinds(result, told, alike):
            if kind not in self._kinds:
                [pattern] = answers.whole(rows[:1])
                self._kinds[kind] = len(self._frames)
                self._frames.append(_framed(pattern, self._pool))
            frames[rows] = self._kinds[kind]
        return frames

    def _shared(self, result: Assessments, told: np.ndarray) -> dict[str, np.ndarray]:
        """Return the spans of what many lines have in common, which stays in the pool."""
        items, verdicts = result.items, result.verdicts
        label, before = self._tables.label[told["address"]], verdicts["before"][:, None]
        point = items["latitude"], items["longitude"], _shown(items["radius"])
        own = self._own.spans(label, items["country"], *point)
        there = verdicts["other_latitude"], verdicts["other_longitude"], _shown(verdicts["other_radius"])
        other = self._other.spans(verdicts["other_country"], *there)
        return {
            "user_ref": self._refs[told["user"]],
            "location": self._places.spans(label, items["country"], items["located"], *point),
            "network": self._networks.spans(label, items["asn"], items["kind"], items["claimed"]),
            "from": np.where(before, other, own),
            "to": np.where(before, own, other),
            "rough": self._truths[verdicts["wide"].astype(int)],
            "habitual": self._truths[verdicts["habitual"].astype(int)],
            "vouched": self._credits.spans(*(verdicts[name] for name in _CREDIT)),
            "signals": self._signals.spans(result.found.signals),
            "log": self._files[told["source"]],
        }

    def _own_columns(self, result: Assessments, told: np.ndarray, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the spans of what is each line's own."""
        verdicts, pool = result.verdicts, self._pool
        journeys = (verdicts["distance"], verdicts["other_radius"], result.items["radius"], verdicts["gap"])
        times = np.datetime_as_string(told["time"].astype("M8[ms]"), timezone="UTC")
        return {
            "event_id": pool.quoted(ids),
            "occurred_at": pool.alike(times.astype("S24")),
            "score": pool.json((verdicts["score"] / 10).tolist()),
            "distance_km": pool.json(verdicts["distance"].tolist()),
            "seconds": pool.json((verdicts["gap"] / 1000).tolist()),
            "min_speed_kmh": pool.json(list(map(least_speed, *(one.tolist() for one in journeys)))),
            "impossible": pool.json(verdicts["impossible"].tolist()),
            "line": pool.json(told["line"].tolist()),
        }


def _shown(radius: np.ndarray) -> np.ndarray:
    """Return radii as answers show them: they grow with every hour, by much less than is shown."""
    distinct, of = np.unique(radius, return_inverse=True)
    return np.array([round(one, RADIUS_DIGITS) for one in distinct.tolist()])[of]


def _kinds(result: Assessments, told: np.ndarray, rows: np.ndarray) -> Iterable[tuple[int, np.ndarray]]:
    """Yield a number of what tells frames apart, and which of the rows have it in common."""
    verdicts, items = result.verdicts, result.items
    number = verdicts["limit"][rows]
    for small in (
        *(verdicts[name] for name in _KIND),
        *(np.isnan(items["latitude"]), np.isnan(verdicts["distance"]), told["user"] < 0),
    ):
        number = number * _SMALL + small[rows]
    kinds, of = np.unique(number, return_inverse=True)
    for at, kind in enumerate(kinds.tolist()):
        yield kind, rows[of == at]


def _framed(answer: dict[str, Any], pool: Pool) -> Frame:
    """Return the frame of lines like that of an answer with `log` and `line`: where they differ it has marks."""
    marked = dict(answer)
    for name in ("occurred_at", "user_ref"):
        if answer[name] is not None:
            marked[name] = msgspec.Raw(b'"\0%b\0"' % name.encode())
    for name in ("event_id", "score", "reasons", "location", "network", "signals", "vouched", "log", "line"):
        if answer[name] is not None:
            marked[name] = _mark(name)
    if answer["travel"] is not None:
        marked["travel"] = {name: _mark(name) for name in answer["travel"]}
    parts = _MARK.split(_encode(marked) + b"\n")
    return Frame([pool.put(visible_json(part)) for part in parts[::2]], [_AT[name.decode()] for name in parts[1::2]])


def _mark(name: str) -> msgspec.Raw:
    return msgspec.Raw(b"\0%b\0" % name.encode())
