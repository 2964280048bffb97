"""Acting in an incident: blocks put up, listed and lifted for all servers of a database, and followed by each of them.

A block belongs to no policy and ends by itself. It denies by the rule `blocked`, whatever the policy in force says; in
the mode `observe` it denies nothing, as nothing does.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

import structlog

from riskengine.audit import Audit
from riskengine.check import Check, Wrong, boolean, checked, format_time, span, text
from riskengine.engine.block import Block, Target, parse_target
from riskengine.engine.blocks import Blocks
from riskengine.errors import Conflict, Fault, InvalidInput, NotFound, SealKeyError, StoreUnavailable
from riskengine.event import DAY_MS
from riskengine.seal import Seal, SealBroken
from riskengine.store import blocks as table
from riskengine.store.blocks import BlockRow
from riskengine.store.sql import SqlStore

MOST = 1_000  # in force at once, over all realms
SHORTEST_MS, LONGEST_MS = 60_000, 90 * DAY_MS
LISTED = 1_000
# Wider networks are somebody's slip more often than an attacker.
WIDEST = {4: 8, 6: 19}
_HOME = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
# What the audit trail calls a target, by its kind; an erasure finds the names of people there.
_AUDITED = {"address": "cidr", "asn": "asn", "user": "user_id", "device": "device_id"}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A block to put up, checked: what, for how long (ms), why."""

    target: Target
    span: int
    why: str


def _span(value: Any) -> int:
    found = span(value)
    if not SHORTEST_MS <= found <= LONGEST_MS:
        raise Wrong("must lie between 1m and 90d: what lasts belongs on the policy's block list")
    return found


_FIELDS: dict[str, Check] = {"value": parse_target, "for": _span, "why": text(200), "force": boolean}


def parse_order(given: dict[str, Any]) -> Order:
    """Return the block that `value`, `for` and `why` ask for; InvalidInput names each that makes no sense.

    A network that is very wide, or that holds addresses of this machine itself, takes `force`.
    """
    found, faults = checked(given, _FIELDS, ("value", "for", "why"))
    if "value" in found and not found.get("force", False) and (risk := _risk(found["value"])):
        faults.append(Fault("/value", risk))
    if faults:
        raise InvalidInput(faults)
    return Order(found["value"], found["for"], found["why"])


def _risk(target: Target) -> str | None:
    if target.kind != "address":
        return None
    network = target.network
    if network.prefixlen < WIDEST[network.version]:
        least = WIDEST[network.version]
        return f"is wider than a /{least}: it would shut out a large part of the internet; force says that it is meant"
    if any(network.version == home.version and network.overlaps(home) for home in _HOME):
        return "holds the addresses of a server itself, from which proxies call it; force says that it is meant"
    return None


@dataclass(frozen=True, slots=True)
class Listed:
    """A block as it is told; times are ms since 1970, `lifted_at` is None unless it was ended before its time."""

    id: str
    target: Target
    why: str
    who: str
    created_at: int
    expires_at: int
    lifted_at: int | None

    def told(self) -> dict[str, Any]:
        """Return it as the API says it."""
        times = {name: getattr(self, name) for name in ("created_at", "expires_at", "lifted_at")}
        return {
            "id": self.id,
            "kind": self.target.kind,
            "value": str(self.target),
            "why": self.why,
            "by": self.who,
            **{name: None if at is None else format_time(at) for name, at in times.items()},
        }

    def state(self, now: int) -> str:
        """Return whether it is in force, lifted or expired."""
        return "lifted" if self.lifted_at is not None else "expired" if self.expires_at <= now else "in force"


class Blocklist:
    """Puts up, lists and lifts the blocks of a store, each deed audited first. All times are ms since 1970.

    Every method reaches the store, and may raise StoreUnavailable. Safe to share between threads.
    """

    def __init__(self, store: SqlStore, seal: Seal, audit: Audit) -> None:
        self._store, self._seal, self._audit = store, seal, audit

    def add(self, order: Order, realm: str, who: str, at: int) -> Listed:
        """Put up a block; Conflict where there are too many."""
        block_id, target = secrets.token_hex(5), order.target
        until = at + order.span
        said = {_AUDITED[target.kind]: target.value, "why": order.why, "until": format_time(until)}
        # What cannot be audited must not happen.
        self._audit.record(at, realm, who, "block.add", block_id, **said)
        token = self._seal.index(realm, target.kind, target.value) if target.kind in ("user", "device") else None
        detail = json.dumps({"value": target.value, "why": order.why}).encode()
        sealed = self._seal.seal(detail, realm, "block", block_id.encode())
        row = BlockRow(block_id, realm, target.kind, token, target.asn, sealed, who, at, until)
        added: list[bool] = []
        self._store.write(lambda connection: added.append(table.add(connection, row, MOST)))
        if not added[-1]:
            raise Conflict(f"{MOST:,} blocks are in force already: lift some, or put what lasts into the policy")
        return self._opened(row)

    def lift(self, block_id: str, realm: str, who: str, at: int) -> Listed:
        """End a block before its time; one that ended already stays as it is. NotFound if the realm has none."""
        row = self._find(block_id, realm)
        if row.lifted_at is None:
            target = self._opened(row).target
            self._audit.record(at, realm, who, "block.lift", block_id, **{_AUDITED[target.kind]: target.value})
            self._store.write(lambda connection: table.lift(connection, realm, block_id, at))
        return self._opened(self._find(block_id, realm))

    def listed(self, realm: str, who: str, at: int, *, every: bool = False) -> list[Listed]:
        """Return the blocks in force, newest first; with `every` also the newest of those that ended."""
        self._audit.record(at, realm, who, "block.list", "blocks")
        with self._store.reading() as connection:
            rows = table.newest(connection, realm, LISTED) if every else table.rows_in_force(connection, at, realm)
        return [self._opened(row) for row in rows]

    def _find(self, block_id: str, realm: str) -> BlockRow:
        with self._store.reading() as connection:
            row = table.find(connection, realm, block_id)
        if row is None:
            raise NotFound("there is no such block")
        return row

    def _opened(self, row: BlockRow) -> Listed:
        block = opened(row, self._seal)
        return Listed(row.id, block.target, block.why, row.who, row.created_at, row.expires_at, row.lifted_at)


class Watch:
    """The blocks that a serving process heeds; `refresh` looks whether they changed."""

    def __init__(self, store: SqlStore, seal: Seal) -> None:
        self._store, self._seal = store, seal
        self._ids: frozenset[str] = frozenset()
        self._failing = False
        self.blocks = Blocks()

    def refresh(self, at: int) -> bool:
        """Take up what changed by `at` (ms since 1970); return whether anything did. Without the store all stays."""
        try:
            with self._store.reading() as connection:
                ids = table.ids_in_force(connection, at)
                rows = table.rows_in_force(connection, at) if ids != self._ids else []
        except StoreUnavailable as error:
            if not self._failing:
                _log.warning("blocks not followed", reason=str(error))
            self._failing = True
            return False
        self._failing = False
        if ids == self._ids:
            return False
        self._ids, self.blocks = ids, Blocks(self._readable(rows))
        _log.info("blocks in force", count=len(ids))
        return True

    def _readable(self, rows: Sequence[BlockRow]) -> list[Block]:
        found = []
        for row in rows:
            try:
                found.append(opened(row, self._seal))
            except (SealBroken, SealKeyError) as error:  # the others must hold all the same
                _log.error("block not taken up", block=row.id, reason=str(error))
        return found


def opened(row: BlockRow, seal: Seal) -> Block:
    """Return a stored block; SealBroken or SealKeyError when it does not open."""
    detail = json.loads(seal.open(row.detail, row.realm, "block", row.id.encode()))
    return Block(row.id, row.realm, Target(row.kind, detail["value"]), row.token, detail["why"], row.expires_at)
