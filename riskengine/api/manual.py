"""The OpenAPI document of this service, and a page for people made from it that needs no other host."""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.access.tokens import TOKEN_PATH
from riskengine.api import problems, schema
from riskengine.api.calls import reply
from riskengine.inquiry.export import MEDIA_TYPES

_DESCRIPTION = (
    "A login arrives: may it pass, does it need a second factor, or must it stop? These paths are version 1: answers "
    "only gain members. Every error is application/problem+json (RFC 9457): branch on its `code`."
)
_KEYED = (
    problems.BAD_REQUEST, problems.UNAUTHENTICATED, problems.FORBIDDEN, problems.TOO_MANY, problems.INTERNAL,
    problems.UNAVAILABLE,
)  # fmt: skip
_POSTED = (
    *_KEYED,
    *(problems.UNKNOWN_PARAMETER, problems.TOO_SLOW, problems.TOO_LARGE, problems.NOT_JSON, problems.INVALID),
)
_ASKED = (*_KEYED, problems.UNKNOWN_PARAMETER, problems.INVALID_PARAMETER)
_ONE_TIME = "The answer to a request with a one-time token carries the token after it (header `Next-Token`)."
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds after which to try again", "schema": {"type": "integer", "minimum": 1}}
}
_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
    (Path(__file__).parent / "manual.html").read_text(encoding="utf-8")
)


@dataclass(frozen=True, slots=True)
class _Call:
    """One method of one path. `scopes` lists keys' scopes of which one is needed; empty for an open path.

    The members of `query` are its query parameters; lists are given value by value.
    """

    method: str
    path: str
    summary: str
    scopes: tuple[str, ...]
    body: type[BaseModel] | None
    answer: type[BaseModel] | None
    problems: tuple[problems.Kind, ...]
    query: type[BaseModel] | None = None
    media: str = "application/json"  # of the body
    told: tuple[str, ...] = ("text/plain",)  # of an answer that is no model's


_CALLS = (
    _Call(
        "post", "/score", "Decide on one login and remember it", ("score",),
        schema.EventBody, schema.Answer, (*_POSTED, problems.CONFLICT),
    ),
    _Call(
        "post", "/score/batch", "Decide on up to 1,000 logins, in order", ("score",),
        schema.BatchBody, schema.BatchAnswer, _POSTED,
    ),
    _Call(
        "post", "/score/preview", "Decide on one login; save and learn nothing", ("score",),
        schema.EventBody, schema.Answer, (*_POSTED, problems.CONFLICT),
    ),
    _Call(
        "get", "/events", "Events that match, newest first; the filters of POST /events/search as query parameters",
        ("events:read",), None, schema.EventPage, _ASKED, schema.SearchBody,
    ),
    _Call(
        "post", "/events/search", "Events that match, for what must not stand in a URL", ("events:read",),
        schema.SearchBody, schema.EventPage, _POSTED,
    ),
    _Call(
        "get", "/events/export", "Every event that matches, newest first, as a stream", ("events:export",),
        None, None, _ASKED, schema.ExportQuery,
        told=tuple(sorted(set(MEDIA_TYPES.values()))),
    ),
    _Call(
        "get", "/stats", "Counts over time by decision, reason, country and network", ("events:read",),
        None, schema.Statistics, _ASKED, schema.StatisticsQuery,
    ),
    _Call(
        "get", "/users/{user_ref}", "What the engine knows of a user, and their last events", ("events:read",),
        None, schema.Person, (*_KEYED, problems.UNKNOWN_PARAMETER, problems.NOT_FOUND),
    ),
    _Call(
        "get", "/events/{event_id}", "One event as stored, its answer, the reports on it", ("events:read",),
        None, schema.StoredEvent, (*_KEYED, problems.NOT_FOUND),
    ),
    _Call(
        "post", "/events/{event_id}/report", "How a step-up ended, or an analyst's verdict", ("report", "verdict"),
        schema.ReportBody, schema.Accepted, (*_POSTED, problems.NOT_FOUND, problems.CONFLICT),
    ),
    _Call(
        "post", "/users/remediate", "End a user's being at risk", ("verdict",),
        schema.RemediateBody, schema.Accepted, (*_POSTED, problems.NOT_FOUND),
    ),
    _Call(
        "post", "/events/verdicts", "Give one verdict on all events that match: count first, then go on", ("verdict",),
        schema.VerdictsBody, schema.VerdictsAnswer, (*_POSTED, problems.CONFLICT),
    ),
    _Call(
        "post", "/events/verdicts/{verdicts_id}/undo", "Withdraw verdicts that were given together", ("verdict",),
        schema.UndoBody, schema.VerdictsAnswer, (*_POSTED, problems.NOT_FOUND, problems.CONFLICT),
    ),
    _Call(
        "post", "/blocks", "Shut out an address, network, user or device for a while", ("verdict",),
        schema.BlockBody, schema.AddedBlock, (*_POSTED, problems.CONFLICT),
    ),
    _Call(
        "get", "/blocks", "What is shut out", ("events:read", "verdict"), None, schema.BlockList, _ASKED,
        schema.BlocksQuery,
    ),
    _Call(
        "delete", "/blocks/{block_id}", "Lift a block before its time", ("verdict",),
        None, schema.Block, (*_KEYED, problems.UNKNOWN_PARAMETER, problems.NOT_FOUND),
    ),
    _Call(
        "post", TOKEN_PATH, "Give a client a token (RFC 6749, client credentials)", (),
        schema.TokenBody, schema.TokenAnswer,
        (
            *(problems.UNKNOWN_PARAMETER, problems.BAD_REQUEST, problems.NO_TOKEN, problems.NO_CLIENT),
            *(problems.TOO_SLOW, problems.TOO_LARGE, problems.NOT_FORM, problems.TOO_MANY, problems.INTERNAL),
            problems.UNAVAILABLE,
        ),
        media="application/x-www-form-urlencoded",
    ),
    _Call(
        "get", "/.well-known/oauth-authorization-server", "How tokens are got", (),
        None, schema.AuthorizationServer, (problems.UNKNOWN_PARAMETER,),
    ),
    _Call(
        "get", "/.well-known/jwks.json", "The public keys that access tokens are checked with", (),
        None, schema.PublicKeys, (problems.UNKNOWN_PARAMETER, problems.UNAVAILABLE),
    ),
    _Call("get", "/healthz", "Whether the process lives", (), None, schema.Status, ()),
    _Call("get", "/readyz", "Whether logins can be decided and stored", (), None, schema.Status, (problems.NOT_READY,)),
    _Call("get", "/metrics", "Counts in Prometheus' text format", (), None, None, ()),
)  # fmt: skip


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; always the same object, not to be changed."""
    models: list[tuple[type[BaseModel], Any]] = [(m, "validation") for m in (*schema.BODIES, *schema.ANSWERS)]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {}
    for call in _CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "riskengine", "version": version("riskengine"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"access_key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(call: _Call) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": call.summary, "operationId": _operation_id(call)}
    if call.scopes:
        operation["description"] = f"Needs a key or token with the scope {' or '.join(call.scopes)}. {_ONE_TIME}"
        operation["security"] = [{"access_key": []}]
    if "{event_id}" in call.path:
        operation["parameters"] = [_in_path("event_id", "^[A-Za-z0-9._:~-]{1,128}$")]
    if "{user_ref}" in call.path:
        operation["parameters"] = [_in_path("user_ref", "^[0-9a-f]{32}$")]
    for name in ("block_id", "verdicts_id"):
        if f"{{{name}}}" in call.path:
            operation["parameters"] = [_in_path(name, "^[0-9a-f]{10}$")]
    if call.query:
        operation["parameters"] = _parameters(call.query)
    if call.body:
        operation["requestBody"] = {"required": True, "content": {call.media: _content(call.body)}}
    media = {"application/json": _content(call.answer)} if call.answer else {kind: {} for kind in call.told}
    operation["responses"] = {"200": {"description": "Done", "content": media}, **_refusals(call.problems)}
    return operation


def _operation_id(call: _Call) -> str:
    words = re.findall(r"[a-z]+", re.sub("{.*}", "", call.path))
    return "_".join([call.method, *words])


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the members of a model, none of which is required, as query parameters."""
    found = []
    for name, rule in model.model_json_schema()["properties"].items():
        schemas = [one for one in rule.get("anyOf", [rule]) if one.get("type") != "null"]
        parameter = {"name": name, "in": "query", "required": False, "schema": schemas[0]}
        found.append(parameter | ({"description": rule["description"]} if "description" in rule else {}))
    return found


def _in_path(name: str, pattern: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def _content(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}


def _refusals(kinds: tuple[problems.Kind, ...]) -> dict[str, Any]:
    """Return the error responses by status, the codes of each status in its description."""
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(kind.status, []).append(kind.code)
    return {
        str(status): {
            "description": " or ".join(codes[status]),
            "content": {problems.MEDIA_TYPE: _content(schema.Problem)},
            **({"headers": _RETRY_AFTER} if status in problems.LATER else {}),
        }
        for status in sorted(codes)
    }


async def document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return reply(openapi())


async def page(request: Request) -> Response:
    """Return the document as a page for people: no script, no font and no picture from anywhere."""
    html, policy = _page()
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})


@cache
def _page() -> tuple[str, str]:
    """Return the page and the content security policy that allows its one style sheet and nothing else."""
    html = _PAGE.render(document=openapi(), kind_of=_kind_of, problems=problems.KINDS)
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return html, f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'"


def _kind_of(rule: dict[str, Any]) -> str:
    """Return a JSON schema in a few words: `string, 1 to 256 characters`, `one of a, b`, `list of Reason`."""
    if "$ref" in rule:
        return str(rule["$ref"]).rpartition("/")[2]
    if "anyOf" in rule:
        return " or ".join(_kind_of(each) for each in rule["anyOf"])
    if "enum" in rule:
        return "one of " + ", ".join(rule["enum"])
    if rule.get("type") == "array":
        most = f" (at most {rule['maxItems']})" if "maxItems" in rule else ""
        return f"list of {_kind_of(rule['items'])}{most}"
    words = str(rule.get("type", "anything"))
    if "format" in rule:
        words += f" ({rule['format']})"
    if "maxLength" in rule:
        words += f", up to {rule['maxLength']} characters"
    if "minimum" in rule:
        words += f", {rule['minimum']:g} to {rule['maximum']:g}"
    return words


ROUTES = (
    Route("/openapi.json", document, methods=["GET"]),
    Route("/docs", page, methods=["GET"]),
)
