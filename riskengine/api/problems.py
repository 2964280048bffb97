"""Every error as RFC 9457 problem details: the one place where an exception becomes a status and a text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from riskengine.access.tokens import TOKEN_PATH
from riskengine.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    LimitReached,
    NotFound,
    Overloaded,
    RiskEngineError,
    StoreUnavailable,
    TokenRefused,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
MOST_FAULTS = 20
MOST_CAUSES = 5
_log = structlog.get_logger("riskengine.api")


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of problem: clients branch on `code` (or `type`, which is made of it); `title` never changes."""

    status: int
    code: str
    title: str


MALFORMED = Kind(400, "malformed-json", "The body is not JSON.")
UNKNOWN_PARAMETER = Kind(400, "unknown-parameter", "The URL holds a query parameter that does not exist.")
INVALID_PARAMETER = Kind(400, "invalid-parameter", "A query parameter makes no sense.")
BAD_REQUEST = Kind(400, "bad-request", "The request cannot be read.")
UNAUTHENTICATED = Kind(401, "unauthenticated", "The caller did not prove who it is.")
NO_CLIENT = Kind(401, "invalid-client", "The client did not prove who it is.")
NO_TOKEN = Kind(400, "token-refused", "No token can be given for this request.")
FORBIDDEN = Kind(403, "forbidden", "The access key lacks a scope.")
NOT_FOUND = Kind(404, "not-found", "There is nothing here.")
NOT_ALLOWED = Kind(405, "method-not-allowed", "This method does not exist here.")
TOO_SLOW = Kind(408, "too-slow", "The body did not come in time.")
CONFLICT = Kind(409, "conflict", "The request contradicts what is stored.")
TOO_LARGE = Kind(413, "too-large", "The body is too large.")
NOT_JSON = Kind(415, "unsupported-media-type", "The content type is not application/json.")
NOT_FORM = Kind(415, "not-a-form", "The content type is not application/x-www-form-urlencoded.")
INVALID = Kind(422, "invalid-input", "The body breaks the contract.")
TOO_MANY = Kind(429, "too-many-requests", "Too many requests.")
HEAD_TOO_LARGE = Kind(431, "head-too-large", "The head of the request is too large.")
INTERNAL = Kind(500, "internal-error", "Something went wrong on our side.")
OVERLOADED = Kind(503, "overloaded", "Too many requests are waiting.")
UNAVAILABLE = Kind(503, "store-unavailable", "The store does not answer.")
NOT_READY = Kind(503, "not-ready", "The service is not ready.")

KINDS = (
    MALFORMED, UNKNOWN_PARAMETER, INVALID_PARAMETER, BAD_REQUEST, NO_TOKEN, UNAUTHENTICATED, NO_CLIENT, FORBIDDEN,
    NOT_FOUND, NOT_ALLOWED, CONFLICT, TOO_SLOW, TOO_LARGE, NOT_JSON, NOT_FORM, INVALID, TOO_MANY,
    HEAD_TOO_LARGE, INTERNAL, OVERLOADED, UNAVAILABLE, NOT_READY,
)  # fmt: skip
# What may be tried again: the answer says when.
LATER = (429, 503)
_BY_STATUS = {400: BAD_REQUEST, 404: NOT_FOUND, 405: NOT_ALLOWED, 413: TOO_LARGE}


class Refused(RiskEngineError):
    """A request that HTTP itself lets us refuse: too large, not JSON, an unknown query parameter."""

    def __init__(self, kind: Kind, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.members = kind, detail, members


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told: the kind, a sentence about this occurrence, further members and headers."""

    kind: Kind
    detail: str
    members: Mapping[str, Any]
    headers: Mapping[str, str]

    def body(self) -> dict[str, Any]:
        """Return the problem as RFC 9457 has it, without what only a response of its own has."""
        return {
            "type": f"urn:riskengine:problem:{self.kind.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
            **self.members,
        }


def problem_of(error: Exception) -> Problem:
    """Return what the client is told of `error`: for what is not its doing, a fixed text without internals."""
    match error:
        case Refused():
            return Problem(error.kind, error.detail, error.members, {})
        case InvalidInput():
            return Problem(INVALID, *_faults(error), {})
        case AccessDenied(scope=None):
            return Problem(UNAUTHENTICATED, str(error), {}, {"WWW-Authenticate": _challenge(error)})
        case TokenRefused():
            return _no_token(error)
        case AccessDenied():
            challenge = f'Bearer realm="riskengine", error="insufficient_scope", scope="{error.scope}"'
            return Problem(FORBIDDEN, str(error), {"scope": error.scope}, {"WWW-Authenticate": challenge})
        case NotFound():
            return Problem(NOT_FOUND, _sentence(error), {}, {})
        case Conflict():
            return Problem(CONFLICT, _sentence(error), {}, {})
        case LimitReached():
            return Problem(TOO_MANY, str(error), {}, {"Retry-After": str(error.seconds)})
        case Overloaded():
            retry = {"Retry-After": str(error.seconds)}
            return Problem(OVERLOADED, f"Try again in {error.seconds} s.", {}, retry)
        case StoreUnavailable():
            retry = {"Retry-After": str(RETRY_SECONDS)}
            return Problem(UNAVAILABLE, "Nothing was stored; try again with the same event_id.", {}, retry)
        case HTTPException():
            kind = _BY_STATUS.get(error.status_code, INTERNAL if error.status_code >= 500 else BAD_REQUEST)
            return Problem(kind, kind.title, {}, dict(error.headers or {}))
        case _:
            return Problem(INTERNAL, "The error has been logged under this request's id.", {}, {})


def _challenge(error: AccessDenied) -> str:
    """Return what RFC 6750 has a refused caller told; where a token was refused, also where to get one."""
    if error.error is None:
        return 'Bearer realm="riskengine"'
    told = {"error": error.error, "error_description": str(error), "token_endpoint": TOKEN_PATH}
    return 'Bearer realm="riskengine", ' + ", ".join(f'{name}="{value}"' for name, value in told.items())


def _no_token(error: TokenRefused) -> Problem:
    """Return what RFC 6749, 5.2 says to a client, within a problem."""
    members = {"error": error.error, "error_description": str(error)}
    if error.error == "invalid_client":
        return Problem(NO_CLIENT, str(error), members, {"WWW-Authenticate": 'Basic realm="riskengine"'})
    return Problem(NO_TOKEN, str(error), members, {})


def _faults(error: InvalidInput) -> tuple[str, dict[str, Any]]:
    """Return a sentence and the members for what is wrong with a body; a body of 10,000 faults gets the first."""
    shown = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults[:MOST_FAULTS]]
    first = error.faults[0]
    more = f", and {len(error.faults) - 1} more" if len(error.faults) > 1 else ""
    return f"{first.pointer or 'The body'} {first.detail}{more}.", {"errors": shown}


def _sentence(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def respond(problem: Problem, request_id: str) -> Response:
    """Return the problem as a response of its own."""
    body = {**problem.body(), "instance": f"urn:riskengine:request:{request_id}", "request_id": request_id}
    return Response(msgspec.json.encode(body), problem.kind.status, dict(problem.headers), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    for kind in (RiskEngineError, HTTPException):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, AccessDenied) and error.blame is not None:
        request.app.state.desk.door.note(error.blame)
    return responded(error, request.state.request_id)


def responded(error: Exception, request_id: str) -> Response:
    """Return an error as a response, after logging one that is our own."""
    problem = problem_of(error)
    if problem.kind is INTERNAL:
        log_defect(error, request_id)
    elif problem.kind is UNAVAILABLE:
        _log.warning("store unavailable", request_id=request_id, cause=type(error.__cause__ or error).__name__)
    return respond(problem, request_id)


def log_defect(error: BaseException, request_id: str) -> None:
    """Log an error with where it happened."""
    _log.error("internal error", request_id=request_id, chain=chain_of(error))


def chain_of(error: BaseException) -> list[dict[str, Any]]:
    """Return an error and its causes as names and places, never their texts: those may repeat what a caller sent."""
    chain: list[dict[str, Any]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < MOST_CAUSES:
        chain.append({"error": type(current).__qualname__, "trace": _frames(current)})
        current = current.__cause__ or current.__context__
    return chain


def _frames(error: BaseException) -> list[str]:
    frames, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append(f"{code.co_filename}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return frames
