"""A client that proves who it is gets tokens; a token opens what it says, for its own client, for minutes."""

import base64
import json
from typing import Any, cast

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from riskengine.access.access import Access
from riskengine.access.clients import OVERLAP_MS, Clients
from riskengine.access.keyring import SHOWN_MS, SIGNS_MS, Keyring
from riskengine.access.limits import Limits
from riskengine.access.mint import Mint
from riskengine.access.purse import Purse, new_secret
from riskengine.access.remembered import FRESH_MS
from riskengine.access.tokens import LIFE_SECONDS, MOST_CHARACTERS, Tokens, new_signing_key
from riskengine.api.proxies import thumbprint_of
from riskengine.app import clock
from riskengine.errors import AccessDenied, TokenRefused
from riskengine.seal import Seal
from riskengine.store.contract import ClientRow, Store
from riskengine.store.memory import MemoryStore
from tests.api.conftest import ALL_SCOPES, Service

NOW = 1_772_615_731_500
ISSUER = "https://risk.example"
MINE, OTHER = thumbprint_of(b"mine"), thumbprint_of(b"another's")


class House:
    """All that deals with tokens, over one store; a second one over it is another worker."""

    def __init__(self, seal: Seal, store: Store | None = None) -> None:
        self.store = store or MemoryStore()
        self.clients = Clients(self.store)
        self.keyring = Keyring(self.store, seal, "token", new_signing_key)
        self.tokens = Tokens(self.keyring, self.clients, ISSUER)
        self.purse = Purse(Keyring(self.store, seal, "one_time", new_secret), self.clients, self.store)
        self.access = Access(self.store, self.tokens, purse=self.purse)
        self.mint = Mint(self.clients, self.tokens, self.purse, Limits(lambda: NOW))

    def client(self, *scopes: str, certificate: str | None = None) -> tuple[ClientRow, dict[str, str]]:
        """Return a new client and the form by which it asks for a token."""
        row, secret = self.clients.create("caller", scopes or ("score",), "acme", NOW, certificate=certificate)
        form = {"grant_type": "client_credentials", "client_id": row.id, "client_secret": secret or ""}
        return row, form


@pytest.fixture
def house(seal: Seal) -> House:
    return House(seal)


def header(token: str) -> str:
    return f"Bearer {token}"


# --- over HTTP --------------------------------------------------------------------------------------------------------


def registered(service: Service, *scopes: str, **more: Any) -> tuple[str, str]:
    row, secret = Clients(service.parts.store).create("login", scopes or ("score",), "default", clock(), **more)
    return row.id, secret or ""


@pytest.mark.parametrize("way", ["basic", "post"])
def test_a_secret_buys_a_token_and_the_token_a_decision(service: Service, user: str, way: str) -> None:
    client_id, secret = registered(service)
    form = {"grant_type": "client_credentials", "scope": "score"}

    if way == "basic":
        answer = service.client.post("/oauth/token", data=form, auth=(client_id, secret))
    else:
        answer = service.client.post("/oauth/token", data=form | {"client_id": client_id, "client_secret": secret})

    assert answer.status_code == 200
    given = answer.json()
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", LIFE_SECONDS, "score")
    assert answer.headers["cache-control"] == "no-store"
    shown = {"Authorization": f"Bearer {given['access_token']}"}
    assert service.post("/score", {"user_id": user, "ip": "192.0.2.10"}, shown).status_code == 200
    refused = service.get("/events/none", shown)
    assert (refused.status_code, refused.json()["scope"]) == (403, "events:read")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        pytest.param({"grant_type": "password"}, 400, "unsupported_grant_type", id="another_grant"),
        pytest.param({"scope": "score"}, 400, "invalid_request", id="no_grant"),
        pytest.param({"grant_type": "client_credentials", "audience": "x"}, 400, "invalid_request", id="unknown_field"),
        pytest.param({"grant_type": "client_credentials", "scope": "admin"}, 400, "invalid_scope", id="others_scope"),
        pytest.param({"grant_type": "client_credentials", "client_secret": "x"}, 400, "invalid_request", id="two_ways"),
        pytest.param({"grant_type": "client_credentials", "client_id": "x"}, 400, "invalid_request", id="two_clients"),
    ],
)
def test_what_is_asked_wrongly_is_refused(service: Service, form: dict[str, str], status: int, error: str) -> None:
    answer = service.client.post("/oauth/token", data=form, auth=registered(service))

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("auth", [("rc_0123456789abcdef", "x"), ("", ""), ("rc_x", "y")])
def test_who_does_not_prove_who_it_is_gets_no_token(service: Service, auth: tuple[str, str]) -> None:
    answer = service.client.post("/oauth/token", data={"grant_type": "client_credentials"}, auth=auth)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_form_is_a_form_with_each_field_once(service: Service) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = "grant_type=client_credentials&grant_type=client_credentials"

    assert service.client.post("/oauth/token", json={}).status_code == 415
    assert service.client.post("/oauth/token", content=twice, headers=form).json()["error"] == "invalid_request"
    assert service.client.post("/oauth/token", content="x" * 20_000, headers=form).status_code == 413
    assert service.client.post("/oauth/token?a=b", content="", headers=form).status_code == 400


def test_the_documents_say_where_tokens_are_given_and_how_they_are_checked(service: Service) -> None:
    told = service.client.get("/.well-known/oauth-authorization-server").json()
    [key] = service.client.get("/.well-known/jwks.json").json()["keys"]

    assert told["token_endpoint"] == f"{told['issuer']}/oauth/token"
    assert told["jwks_uri"] == f"{told['issuer']}/.well-known/jwks.json"
    assert "d" not in key
    client_id, secret = registered(service)
    token = service.client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(client_id, secret)
    ).json()["access_token"]
    assert jwt.decode(token, ECKey.import_key(key), algorithms=["ES256"]).claims["client_id"] == client_id


def test_a_refused_token_is_told_where_to_get_another(service: Service) -> None:
    answer = service.post("/score", {}, {"Authorization": "Bearer eyJ.x.y"})

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert 'token_endpoint="/oauth/token"' in answer.headers["www-authenticate"]


def test_anothers_event_is_not_found_by_a_token_either(service: Service, user: str) -> None:
    event_id = f"{user}-1"
    service.post("/score", {"user_id": user, "ip": "192.0.2.10", "event_id": event_id})
    row, secret = Clients(service.parts.store).create("other", ALL_SCOPES, "other-realm", clock())
    token = service.client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(row.id, secret or "")
    ).json()["access_token"]

    assert service.get(f"/events/{event_id}", {"Authorization": header(token)}).status_code == 404


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_ends_on_the_second(house: House) -> None:
    _, form = house.client()
    token = house.mint.grant(form, None, None, NOW)["access_token"]
    end = (NOW // 1000 + LIFE_SECONDS) * 1000

    caller = house.access.authenticate(header(token), end - 1)

    assert (caller.name, caller.realm, caller.scopes, caller.level) == ("caller", "acme", frozenset({"score"}), "token")
    assert house.access.recall(header(token), end) is None
    with pytest.raises(AccessDenied):
        house.access.authenticate(header(token), end)


def test_a_bound_token_is_nothing_without_its_certificate(house: House) -> None:
    _, form = house.client(certificate=MINE)
    token = house.mint.grant(form, None, MINE, NOW)["access_token"]

    caller = house.access.authenticate(header(token), NOW, MINE)

    assert (caller.level, caller.certificate) == ("bound", MINE)
    for wrong in (None, OTHER):
        with pytest.raises(AccessDenied):
            house.access.authenticate(header(token), NOW, wrong)


def test_a_bound_client_needs_its_certificate_and_nothing_else(house: House) -> None:
    row, form = house.client(certificate=MINE)
    alone = {"grant_type": "client_credentials", "client_id": row.id}

    assert "access_token" in house.mint.grant(alone, None, MINE, NOW)
    for asked, shown in ((form, None), (form, OTHER), (alone, None), (alone, OTHER)):
        with pytest.raises(TokenRefused):
            house.mint.grant(asked, None, shown, NOW)


def test_an_unbound_token_of_a_client_that_is_bound_counts_for_nothing(house: House) -> None:
    row, _ = house.client(certificate=MINE)
    stripped = house.tokens.issue(row, ["score"], None, NOW)

    with pytest.raises(AccessDenied):
        house.access.authenticate(header(stripped), NOW, MINE)


def test_a_certificate_that_is_shown_binds_the_token_of_any_client(house: House) -> None:
    _, form = house.client()
    token = house.mint.grant(form, None, MINE, NOW)["access_token"]

    with pytest.raises(AccessDenied):
        house.access.authenticate(header(token), NOW, OTHER)


def test_a_revoked_client_has_no_tokens(house: House) -> None:
    row, form = house.client()
    token = house.mint.grant(form, None, None, NOW)["access_token"]
    house.access.authenticate(header(token), NOW)

    house.clients.revoke(row.id, NOW)

    assert house.access.recall(header(token), NOW + FRESH_MS) is None
    with pytest.raises(AccessDenied):
        house.access.authenticate(header(token), NOW + FRESH_MS)
    with pytest.raises(TokenRefused):
        house.mint.grant(form, None, None, NOW)


def test_a_new_secret_works_at_once_and_the_old_one_for_an_hour_yet(house: House) -> None:
    row, old = house.client()
    _, secret = house.clients.rotate(row.id, NOW)

    for at in (NOW, NOW + OVERLAP_MS - 1):
        assert house.mint.grant(old, None, None, at)
    assert house.mint.grant(old | {"client_secret": secret}, None, None, NOW + OVERLAP_MS)
    with pytest.raises(TokenRefused):
        house.mint.grant(old, None, None, NOW + OVERLAP_MS)


def test_a_token_may_do_what_was_asked_for_and_no_more(house: House) -> None:
    _, form = house.client("score", "report")
    token = house.mint.grant(form | {"scope": "report"}, None, None, NOW)["access_token"]

    assert house.access.authenticate(header(token), NOW).scopes == {"report"}


def forged(house: House, way: str) -> str:
    """Return a token that is wrong in one way only."""
    _, form = house.client()
    good = house.mint.grant(form, None, None, NOW)["access_token"]
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    own = house.keyring.signing(NOW)
    key = ECKey.import_key(json.loads(own.secret))
    kid = str(key.kid)
    match way:
        case "alg_none":
            return f"{_packed({'alg': 'none', 'typ': 'at+jwt', 'kid': kid})}.{body}."
        case "alg_hs256_with_the_public_key":
            public = OctKey.import_key(own.public.encode())
            return jwt.encode({"alg": "HS256", "typ": "at+jwt", "kid": kid}, claims, public, algorithms=["HS256"])
        case "key_of_ones_own":
            stranger = ECKey.generate_key("P-256")
            return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": kid}, claims, stranger, algorithms=["ES256"])
        case "kid_injection":
            forged_head = {"alg": "ES256", "typ": "at+jwt", "kid": "../../dev/null' OR 1=1 --"}
            return jwt.encode(forged_head, claims, key, algorithms=["ES256"])
        case "key_in_the_header":
            extra = {"alg": "ES256", "typ": "at+jwt", "kid": kid, "jwk": key.as_dict(private=False)}
            return jwt.encode(extra, claims, key, algorithms=["ES256"])
        case "other_type":
            return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": kid}, claims, key, algorithms=["ES256"])
        case "oversized":
            claims["padding"] = "x" * MOST_CHARACTERS
        case "wrong_audience":
            claims["aud"] = "https://other.example"
        case "wrong_issuer":
            claims["iss"] = "https://other.example"
        case "other_realm":
            claims["realm"] = "other"
        case "unknown_client":
            claims["client_id"] = "rc_0123456789abcdef"
        case "no_end":
            del claims["exp"]
        case "end_that_is_no_number":
            claims["exp"] = "never"
        case "cut":
            return good[:-5]
        case "changed":
            return f"{head}.{_packed(claims | {'scope': 'admin'})}.{signature}"
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": kid}, claims, key, algorithms=["ES256"])


def _packed(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "way",
    [
        *("alg_none", "alg_hs256_with_the_public_key", "key_of_ones_own", "kid_injection", "key_in_the_header"),
        *("other_type", "oversized", "wrong_audience", "wrong_issuer", "other_realm", "unknown_client", "no_end"),
        *("end_that_is_no_number", "cut", "changed"),
    ],
)
def test_a_forged_token_opens_nothing(house: House, way: str) -> None:
    with pytest.raises(AccessDenied) as refused:
        house.access.authenticate(header(forged(house, way)), NOW)

    assert refused.value.error == "invalid_token"


@pytest.mark.parametrize(
    ("minimum", "key", "token", "bound"),
    [("key", True, True, True), ("token", False, True, True), ("bound", False, False, True)],
)
def test_what_shows_less_than_the_minimum_is_refused(
    seal: Seal, minimum: Any, key: bool, token: bool, bound: bool
) -> None:
    house = House(seal)
    access = Access(house.store, house.tokens, minimum)
    _, form = house.client()
    shown = {
        access.create("key", ["score"], "acme", NOW)[0]: key,
        house.mint.grant(form, None, None, NOW)["access_token"]: token,
        house.mint.grant(form, None, MINE, NOW)["access_token"]: bound,
    }

    for credential, taken in shown.items():
        if taken:
            assert access.authenticate(header(credential), NOW, MINE)
        else:
            with pytest.raises(AccessDenied):
                access.authenticate(header(credential), NOW, MINE)


# --- keys that sign ---------------------------------------------------------------------------------------------------


def test_keys_change_without_a_break_over_several_workers(store: Store, seal: Seal) -> None:
    first, second = House(seal, store), House(seal, store)
    _, form = first.client()
    kids, now = set(), NOW
    while now < NOW + 3 * SIGNS_MS:
        for giver, taker in ((first, second), (second, first)):
            token = giver.mint.grant(form, None, None, now)["access_token"]
            assert taker.access.authenticate(header(token), now + LIFE_SECONDS * 1000 - 1500)
            kids.add(json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))["kid"])
        now += SIGNS_MS // 7

    assert len(kids) == 3
    assert len(store.signing_keys("token")) <= 3


def test_a_key_is_shown_before_it_signs(house: House) -> None:
    _, form = house.client()
    house.mint.grant(form, None, None, NOW)
    later = NOW + SIGNS_MS

    for at in (later, later + SHOWN_MS - 1000, later + SHOWN_MS + 1000):
        shown = KeySet.import_key_set(cast(Any, house.tokens.jwks(at - SHOWN_MS // 2 if at > later else at)))
        token = house.mint.grant(form, None, None, at)["access_token"]
        assert jwt.decode(token, shown, algorithms=["ES256"])


def test_what_signs_is_sealed_in_the_store(house: House) -> None:
    house.keyring.signing(NOW)
    [row] = house.store.signing_keys("token")

    assert b'"d"' not in row.secret
    assert '"d"' not in row.public
