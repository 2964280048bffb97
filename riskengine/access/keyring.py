"""Keys that sign tokens: sealed in the database, shared by all workers, replaced without a break."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from riskengine.errors import Conflict
from riskengine.seal import Seal
from riskengine.store.contract import SigningKeyRow, Store

# A key signs for a week. It is shown ten minutes before it begins to, so that who checks tokens has it by then.
SIGNS_MS = 7 * 86_400_000
SHOWN_MS = 600_000
# How often the store may be asked for a key that is not known here.
ASK_MS = 1_000
# What sealed secrets are bound to: no realm, this name, and the row's kind and number.
SEALED = "signing_keys.secret"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as opened: `secret` is what its maker made, `public` what anybody may know of it."""

    number: int
    secret: bytes
    public: str
    created_at: int


class Keyring:
    """The keys of one `kind`, the newest last. `make` returns a new secret, and what is public of it. Thread-safe."""

    def __init__(self, store: Store, seal: Seal, kind: str, make: Callable[[], tuple[bytes, str]]) -> None:
        self._store, self._seal, self._kind, self._make = store, seal, kind, make
        self._keys: list[SigningKey] = []
        self._asked_at: int | None = None
        self._lock = Lock()

    def signing(self, now: int) -> SigningKey:
        """Return the key to sign with at `now`; where it is time for another one, that is made first."""
        with self._lock:
            if self._is_due(now):
                self._read()
                if self._is_due(now):
                    self._add(now)
            return self.latest(now)

    def latest(self, at: int) -> SigningKey:
        """Return the key that signs, or signed, at a time, of those known here: nothing is made or asked for."""
        keys = self._keys
        shown = [key for key in keys if at - key.created_at >= SHOWN_MS]
        return shown[-1] if shown else keys[0]

    def all(self, now: int) -> list[SigningKey]:
        """Return every key that may have signed what still counts, or will soon, asking the store now and then."""
        with self._lock:
            self._ask(now)
            return list(self._keys)

    def find(self, is_it: Callable[[SigningKey], bool], now: int) -> SigningKey | None:
        """Return the key that a token names; one that is not known here is asked for, as another worker may have it."""
        with self._lock:
            found = self.here(is_it)
            return self.here(is_it) if found is None and self._ask(now) else found

    def here(self, is_it: Callable[[SigningKey], bool]) -> SigningKey | None:
        """Return the key that a token names if it is known here; the store is not asked."""
        return next(filter(is_it, self._keys), None)

    def known(self, number: int) -> SigningKey | None:
        """Return a key by its number if it is known here."""
        return next((key for key in self._keys if key.number == number), None)

    def learn(self) -> None:
        """Read from the store which keys there are."""
        with self._lock:
            self._read()

    def _is_due(self, now: int) -> bool:
        return not self._keys or now - self._keys[-1].created_at >= SIGNS_MS

    def _ask(self, now: int) -> bool:
        """Learn which keys there are, unless that was asked a moment ago; return whether it was done."""
        if self._asked_at is not None and 0 <= now - self._asked_at < ASK_MS:
            return False
        self._read()
        self._asked_at = now
        return True

    def _add(self, now: int) -> None:
        """Make the next key, unless another worker has just done so."""
        number = self._keys[-1].number + 1 if self._keys else 1
        secret, public = self._make()
        sealed = self._seal.seal(secret, "", SEALED, bound_to(self._kind, number))
        row = SigningKeyRow(self._kind, number, sealed, public, now)
        with suppress(Conflict):
            # What the key before the last has signed expired days ago.
            self._store.add_signing_key(row, forget_below=number - 1)
        self._read()

    def _read(self) -> None:
        rows = self._store.signing_keys(self._kind)
        self._keys = [
            SigningKey(
                row.number,
                self._seal.open(row.secret, "", SEALED, bound_to(row.kind, row.number)),
                row.public,
                row.created_at,
            )
            for row in rows
        ]


def bound_to(kind: str, number: int) -> bytes:
    """Return what a sealed secret is bound to beside its table.

    >>> bound_to("token", 3)
    b'["token", 3]'
    """
    return json.dumps([kind, number]).encode()
