"""Who sits at the browser: an access key given once, and from then on a cookie that stands for it."""

import hashlib
import secrets
from dataclasses import dataclass

from riskengine.access.access import Access
from riskengine.access.caller import Caller
from riskengine.errors import AccessDenied
from riskengine.store.contract import SessionRow, Store

MINUTE_MS = 60_000
IDLE_MS = 30 * MINUTE_MS
LONGEST_MS = 12 * 60 * MINUTE_MS
LINK_MS = 10 * MINUTE_MS
# How exactly it is noted when a session was last used: not each click is a write.
SEEN_MS = MINUTE_MS
ANALYST = "verdict"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A signed-in browser. `csrf` is what its forms carry: it cannot be told without the cookie."""

    caller: Caller
    csrf: str

    @property
    def is_analyst(self) -> bool:
        """Whether this visitor may judge events, and so sees whom they are about at once."""
        return ANALYST in self.caller.scopes


class Sessions:
    """Begins, recognises and ends sessions. Times are ms since 1970 and given by the caller. Thread-safe.

    Of a cookie, or of a sign-in link, only a digest is stored. A session ends after 30 min without use, after 12 h,
    and with its access key.
    """

    def __init__(self, store: Store, access: Access) -> None:
        self._store, self._access = store, access

    def sign_in(self, key: str, now: int) -> str:
        """Return the cookie for an access key; AccessDenied unless it is one that may read events."""
        return self._begin(self._access.authenticate(f"Bearer {key}", now), now)

    def make_link(self, key_id: str, now: int) -> str:
        """Return a token that signs in once, within 10 min, as the holder of this key."""
        token = secrets.token_urlsafe(32)
        self._store.add_session(SessionRow(_digest(token), "link", key_id, now, now, now + LINK_MS))
        return token

    def follow_link(self, token: str, now: int) -> str:
        """Return the cookie for a link's token; AccessDenied for one that was used, or is too old."""
        row = self._store.session(_digest(token))
        if row is None or row.kind != "link" or now >= row.expires_at or not self._store.end_session(row.digest):
            raise AccessDenied("This link was used already, or is older than 10 minutes.")
        return self._begin(self._access.holder(row.key_id, now), now)

    def admit(self, cookie: str, now: int) -> Visitor | None:
        """Return who holds this cookie, and note that the session is in use; None when there is no such session."""
        found = self._living(cookie, now)
        if found is None:
            return None
        row, visitor = found
        if now - row.seen_at >= SEEN_MS:
            self._store.touch_session(row.digest, now)
        return visitor

    def look(self, cookie: str, now: int) -> Visitor | None:
        """Return who holds this cookie, for what the page asks by itself: that keeps no session alive."""
        found = self._living(cookie, now)
        return None if found is None else found[1]

    def _living(self, cookie: str, now: int) -> tuple[SessionRow, Visitor] | None:
        """Return a session that has not ended; one that has is let go."""
        row = self._store.session(_digest(cookie))
        if row is None or row.kind != "session":
            return None
        try:
            caller = self._access.holder(row.key_id, now)
        except AccessDenied:
            self._store.end_session(row.digest)
            return None
        if now >= row.expires_at or now - row.seen_at >= IDLE_MS:
            self._store.end_session(row.digest)
            return None
        return row, Visitor(caller, _digest(f"csrf {cookie}").hex())

    def sign_out(self, cookie: str) -> None:
        """End the session of this cookie."""
        self._store.end_session(_digest(cookie))

    def _begin(self, caller: Caller, now: int) -> str:
        if "events:read" not in caller.scopes:
            raise AccessDenied("This access key may not read events.", scope="events:read")
        cookie = secrets.token_urlsafe(32)
        self._store.add_session(SessionRow(_digest(cookie), "session", caller.key_id, now, now, now + LONGEST_MS))
        return cookie


def _digest(secret: str) -> bytes:
    """Return what is kept of a secret: it is 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(secret.encode()).digest()
