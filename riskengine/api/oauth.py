"""POST /oauth/token, and the two documents that say how tokens are got and checked (RFC 8414, RFC 7517)."""

from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riskengine.access.caller import SCOPES
from riskengine.access.mint import GRANT
from riskengine.access.public_keys import ALGORITHMS
from riskengine.access.tokens import TOKEN_PATH
from riskengine.api.calls import body_of, desk_of, header, no_parameters, reply
from riskengine.api.problems import NOT_FORM, Refused
from riskengine.errors import TokenRefused

TOKEN_BYTES = 16 * 1024
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "self_signed_tls_client_auth")


async def token(request: Request) -> Response:
    """Give a client that proves who it is a token."""
    no_parameters(request)
    form = await _form(request)
    answer = await desk_of(request).door.grant(form, header(request.scope, b"authorization"), request.scope)
    return reply(answer)


async def metadata(request: Request) -> Response:
    """Return how tokens are got here."""
    no_parameters(request)
    issuer = desk_of(request).door.issuer
    return reply(described(issuer))


async def jwks(request: Request) -> Response:
    """Return the public keys that access tokens are checked with."""
    no_parameters(request)
    return reply(await desk_of(request).door.jwks())


def described(issuer: str) -> dict[str, Any]:
    """Return the metadata of an authorization server (RFC 8414, RFC 8705)."""
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": list(SCOPES),
        "response_types_supported": [],
        "grant_types_supported": [GRANT],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
    }


ROUTES = (
    Route(TOKEN_PATH, token, methods=["POST"]),
    Route("/.well-known/oauth-authorization-server", metadata, methods=["GET"]),
    Route("/.well-known/jwks.json", jwks, methods=["GET"]),
)


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form; one that comes twice is refused (RFC 6749, 3.2), an empty one counts as absent."""
    kind = (header(request.scope, b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(NOT_FORM, "Send the parameters with Content-Type: application/x-www-form-urlencoded.")
    body = await body_of(request.scope, request.receive, TOKEN_BYTES)
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=32, errors="strict")
    except ValueError as error:
        raise TokenRefused("invalid_request", "The body is no form in UTF-8, or has too many fields.") from error
    if len(dict(pairs)) < len(pairs):
        raise TokenRefused("invalid_request", "A parameter stands there twice.")
    return dict(pairs)
