"""The public keys that an outside issuer publishes: read or fetched, and kept for when it does not answer."""

import json
import os
import time
from http.client import HTTPException
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.request import HTTPRedirectHandler, build_opener

from riskengine.access.public_keys import MOST_BYTES, PublicKey, published, written
from riskengine.errors import IssuerUnavailable

# How long keys count after they were last seen at their source: an issuer may be down for a night, not for ever.
TRUSTED_MS = 86_400_000
# How often a key that is not known may make us look again before it is time.
AGAIN_MS = 60_000
# How long a token of such a key waits for that.
WAIT_SECONDS = 0.1
FETCH_SECONDS = 5.0


class Published:
    """The keys at `source`, a file or a URL; what was fetched is kept in the file `kept`.

    Every time is ms since 1970 and given by the caller. Thread-safe.
    """

    def __init__(self, source: str, kept: Path) -> None:
        self._source, self._kept = source, kept
        self._read = _fetched if "://" in source else _read
        # Those last seen, however long ago that was.
        self.last: tuple[PublicKey, ...] = ()
        self._seen_at = 0
        self._again_at: int | None = None
        self._problem: str | None = None
        self._look: Thread | None = None
        self._lock = Lock()

    def keys(self, now: int) -> tuple[PublicKey, ...]:
        """Return the keys that count at `now`: those last seen, none if that is too long ago."""
        return self.last if now - self._seen_at < TRUSTED_MS else ()

    def recall(self) -> bool:
        """Take up what was kept of this source; return whether there was anything."""
        try:
            kept = json.loads(self._kept.read_text("utf-8"))
            if kept["source"] != self._source:
                return False
            keys, seen_at = published(json.dumps(kept["keys"])), int(kept["seen_at"])
        except (OSError, ValueError, KeyError, TypeError):
            return False  # it is only what spares us a wait
        self.last, self._seen_at = keys, seen_at
        return True

    def refresh(self, now: int) -> None:
        """Look at the source; where that does not answer with keys, nothing changes and IssuerUnavailable says so."""
        self._begin(now).join(FETCH_SECONDS)
        if self._look is not None and self._look.is_alive():
            raise IssuerUnavailable(f"{self._source} does not answer within {FETCH_SECONDS:g} s")
        if self._problem is not None:
            raise IssuerUnavailable(self._problem)

    def look_again(self, now: int) -> bool:
        """Look at the source once more, for a key that is not known; return whether one was under way or allowed.

        Whoever sends tokens of made-up keys gets one look a minute, and everybody waits for a moment only.
        """
        with self._lock:
            if self._again_at is not None and 0 <= now - self._again_at < AGAIN_MS:
                return False
            self._again_at = now
        self._begin(now).join(WAIT_SECONDS)
        return True

    def _begin(self, now: int) -> Thread:
        """Return the look that is under way, which this begins if there is none.

        It has a thread of its own that nobody has to wait for: a source may send a byte now and then for hours.
        """
        with self._lock:
            if self._look is None or not self._look.is_alive():
                self._look = Thread(target=self._take, args=(now,), name="issuer", daemon=True)
                self._look.start()
            return self._look

    def _take(self, now: int) -> None:
        try:
            self.last, self._seen_at, self._problem = published(self._read(self._source)), now, None
        except (OSError, HTTPException) as error:
            self._problem = f"{self._source} cannot be read: {getattr(error, 'code', type(error).__name__)}"
        except ValueError as error:
            self._problem = f"{self._source} {error}"
        else:
            if self._read is _fetched:
                self._keep(now)

    def _keep(self, now: int) -> None:
        kept = {"source": self._source, "seen_at": now, "keys": json.loads(written(self.last))}
        draft = self._kept.with_suffix(f".{os.getpid()}")
        try:
            draft.write_text(json.dumps(kept), "utf-8")
            draft.replace(self._kept)
        except OSError as error:
            self._problem = f"{self._kept} cannot be written: {type(error).__name__}"


def _read(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _fetched(url: str) -> bytes:
    """Return what a URL answers with; OSError where it does not, ValueError for what is too long."""
    end, found = time.monotonic() + FETCH_SECONDS, b""
    with _opener.open(url, timeout=FETCH_SECONDS) as answer:
        while piece := answer.read1(MOST_BYTES):
            found += piece
            if len(found) > MOST_BYTES:
                raise ValueError(f"is longer than {MOST_BYTES} bytes")
            if time.monotonic() > end:
                raise TimeoutError
    return found


class _Straight(HTTPRedirectHandler):
    """Follows nobody elsewhere: an HTTPError, which is an OSError, says what was answered instead."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Return nothing to go on with."""


_opener = build_opener(_Straight)
