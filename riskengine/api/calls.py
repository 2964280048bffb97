"""What every handler needs: the parts it works with, who calls, and the body as decoded JSON."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from riskengine.access.access import Access
from riskengine.access.caller import DENIED, Caller, bearer, require
from riskengine.access.guesses import Client, Guesses, refused
from riskengine.access.limits import LEAVE, Limits
from riskengine.access.mint import Mint
from riskengine.api.envelope import NEXT_TOKEN
from riskengine.api.problems import MALFORMED, NOT_JSON, TOO_LARGE, TOO_SLOW, UNKNOWN_PARAMETER, Refused
from riskengine.api.proxies import certificate_of
from riskengine.audit import Audit
from riskengine.blocklist import Blocklist
from riskengine.challenge import Challenges
from riskengine.check import decode
from riskengine.errors import AccessDenied, InvalidInput, Overloaded, StoreUnavailable, TokenRefused
from riskengine.inquiry.inquiry import Inquiry
from riskengine.live import Live
from riskengine.verdicts import Verdicts

# Leaves time within the caller's 500 ms for the decision itself.
ASK_SECONDS = 0.2
BODY_SECONDS = 10.0
# After the store did not answer, remembered callers are admitted at once for so long, not each after a wait.
SILENT_MS = 1_000
# How many credentials may wait for the store.
MOST_ASKED = 256
# How often the audit trail says the same of a client, and of how many clients that is remembered.
NOTE_MS = 1_000
MOST_NOTED = 4_096

# As callers name what belongs in the Authorization header (RFC 6750, 2.3, among them).
_CREDENTIALS = frozenset(
    ("access_token", "token", "key", "api_key", "apikey", "access_key", "authorization", "client_secret", "secret")
)

_encoder = msgspec.json.Encoder()
JSON = (b"content-type", b"application/json")


class Door:
    """Admits callers by their access key, without letting a slow or absent store hold up those it knows."""

    def __init__(
        self,
        access: Access,
        clock: Callable[[], int],
        guesses: Guesses,
        mint: Mint | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._access, self._clock, self._mint, self._audit = access, clock, mint, audit
        self._guesses, self._granting = guesses, 0
        self._noted: dict[tuple[str, str, str], int] = {}
        # Threads of its own: the store's other users must not be able to take them all.
        self._threads = ThreadPoolExecutor(2, "door")
        self._asked: dict[tuple[str | None, str | None], asyncio.Future[Caller]] = {}
        self._silent_until = 0

    async def admit(self, header: str | None, scope: Scope | None = None) -> Caller:
        """Return who sends this Authorization header in this scope; raise AccessDenied, StoreUnavailable or Overloaded
        if none can tell.

        LimitReached where too many wrong ones came from, and this one is not known to be right.
        """
        known = self.recall(header, scope)
        if known is not None:
            return known
        if header is None or not bearer(header):
            raise AccessDenied(DENIED)
        client = (scope or {}).get("client")
        seconds = self.held_up(client, header)
        if seconds:
            raise await refused(seconds)
        try:
            caller = await self._ask(header, certificate_of(scope or {}), self._clock())
        except AccessDenied:
            if not self._access.is_signed(header, lambda: True):  # what we signed is no guess, if it is of no use
                self._guesses.failed(client, header)
            raise
        self._guesses.proved(header)
        return caller

    def wait(self, client: Client) -> int:
        """Return how many seconds a credential that nobody knows has to wait from there; 0: it is looked at."""
        return self._guesses.wait(client)

    def held_up(self, client: Client, header: str) -> int:
        """Return how many seconds this header has to wait, from there, before the store is asked for it."""
        seconds = self._guesses.wait(client)
        if not seconds or self._guesses.knows(header):
            return 0
        signed = self._access.is_signed(header, lambda: self._guesses.may_check_signature(client))
        return 0 if signed else seconds

    def recall(self, header: str | None, scope: Scope | None = None) -> Caller | None:
        """Return who sends this Authorization header if that need not be asked of the store, else None."""
        now = self._clock()
        kept = self._access.recall(header, now, partial(self._renew, header, scope))
        if kept is None and now < self._silent_until:
            kept = self._access.recall_stale(header, now)
        if kept is None or kept.certificate is None or kept.certificate == certificate_of(scope or {}):
            return kept
        return None

    async def grant(self, form: Mapping[str, str], header: str | None, scope: Scope) -> dict[str, Any]:
        """Return a client's new token; raise TokenRefused, StoreUnavailable or Overloaded if none can tell.

        LimitReached to who asks too often, and where too many wrong secrets came from.
        """
        if self._mint is None:
            raise TokenRefused("invalid_client", "This server gives no tokens.")
        certificate, client = certificate_of(scope), scope.get("client")
        proof = form.get("client_assertion")
        shown = repr((header, form.get("client_id"), form.get("client_secret"), proof, certificate))
        # What a client signs is new each time, so that none of it is known to be right.
        if proof is None or not self._guesses.may_check_signature(client):
            await self._guesses.hold(client, shown)
        self._make_room()
        work = partial(self._mint.grant, form, header, certificate, self._clock())
        self._granting += 1
        try:
            given = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TokenRefused as error:
            if error.error == "invalid_client":
                self._guesses.failed(client, shown)
            if error.blame is not None:
                self.note(error.blame)
            raise
        finally:
            self._granting -= 1
        self._guesses.proved(shown)
        return given

    async def jwks(self) -> dict[str, Any]:
        """Return the public keys that access tokens are checked with."""
        if self._mint is None:
            return {"keys": []}
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._mint.jwks, self._clock())

    @property
    def issuer(self) -> str:
        """In whose name tokens are given; "" where none are."""
        return "" if self._mint is None else self._mint.issuer

    def following(self, caller: Caller, spent_at: int) -> str:
        """Return the one-time token that comes after the caller's, which was spent at `spent_at`."""
        return self._access.following(caller, spent_at)

    def note(self, blame: tuple[str, str, str]) -> None:
        """Have the audit trail say that a token was refused (whose realm, which client, why), once a second each."""
        now = self._clock()
        if self._audit is None or now - self._noted.get(blame, 0) < NOTE_MS:
            return
        if len(self._noted) >= MOST_NOTED:
            self._noted.clear()
        self._noted[blame] = now
        realm, name, why = blame
        self._threads.submit(self._audit.record, now, realm, name, "token.refused", "token", why=why)

    async def _ask(self, header: str | None, certificate: str | None, now: int) -> Caller:
        """Ask the store, once for all requests that wait for the same credential."""
        try:
            asked = self._asked.get((header, certificate)) or self._begin(header, certificate, now)
            return await asyncio.wait_for(asyncio.shield(asked), ASK_SECONDS)
        except (TimeoutError, StoreUnavailable, Overloaded) as error:
            self._silent_until = now + SILENT_MS
            stale = self._access.recall_stale(header, now)
            if stale is not None and stale.certificate in (None, certificate):
                return stale
            if isinstance(error, Overloaded):
                raise
            raise StoreUnavailable("the access key cannot be checked") from error

    def _renew(self, header: str | None, scope: Scope | None) -> None:
        """Ask the store again for a caller that it told of a while ago, unless too many wait for it."""
        certificate = certificate_of(scope or {})
        if (header, certificate) not in self._asked and self._has_room():
            self._begin(header, certificate, self._clock())

    def _begin(self, header: str | None, certificate: str | None, now: int) -> asyncio.Future[Caller]:
        self._make_room()
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, self._access.authenticate, header, now, certificate)
        self._asked[header, certificate] = asked
        asked.add_done_callback(lambda done: self._settled((header, certificate), done))
        return asked

    def _make_room(self) -> None:
        """Raise Overloaded where as many wait for the store as may."""
        if not self._has_room():
            raise Overloaded

    def _has_room(self) -> bool:
        return len(self._asked) + self._granting < MOST_ASKED

    def _settled(self, asked: tuple[str | None, str | None], done: asyncio.Future[Caller]) -> None:
        self._asked.pop(asked, None)
        if not done.cancelled():
            done.exception()  # mark it as seen: everybody who asked may have stopped waiting

    def close(self) -> None:
        """Let go of the threads; whoever still waits for one is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that handlers work with; `clock` gives ms since 1970 and is the only clock they read."""

    live: Live
    door: Door
    audit: Audit
    clock: Callable[[], int]
    inquiry: Inquiry
    challenges: Challenges
    blocklist: Blocklist
    limits: Limits
    verdicts: Verdicts


def desk_of(request: Request) -> Desk:
    """Return the parts of the application that serves `request`."""
    return desk_in(request.scope)


def desk_in(scope: Scope) -> Desk:
    """Return the parts of the application that a scope belongs to."""
    desk: Desk = scope["app"].state.desk
    return desk


async def admit(request: Request, *scopes: str) -> Caller:
    """Return the caller of `request`; raise AccessDenied unless it has one of `scopes`.

    A one-time token is spent by that.
    """
    caller = await recognise(request, *scopes)
    await pay(request, caller)
    return caller


async def pay(request: Request, caller: Caller) -> None:
    """Spend the caller's one-time token on a request that saves no event; AccessDenied if it was used before."""
    if caller.ticket is None:
        return
    desk = desk_of(request)
    try:
        spent_at = await desk.live.pay(caller.ticket)
    except AccessDenied as error:
        raise spent(error, caller) from error
    followed(request.scope, caller, spent_at)


def followed(scope: Scope, caller: Caller, spent_at: int) -> None:
    """Have the answer carry the token that comes after the caller's."""
    scope["state"][NEXT_TOKEN] = desk_in(scope).door.following(caller, spent_at).encode()


def spent(error: AccessDenied, caller: Caller) -> AccessDenied:
    """Return the refusal of a token that was used before, with whom to blame for it."""
    return AccessDenied(str(error), error=error.error, blame=(caller.realm, caller.name, "used before"))


async def recognise(request: Request, *scopes: str) -> Caller:
    """Return the caller of `request`, whose one-time token `pay` has to spend once the request is known to be right.

    LimitReached where it has as much under way, or asks as often, as it may.
    """
    caller = await _known(request.scope, *scopes)
    request.scope["state"][LEAVE] = desk_of(request).limits.begin(caller.key_id)
    return caller


async def at_login(scope: Scope, *scopes: str) -> Caller:
    """Return the caller of a request that a login waits for, by `recognise`; how often it asks is no matter."""
    caller = await _known(scope, *scopes)
    scope["state"][LEAVE] = desk_in(scope).limits.begin_login(caller.key_id)
    return caller


async def _known(scope: Scope, *scopes: str) -> Caller:
    if scope["query_string"]:
        _refuse_credentials(QueryParams(scope["query_string"]))
    caller = await desk_in(scope).door.admit(header(scope, b"authorization"), scope)
    require(caller, *scopes)
    return caller


async def document(request: Request, most: int) -> Any:
    """Return the body of a request as decoded JSON, by `decoded`."""
    return await decoded(request.scope, request.receive, most)


async def decoded(scope: Scope, receive: Receive, most: int) -> Any:
    """Return a body as decoded JSON: 415 for another type, 413 beyond `most` bytes, 400 for what is not JSON, 408 for
    one that does not come."""
    if scope["query_string"]:
        _refuse_parameters(QueryParams(scope["query_string"]))
    _check_type(scope["headers"])
    try:
        return decode(await body_of(scope, receive, most))
    except InvalidInput as error:
        if any(fault.pointer for fault in error.faults):
            raise
        faults = [{"pointer": "", "detail": fault.detail} for fault in error.faults]
        raise Refused(MALFORMED, f"The body {faults[0]['detail']}.", errors=faults) from error


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first header of this name (in small letters)."""
    for given, value in scope["headers"]:
        if given == name:
            text: str = value.decode("latin-1")
            return text
    return None


def _check_type(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Refuse a body that is not said to be JSON, or is said to be compressed."""
    kind = encoding = b""
    for name, value in headers:
        if name == b"content-type":
            kind = kind or value
        elif name == b"content-encoding":
            encoding = encoding or value
    plain, _, parameters = kind.lower().partition(b";")
    known = parameters.replace(b'"', b"").strip() in (b"", b"charset=utf-8")
    if plain.strip() != b"application/json" or not known or encoding.lower() not in (b"", b"identity"):
        raise Refused(NOT_JSON, "Send the body with Content-Type: application/json, as UTF-8 and not compressed.")


async def body_of(scope: Scope, receive: Receive, most: int) -> bytes:
    """Return the body; stop reading as soon as it is longer than `most` bytes, or says that it will be."""
    too_large = Refused(TOO_LARGE, f"The body may have at most {most} bytes.")
    stated = header(scope, b"content-length") or ""
    if stated.isdecimal() and int(stated[:20]) > most:
        raise too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            parts, size = [], 0
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > most:
                    raise too_large
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        raise Refused(TOO_SLOW, f"The body did not come within {BODY_SECONDS:g} s.") from error


def no_parameters(request: Request) -> None:
    """Refuse every query parameter by name: a misspelt filter must not look like one that found nothing."""
    _refuse_parameters(request.query_params)


def _refuse_credentials(given: Iterable[str]) -> None:
    """Refuse a credential in a URL by name, before anybody is asked who calls: proxies and histories keep URLs."""
    for name in given:
        if name.lower() in _CREDENTIALS:
            detail = f"{name} must not stand in a URL, which others keep: send it in a header, and change it."
            raise Refused(UNKNOWN_PARAMETER, detail, parameter=name)


def _refuse_parameters(given: Iterable[str]) -> None:
    for name in given:
        shown = "".join(c if c.isprintable() else "?" for c in name[:64])
        raise Refused(UNKNOWN_PARAMETER, f"{shown} is not a parameter of this path.", parameter=shown)


def reply(body: Any) -> Response:
    """Return `body` as JSON; a NaN in it becomes null."""
    return Response(encoded(body), media_type="application/json")


def encoded(body: Any) -> bytes:
    """Return `body` as JSON; a NaN in it becomes null."""
    return _encoder.encode(body)


async def send_reply(body: Any, send: Send) -> None:
    """Send `body` as JSON with 200: what `reply` says, without what a Response costs."""
    content = encoded(body)
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length, JSON]})
    await send({"type": "http.response.body", "body": content})
