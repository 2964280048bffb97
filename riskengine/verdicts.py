"""One verdict over all events that a search finds: counted first, then given step by step, and taken back likewise.

A step is bounded, so that nobody waits long for one. What is left to do stands in a sealed note that the caller sends
back: the server keeps nothing. A step that is sent again judges nothing twice.
"""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from riskengine.audit import Audit
from riskengine.check import parse_time
from riskengine.engine.arrival import Arrival
from riskengine.engine.engine import Engine
from riskengine.engine.saved import raw_of
from riskengine.errors import Conflict, Fault, InvalidInput, NotFound, SealKeyError
from riskengine.event import VERDICTS, WITHDRAWN, Report
from riskengine.inquiry.filters import Filters
from riskengine.inquiry.inquiry import COUNTED, Asker, Inquiry
from riskengine.seal import SealBroken
from riskengine.store import bulk as table
from riskengine.store import search
from riskengine.store.sql import SqlStore

AT_ONCE = 100  # events a step looks at
LASTS_MS = 3_600_000  # how long a note counts: what was counted longer ago may be another crowd by now
_NOTE_BYTES = 16_384
_STALE = "this was counted more than an hour ago: count again"


class Progress(msgspec.Struct, frozen=True):
    """How far a verdict over a search, or its undoing, has come. `count` is how many events were counted at first."""

    id: str
    result: str  # one of VERDICTS, or withdrawn
    count: int
    at: int  # when it was counted, ms since 1970
    given: dict[str, Any]  # the filters
    done: int = 0  # looked at
    applied: int = 0
    after: str | None = None
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What became of it so far; `confirm` is the note that the next step takes, None at the end."""

    progress: Progress
    confirm: str | None

    def told(self) -> dict[str, Any]:
        """Return it as the API says it."""
        found = self.progress
        return {
            "id": found.id,
            "result": found.result,
            "count": found.count,
            "applied": found.applied,
            "skipped": found.done - found.applied,
            "confirm": self.confirm,
        }


class Verdicts:
    """Gives verdicts over searches and takes them back. Every method reaches the store, and may raise StoreUnavailable.

    `clock` gives ms since 1970. Safe to share between threads.
    """

    def __init__(
        self, engine: Engine, store: SqlStore, inquiry: Inquiry, audit: Audit, clock: Callable[[], int]
    ) -> None:
        self._engine, self._store, self._inquiry = engine, store, inquiry
        self._audit, self._clock = audit, clock

    def count(self, asker: Asker, given: Mapping[str, Any], result: str) -> Step:
        """Return how many events a verdict would be given on, and the note that gives it. Nothing is changed.

        Events that arrive later are not meant. More than 10,000, or a search that cannot be counted, is InvalidInput.
        """
        if result not in VERDICTS:
            raise InvalidInput([Fault("/result", f"must be one of {', '.join(VERDICTS)}")])
        now = self._clock()
        filters = self._filters(given, asker.realm)
        total = self._inquiry.count(asker, filters)
        if not total.exact:
            detail = f"match too many events to judge at once: more than {COUNTED:,}, or too many to look at"
            raise InvalidInput([Fault("/filters", detail)])
        progress = Progress(secrets.token_hex(5), result, total.count, now, dict(given))
        return Step(progress, self._note(progress, asker.realm) if total.count else None)

    def undo(self, asker: Asker, bulk: str) -> Step:
        """Return how many verdicts a bulk gave, and the note that withdraws them; NotFound if the realm has none.

        Events on which another verdict was given since are left alone.
        """
        with self._store.reading() as connection:
            count = table.count(connection, asker.realm, bulk)
        if not count:
            raise NotFound("there are no verdicts of this id")
        progress = Progress(bulk, WITHDRAWN, count, self._clock(), {}, after="0")
        return Step(progress, self._note(progress, asker.realm))

    def step(self, asker: Asker, note: str) -> Step:
        """Do the next step that a note stands for; the first is audited before."""
        progress = self._read(note, asker.realm)
        if not progress.begun:
            self._begin(asker, progress)
            progress = msgspec.structs.replace(progress, begun=True)
        judged = self._withdraw if progress.result == WITHDRAWN else self._judge
        done, more = judged(asker, progress)
        return Step(done, self._note(done, asker.realm) if more else None)

    def _judge(self, asker: Asker, progress: Progress) -> tuple[Progress, bool]:
        page = self._inquiry.page(
            asker.realm, self._filters(progress.given, asker.realm), progress.after, AT_ONCE
        )
        meant = [one for one in page.events if parse_time(one.event["received_at"]) <= progress.at]
        fresh = [one.answer["event_id"] for one in meant if one.state != progress.result]
        applied = sum(self._told(asker, event_id, progress) for event_id in fresh)
        done = msgspec.structs.replace(
            progress, done=progress.done + len(meant), applied=progress.applied + applied, after=page.next
        )
        return done, page.next is not None

    def _withdraw(self, asker: Asker, progress: Progress) -> tuple[Progress, bool]:
        with self._store.reading() as connection:
            rows = table.given(connection, asker.realm, progress.id, int(progress.after or 0), AT_ONCE)
            events = {row.id: row for row in search.rows_of(connection, [row.event for row in rows if row.event])}
        seal, applied = self._engine.seal, 0
        for row in rows:
            event = events.get(row.event or 0)
            if event is not None and event.raw:  # a purge may have emptied it
                event_id = raw_of(event, seal)["event_id"]
                applied += self._told(asker, event_id, progress)
        last = str(rows[-1].id) if rows else progress.after
        done = msgspec.structs.replace(
            progress, done=progress.done + len(rows), applied=progress.applied + applied, after=last
        )
        return done, len(rows) == AT_ONCE

    def _told(self, asker: Asker, event_id: str, progress: Progress) -> bool:
        """Give, or withdraw, the verdict on one event; return whether it counts: what stands against it is left."""
        now = self._clock()
        report = Report(event_id, progress.result, at=now)
        outcome = self._engine.insist(Arrival(asker.realm, report, now, who=asker.name, bulk=progress.id))
        if isinstance(outcome, Conflict | NotFound):
            return False
        if isinstance(outcome, Exception):
            raise outcome
        return True

    def _begin(self, asker: Asker, progress: Progress) -> None:
        action = "verdicts.undo" if progress.result == WITHDRAWN else "verdicts.give"
        said = {name: str(value) for name, value in progress.given.items()}
        self._audit.record(
            self._clock(), asker.realm, asker.name, action, progress.id,
            **(said | {"result": progress.result, "count": str(progress.count)}),
        )  # fmt: skip

    def _filters(self, given: Mapping[str, Any], realm: str) -> Filters:
        try:
            return self._inquiry.filters(given, realm)
        except InvalidInput as error:
            raise InvalidInput([one._replace(pointer=f"/filters{one.pointer}") for one in error.faults]) from error

    def _note(self, progress: Progress, realm: str) -> str:
        sealed = self._engine.seal.seal(msgspec.json.encode(progress), realm, "verdicts", b"")
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def _read(self, note: str, realm: str) -> Progress:
        try:
            data = base64.b64decode(note[:_NOTE_BYTES] + "=" * (-len(note) % 4), altchars=b"-_", validate=True)
            found = msgspec.json.decode(self._engine.seal.open(data, realm, "verdicts", b""), type=Progress)
        except (ValueError, binascii.Error, SealBroken, SealKeyError) as error:
            raise InvalidInput([Fault("/confirm", "must be the `confirm` of an earlier answer")]) from error
        if self._clock() - found.at > LASTS_MS:
            raise Conflict(_STALE)
        return found
