"""Who did what: the trail of administration and of reading personal data."""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from riskengine.errors import SealKeyError
from riskengine.seal import Seal, SealBroken
from riskengine.store.contract import Store
from riskengine.store.trail import AuditLine, linked

# So that nobody without the key can guess a detail and see it confirmed by its digest.
_SALT_BYTES = 16
# What a detail holds beside what it said, once a person in it was erased: only who has the sealing key can write that.
ERASED = "erased"
ALTERED = "its detail is not what was written"


class Audit:
    """Appends to the store's audit trail. Time, realm, actor and action stay in clear; the detail is sealed."""

    def __init__(self, store: Store, seal: Seal) -> None:
        self._store, self._seal = store, seal

    def record(self, at: int, realm: str, actor: str, action: str, object: str, **detail: str | list[str]) -> None:
        """Append one line: at `at` (ms since 1970) `actor` did `action` to `object`.

        `object` is found and shown in clear and so must not be personal; what is goes into `detail`. Raise
        StoreUnavailable when it cannot be written: what cannot be audited must not happen.
        """
        row = audit_row(at, actor, action, object)
        plain = json.dumps(detail | {"salt": secrets.token_hex(_SALT_BYTES)}, ensure_ascii=False).encode()
        digest = hashlib.sha256(plain).hexdigest()
        self._store.audit(at, realm, actor, action, object, self._seal.seal(plain, realm, "audit", row), digest)


@dataclass(slots=True)
class Verified:
    """What a look at the whole trail found. `head` stands for all lines up to the last, None without any; `erased` are
    lines in which a person who was erased goes by a pseudonym, so that their detail is not what was written."""

    lines: int = 0
    erased: int = 0
    head: str | None = None
    faults: list[str] = field(default_factory=list)


def verify(lines: Iterable[AuditLine], seal: Seal, noted: str | None = None) -> Verified:
    """Check every line, given from the first to the last, against its link and its detail.

    `noted` is a head that an earlier look gave: it notices a trail whose end was cut off, or written anew.
    """
    found, link, last = Verified(), "", 0
    met = noted is None
    for line in lines:
        expected = linked(link, line)
        if line.link not in (None, expected):
            missing = "" if line.id == last + 1 else f", or lines between {last} and {line.id} are missing"
            found.faults.append(f"line {line.id} is not what was written after line {last}{missing}")
        broken = _broken(line, seal)
        if broken == ALTERED and ERASED in detail_of(line, seal):
            found.erased += 1
        elif broken is not None:
            found.faults.append(f"line {line.id}: {broken}")
        link, last = line.link or expected, line.id
        found.head = f"{last}:{link}"
        found.lines += 1
        met = met or found.head == noted
    if not met:
        found.faults.append(f"the noted head {noted} is not met: lines up to it were changed or cut off")
    return found


def detail_of(line: AuditLine, seal: Seal) -> dict[str, Any]:
    """Return the detail of a line in clear; SealBroken or SealKeyError when it does not open."""
    return unsalted(json.loads(_opened(line, seal)))


def unsalted(detail: dict[str, Any]) -> dict[str, Any]:
    """Return what a stored detail says, without what keeps its digest from being guessed.

    >>> unsalted({"user_id": "ana", "salt": "00"})
    {'user_id': 'ana'}
    """
    return {name: value for name, value in detail.items() if name != "salt"}


def audit_row(at: int, actor: str, action: str, object: str) -> bytes:
    """Return what a line's sealed detail is bound to: its own clear columns.

    >>> audit_row(5, "ops", "key.create", "rk_1")
    b'[5, "ops", "key.create", "rk_1"]'
    """
    return json.dumps([at, actor, action, object]).encode()


def _opened(line: AuditLine, seal: Seal) -> bytes:
    return seal.open(line.detail, line.realm, "audit", audit_row(line.at, line.actor, line.action, line.object))


def _broken(line: AuditLine, seal: Seal) -> str | None:
    """Return what is wrong with the detail of a line."""
    try:
        plain = _opened(line, seal)
    except (SealBroken, SealKeyError) as error:
        return str(error)
    if line.digest not in (None, hashlib.sha256(plain).hexdigest()):
        return ALTERED
    return None


def matching(
    lines: Iterable[AuditLine], since: int | None, until: int | None, **wanted: str | None
) -> Iterator[AuditLine]:
    """Yield the lines at or after `since` and before `until` whose columns are as `wanted`; None stands for any."""
    asked = {name: value for name, value in wanted.items() if value is not None}
    for line in lines:
        fits = all(getattr(line, name) == value for name, value in asked.items())
        if fits and (since is None or line.at >= since) and (until is None or line.at < until):
            yield line
