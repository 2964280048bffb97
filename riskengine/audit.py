"""Who did what: the trail of administration and of reading personal data."""

import json

from riskengine.seal import Seal
from riskengine.store.contract import Store


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
        sealed = self._seal.seal(json.dumps(detail, ensure_ascii=False).encode(), realm, "audit", row)
        self._store.audit(at, realm, actor, action, object, sealed)


def audit_row(at: int, actor: str, action: str, object: str) -> bytes:
    """Return what a line's sealed detail is bound to: its own clear columns.

    >>> audit_row(5, "ops", "key.create", "rk_1")
    b'[5, "ops", "key.create", "rk_1"]'
    """
    return json.dumps([at, actor, action, object]).encode()
