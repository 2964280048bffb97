"""Signing in and out."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from riskengine.console.door import COOKIE, Form, is_ours, see, without_cookie
from riskengine.console.office import office_of
from riskengine.console.render import rendered
from riskengine.console.sessions import LONGEST_MS, Visitor
from riskengine.errors import AccessDenied, LimitReached

HOME = "/console"


async def ask(request: Request) -> Response:
    """Show the form. A link is not spent by being opened, which mail scanners do too, but by the button."""
    back = request.query_params.get("next", HOME)
    link = request.query_params.get("link")
    return rendered(request, "sign_in.html", link=link, back=back if is_ours(back) else HOME, sentence=None)


async def sign_in(request: Request, form: Form) -> Response:
    """Exchange an access key, or a link's token, for a cookie."""
    office = office_of(request)
    back = form.get("next", HOME)
    back = back if is_ours(back) else HOME
    now, link = office.clock(), form.get("link")
    begin = office.sessions.follow_link if link else office.sessions.sign_in
    secret = link or form.get("key", "").strip()
    credential = secret if link else f"Bearer {secret}"  # as it would come to the interface
    try:
        await office.guesses.hold(request.client, credential)
        cookie = await asyncio.to_thread(begin, secret, now)
    except AccessDenied as error:
        if error.scope is None:  # else the key is right, and not for this
            office.guesses.failed(request.client, credential)
        return rendered(request, "sign_in.html", 403, link=None, back=back, sentence=str(error))
    except LimitReached as error:
        answer = rendered(request, "sign_in.html", 429, link=link, back=back, sentence=str(error))
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    office.guesses.proved(credential)
    await _remember(request, cookie, "console.sign_in")
    answer = see(back)
    # Lax: a link to an event from a ticket or a chat opens. `__Host-` binds the cookie to this very host.
    answer.set_cookie(COOKIE, cookie, max_age=LONGEST_MS // 1000, path="/", secure=True, httponly=True, samesite="lax")
    return answer


async def sign_out(request: Request, visitor: Visitor, form: Form) -> Response:
    """End the session."""
    cookie = request.cookies.get(COOKIE, "")
    await _remember(request, cookie, "console.sign_out")
    await asyncio.to_thread(office_of(request).sessions.sign_out, cookie)
    answer = see("/console/sign-in")
    without_cookie(answer)
    return answer


async def _remember(request: Request, cookie: str, what: str) -> None:
    """Write into the audit trail who signed in or out."""
    office = office_of(request)
    visitor = await asyncio.to_thread(office.sessions.admit, cookie, office.clock())
    if visitor is not None:
        caller = visitor.caller
        await asyncio.to_thread(office.audit.record, office.clock(), caller.realm, caller.name, what, caller.key_id)
