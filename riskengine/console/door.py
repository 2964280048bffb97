"""Who may open a page, and what a form must carry: everything a handler need not think of itself."""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote, urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from riskengine.access.caller import require
from riskengine.access.limits import LEAVE
from riskengine.console.office import office_of
from riskengine.console.render import HEADERS, rendered
from riskengine.console.sessions import Visitor
from riskengine.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    LimitReached,
    NotFound,
    Overloaded,
    RiskEngineError,
    StoreUnavailable,
)

COOKIE = "__Host-riskengine"
FORM_BYTES = 16 * 1024
FORM_SECONDS = 10.0
SIGN_IN = "/console/sign-in"
# Where a sign-in may lead: a page of ours, nothing that a browser could take for another host.
_OURS = re.compile(r"/console(/[A-Za-z0-9._:~-]+)*")
_STATUS: dict[type[RiskEngineError], int] = {
    InvalidInput: 422, NotFound: 404, AccessDenied: 403, Conflict: 409, LimitReached: 429, Overloaded: 503,
    StoreUnavailable: 503,
}  # fmt: skip
_SENTENCES = {
    503: "The store does not answer just now, or too many requests wait; try again in a moment.",
    404: "There is nothing here: it was never stored, or its time is over.",
}
_log = structlog.get_logger("riskengine.console")

Handler = Callable[[Request, Visitor], Awaitable[Response]]
Form = dict[str, str]
Action = Callable[[Request, Visitor, Form], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


def page(handler: Handler) -> Endpoint:
    """Return an endpoint that shows a page to who is signed in, and sends others to sign in."""

    async def endpoint(request: Request) -> Response:
        return await _told(request, lambda: _opened(request, handler))

    return endpoint


def watch(handler: Handler) -> Endpoint:
    """Return an endpoint that a page asks by itself: that keeps no session alive, and leads nowhere."""

    async def endpoint(request: Request) -> Response:
        async def work() -> Response:
            visitor = await _visitor(request, office_of(request).sessions.look)
            if visitor is None:
                raise AccessDenied("Nobody is signed in.")
            return await handler(request, visitor)

        return await _told(request, work)

    return endpoint


def action(handler: Action, *scopes: str) -> Endpoint:
    """Return an endpoint for a form of ours, sent by who is signed in and has one of `scopes`."""

    async def endpoint(request: Request) -> Response:
        return await _told(request, lambda: _acted(request, handler, scopes))

    return endpoint


def open_action(handler: Callable[[Request, Form], Awaitable[Response]]) -> Endpoint:
    """Return an endpoint for a form of ours that needs nobody to be signed in."""

    async def endpoint(request: Request) -> Response:
        async def work() -> Response:
            _from_here(request)
            return await handler(request, await form_of(request))

        return await _told(request, work)

    return endpoint


async def _opened(request: Request, handler: Handler) -> Response:
    visitor = await admitted(request)
    if visitor is None:
        return to_sign_in(request)
    return await handler(request, visitor)


async def _acted(request: Request, handler: Action, scopes: tuple[str, ...]) -> Response:
    _from_here(request)
    form = await form_of(request)
    visitor = await admitted(request)
    if visitor is None:
        return to_sign_in(request)
    if not hmac.compare_digest(form.pop("csrf", "").encode(), visitor.csrf.encode()):
        raise AccessDenied("This form was not made for this session: go back, load the page again and repeat it.")
    if scopes:
        require(visitor.caller, *scopes)
    return await handler(request, visitor, form)


async def _told(request: Request, work: Callable[[], Awaitable[Response]]) -> Response:
    """Return what `work` returns, or a page that tells why not."""
    try:
        return await work()
    except RiskEngineError as error:
        status = next((number for kind, number in _STATUS.items() if isinstance(error, kind)), None)
        if status is None:
            raise
        if status == 503:
            _log.warning("page not answered", request_id=request.state.request_id, cause=type(error).__name__)
        answer = rendered(request, "refused.html", status, sentence=_SENTENCES.get(status, str(error)))
        if isinstance(error, LimitReached):
            answer.headers["Retry-After"] = str(error.seconds)
        return answer


async def admitted(request: Request) -> Visitor | None:
    """Return who is signed in, and remember it for the page; LimitReached where they ask more than they may."""
    request.state.visitor = await _visitor(request, office_of(request).sessions.admit)
    return request.state.visitor


async def _visitor(request: Request, find: Callable[[str, int], Visitor | None]) -> Visitor | None:
    """Return who holds the cookie; the request counts as one of the access key that they signed in with."""
    office, cookie = office_of(request), request.cookies.get(COOKIE)
    if cookie is None:
        return None
    await office.guesses.hold(request.client, cookie)
    visitor = await asyncio.to_thread(find, cookie, office.clock())
    if visitor is None:
        office.guesses.failed(request.client, cookie)
        return None
    office.guesses.proved(cookie)
    request.scope["state"][LEAVE] = office.limits.begin(visitor.caller.key_id)
    return visitor


def to_sign_in(request: Request) -> Response:
    """Return where to sign in, without the cookie that no longer works; from there the way leads back."""
    back = f"?next={quote(request.url.path)}" if request.method == "GET" and is_ours(request.url.path) else ""
    answer = see(SIGN_IN + back)
    if COOKIE in request.cookies:
        without_cookie(answer)
    return answer


def without_cookie(answer: Response) -> None:
    """Have the browser forget its cookie."""
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def is_ours(path: str) -> bool:
    """Return whether a path is one of the console's pages.

    >>> [is_ours(path) for path in ("/console/events/a:1", "//evil.example", "/console//evil", "https://evil")]
    [True, False, False, False]
    """
    return _OURS.fullmatch(path) is not None


def see(path: str) -> Response:
    """Send the browser to another page, with GET."""
    return RedirectResponse(path, 303, HEADERS)


async def form_of(request: Request) -> Form:
    """Return the fields of a form; of one given twice the last."""
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_BYTES:
                    raise AccessDenied("This form is too large.")
    except TimeoutError as error:
        raise AccessDenied("This form did not come in time.") from error
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


def _from_here(request: Request) -> None:
    """Refuse what another site made the browser send: Sec-Fetch-Site says it, else Origin, else nothing is believed."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        same = site == "same-origin"
    else:
        same = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if not same:
        raise AccessDenied("This form was not sent from this site.")
