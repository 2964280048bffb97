"""From arrivals to the columns the core works on: keys, places, network evidence, attempts."""

from collections.abc import Sequence

import numpy as np

from riskengine import counters
from riskengine.batch import ITEM, ITEM_SCHEMA, Batch, Role, empty
from riskengine.engine.admit import Entry
from riskengine.engine.tokens import Tokens
from riskengine.errors import RiskEngineError
from riskengine.event import ACTIONS, MFA_RESULTS, OUTCOMES, REPORT_RESULTS, SENSITIVITIES, NetworkClaim
from riskengine.network import Kind
from riskengine.store.contract import Cell, CellKey

PLACE_COLUMNS = (
    "latitude",
    "longitude",
    "given_radius",
    "located",
    "country",
    "asn",
    "traits",
    "listed",
    "listed_confidence",
    "address_high",
    "address_low",
)
COUNTED = ("user", "address", "prefix")


def claimed_kind(claim: NetworkClaim | None) -> int:
    """Return the network Kind that the client's word amounts to where it adds risk, else 0."""
    if claim is None:
        return int(Kind.UNKNOWN)
    if claim.public or (claim.secured is False and claim.type in (None, "wifi")):
        return int(Kind.PUBLIC_WIFI)
    return int(Kind.VPN) if claim.type == "vpn" else int(Kind.UNKNOWN)


def event_rows(
    entries: Sequence[Entry],
    users: Sequence[int],
    ids: Sequence[int],
    columns: np.ndarray,
    resources: dict[str, int],
) -> Batch:
    """Return the ITEM rows of these events; attempts are still 0. `columns` are their PLACE_COLUMNS; `resources`
    gains the names met."""
    rows = empty(len(entries))
    if not entries:
        return rows
    for name in PLACE_COLUMNS:
        rows[name] = columns[name]
    records = []
    for one, user, row in zip(entries, users, ids, strict=True):
        event, token = one.event, one.tokens
        assert event.occurred_at is not None
        mfa = event.mfa
        records.append(
            (
                row,
                int.from_bytes(token.event_key[:8]),
                event.occurred_at,
                user,
                OUTCOMES.index(event.outcome),
                0 if mfa is None else 1 + MFA_RESULTS.index(mfa.result),
                event.occurred_at if mfa is None or mfa.at is None else mfa.at,
                ACTIONS.index(event.action),
                -1 if event.sensitivity is None else SENSITIVITIES.index(event.sensitivity),
                -1 if event.resource is None else resources.setdefault(event.resource, len(resources)),
                one.arrival.reports,
                claimed_kind(event.network),
                token.line_key,
                token.prefix_key,
                token.device_key,
                token.agent_key,
            )
        )
    for name, values in zip(_FROM_EVENT, zip(*records, strict=True), strict=True):
        rows[name] = np.array(values, ITEM[name])
    rows["event_time"] = rows["time"]
    return rows


_FROM_EVENT = (
    "row",
    "event",
    "time",
    "user",
    "outcome",
    "mfa",
    "mfa_at",
    "action",
    "sensitivity",
    "resource",
    "reports",
    "claimed",
    "line",
    "prefix",
    "device",
    "agent",
)


def report_row(event: np.ndarray | None, result: str, at: int) -> np.ndarray:
    """Return the ITEM row (an array of one) of a report on the event whose own row is `event`, if it is known."""
    row = empty(1) if event is None else event.copy()
    row["role"] = Role.REPORT
    row["result"] = REPORT_RESULTS.index(result)
    row["time"] = at
    return row


def pack_item(row: np.ndarray) -> bytes:
    """Return an ITEM row (an array of one) as the bytes that are sealed with its event, its schema in front."""
    kept = row.copy()
    kept["user"], kept["source"], kept["resource"] = 0, -1, -1  # what indexes this very batch
    return bytes([ITEM_SCHEMA]) + kept.tobytes()


def unpack_item(data: bytes) -> np.ndarray:
    """Return an ITEM row (an array of one) from what `pack_item` made."""
    if data[0] != ITEM_SCHEMA:
        raise RiskEngineError(f"a stored item has schema {data[0]}; this version reads {ITEM_SCHEMA}")
    return np.frombuffer(data[1:], ITEM).copy()


def spans(rows: Batch, tokens: Sequence[Tokens], window: int) -> set[tuple[str, int, int, int]]:
    """Return the counter cells (kind, key, first minute, last minute) that these events look at."""
    found = set()
    for minute, token in zip((rows["event_time"] // counters.MINUTE_MS).tolist(), tokens, strict=True):
        for kind, key in zip(COUNTED, (token.user_key64, token.address_key64, token.prefix_key64), strict=True):
            if key:
                found.add((kind, key, minute - window, minute - 1))
    return found


def count_attempts(
    rows: Batch, tokens: Sequence[Tokens], cells: dict[CellKey, Cell], window: int
) -> dict[CellKey, Cell]:
    """Fill in, in place, what each event sees of earlier attempts; return what these events add to the cells."""
    minute = rows["event_time"] // counters.MINUTE_MS
    failed = rows["outcome"] == OUTCOMES.index("failure")
    user = np.array([token.user_key for token in tokens], np.uint32)
    keys = {
        "user": np.array([token.user_key64 for token in tokens], np.uint64),
        "address": np.array([token.address_key64 for token in tokens], np.uint64),
        "prefix": np.array([token.prefix_key64 for token in tokens], np.uint64),
    }
    added: dict[CellKey, list[tuple[bool, int]]] = {}
    for kind, key in keys.items():
        tried = np.zeros_like(user) if kind == "user" else user
        seen = counters.see(key, minute, failed, tried, _cells_of(kind, cells), window)
        if kind != "user":
            rows[f"{kind}_attempts"], rows[f"{kind}_users"] = seen.attempts, seen.users
        rows[f"{kind}_failures"] = seen.failures
        for source, at, fell, who in zip(key.tolist(), minute.tolist(), failed.tolist(), user.tolist(), strict=True):
            if source:
                added.setdefault(CellKey(kind, source, at), []).append((fell, who))
    return {
        key: Cell(
            attempts=len(tries),
            failures=sum(fell for fell, _ in tries),
            users=() if key.kind == "user" else tuple(sorted({who for _, who in tries if who})),
        )
        for key, tries in added.items()
    }


def _cells_of(kind: str, cells: dict[CellKey, Cell]) -> counters.Cells:
    """Return the stored cells of one kind as columns."""
    mine = [(key, cell) for key, cell in cells.items() if key.kind == kind]
    if not mine:
        return counters.Cells.none()
    users = [(key.key, key.minute, who) for key, cell in mine for who in cell.users]
    return counters.Cells(
        key=np.array([key.key for key, _ in mine], np.uint64),
        minute=np.array([key.minute for key, _ in mine], np.int64),
        attempts=np.array([cell.attempts for _, cell in mine], np.int64),
        failures=np.array([cell.failures for _, cell in mine], np.int64),
        user_key=np.array([source for source, _, _ in users], np.uint64),
        user_minute=np.array([at for _, at, _ in users], np.int64),
        user=np.array([who for _, _, who in users], np.uint32),
    )
