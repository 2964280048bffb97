"""A client proves who it is by a JWT that its own key signed (RFC 7523), once each; whatever else comes is refused."""

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from riskengine.access import guesses
from riskengine.access.assertions import LEEWAY_SECONDS, MOST_CHARACTERS, MOST_SECONDS, TYPE, WINDOW_MS
from riskengine.access.clients import Clients
from riskengine.access.public_keys import ALGORITHMS
from riskengine.access.tokens import TOKEN_PATH
from riskengine.app import clock
from riskengine.errors import InvalidInput, LimitReached, TokenRefused
from riskengine.seal import Seal
from riskengine.store.contract import ClientRow, Store
from tests.api.conftest import Service
from tests.api.jwts import jwks, packed, signed
from tests.api.test_guesses import FAILURES, HERE, START, Scene
from tests.api.test_oauth import ISSUER, MINE, NOW, OTHER, House
from tests.api.test_one_time import refusals

EC, ED, RSA = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)
STRANGER = ECKey.generate_key("P-256")
KEYS: dict[str, Any] = {"ES256": EC, "EdDSA": ED, "RS256": RSA}
Change = Callable[[dict[str, Any], dict[str, Any]], object]


def claims_of(client: str, jti: str = "one", now: int = NOW) -> dict[str, Any]:
    seconds = now // 1000
    return {"iss": client, "sub": client, "aud": ISSUER, "iat": seconds, "exp": seconds + 60, "jti": jti}


def form_of(assertion: str, **more: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": TYPE,
        "client_assertion": assertion,
        **more,
    }


def asserted(client: str, jti: str = "one", now: int = NOW, algorithm: str = "ES256") -> dict[str, str]:
    """Return the form by which a client asks that is known by the key for this algorithm."""
    return form_of(signed({"alg": algorithm}, claims_of(client, jti, now), KEYS[algorithm], algorithm))


@pytest.fixture
def house(seal: Seal) -> House:
    return House(seal)


@pytest.fixture
def guessed(seal: Seal, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A door that wrong credentials come to; who has to wait is told so at once."""
    monkeypatch.setattr(guesses, "SLOWED_SECONDS", 0.0)
    return Scene(seal)


@pytest.fixture
def client(house: House) -> str:
    return registered(house).id


def registered(house: House, keys: str | None = None, **more: Any) -> ClientRow:
    row, secret = house.clients.create("caller", ["score"], "acme", NOW, jwks=keys or jwks(EC, kid="now"), **more)
    assert secret is None
    return row


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_of_its_own_buys_a_token(service: Service, user: str, algorithm: str) -> None:
    store = service.parts.store
    row, _ = Clients(store).create("login", ["score"], "default", clock(), jwks=jwks(KEYS[algorithm]))
    endpoint = service.client.get("/.well-known/oauth-authorization-server").json()["token_endpoint"]
    claims = claims_of(row.id, now=clock()) | {"aud": endpoint}
    form = form_of(signed({"alg": algorithm, "typ": "JWT"}, claims, KEYS[algorithm], algorithm))

    given = service.client.post("/oauth/token", data=form)
    again = service.client.post("/oauth/token", data=form)

    assert given.status_code == 200
    shown = {"Authorization": f"Bearer {given.json()['access_token']}"}
    assert service.post("/score", {"user_id": user, "ip": "192.0.2.10"}, shown).status_code == 200
    assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


def test_the_metadata_says_that_keys_are_taken_and_by_which_algorithms(service: Service) -> None:
    told = service.client.get("/.well-known/oauth-authorization-server").json()

    assert "private_key_jwt" in told["token_endpoint_auth_methods_supported"]
    assert told["token_endpoint_auth_signing_alg_values_supported"] == ["ES256", "RS256", "EdDSA"]


def test_a_repeated_assertion_is_told_in_the_audit_trail(service: Service) -> None:
    row, _ = Clients(service.parts.store).create("repeats", ["score"], "default", clock(), jwks=jwks(EC))
    issuer = service.client.get("/.well-known/oauth-authorization-server").json()["issuer"]
    claims = claims_of(row.id, now=clock()) | {"aud": issuer}
    before, form = refusals(service), form_of(signed({"alg": "ES256"}, claims, EC, "ES256"))

    statuses = [service.client.post("/oauth/token", data=form).status_code for _ in range(2)]

    assert statuses == [200, 401]
    assert refusals(service, before + 1) == before + 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header, claims: None, id="as_it_is"),
        pytest.param(lambda header, claims: claims.update(aud=ISSUER + TOKEN_PATH), id="made_out_to_the_endpoint"),
        pytest.param(lambda header, claims: claims.update(aud=[ISSUER, ISSUER + TOKEN_PATH]), id="made_out_to_both"),
        pytest.param(lambda header, claims: claims.pop("iat"), id="without_a_beginning"),
        pytest.param(lambda header, claims: header.pop("kid"), id="without_naming_its_one_key"),
        pytest.param(lambda header, claims: header.update(typ="client-authentication+jwt"), id="with_its_own_type"),
        pytest.param(lambda header, claims: header.update(jku="https://evil.example/k"), id="a_place_nobody_looks_at"),
        pytest.param(lambda header, claims: header.update(x5u="https://evil.example/k"), id="another_such_place"),
        pytest.param(lambda header, claims: claims.update(iat=NOW // 1000 + LEEWAY_SECONDS), id="of_a_clock_ahead"),
        pytest.param(
            lambda header, claims: claims.update(exp=NOW // 1000 - LEEWAY_SECONDS + 1), id="of_a_clock_behind"
        ),
        pytest.param(lambda header, claims: claims.update(exp=NOW // 1000 + MOST_SECONDS), id="as_long_as_can_be"),
    ],
)
def test_a_good_assertion_is_taken(house: House, client: str, change: Change) -> None:
    header, claims = {"alg": "ES256", "kid": "now"}, claims_of(client)
    change(header, claims)

    assert "access_token" in house.mint.grant(form_of(signed(header, claims, EC, "ES256")), None, None, NOW)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header, claims: claims.update(aud="https://other.example"), id="wrong_audience"),
        pytest.param(lambda header, claims: claims.update(aud=[ISSUER, "https://b.example"]), id="others_beside_us"),
        pytest.param(lambda header, claims: claims.update(aud=[]), id="nobody"),
        pytest.param(lambda header, claims: claims.update(aud={"a": ISSUER}), id="audience_that_is_none"),
        pytest.param(lambda header, claims: claims.pop("aud"), id="no_audience"),
        pytest.param(lambda header, claims: claims.update(aud=ISSUER + "/"), id="almost_the_audience"),
        pytest.param(lambda header, claims: claims.update(iss="https://idp.example"), id="another_issuer"),
        pytest.param(lambda header, claims: claims.pop("iss"), id="no_issuer"),
        pytest.param(lambda header, claims: claims.update(sub="rc_0123456789abcdef"), id="another_subject"),
        pytest.param(lambda header, claims: claims.update(sub=1, iss=1), id="subject_that_is_no_text"),
        pytest.param(lambda header, claims: claims.pop("exp"), id="no_end"),
        pytest.param(lambda header, claims: claims.update(exp=NOW // 1000 - LEEWAY_SECONDS), id="ended"),
        pytest.param(
            lambda header, claims: claims.update(exp=NOW // 1000 + MOST_SECONDS + LEEWAY_SECONDS + 1), id="too_long"
        ),
        pytest.param(lambda header, claims: claims.update(exp="never"), id="end_that_is_no_number"),
        pytest.param(lambda header, claims: claims.update(exp=True), id="end_that_is_true"),
        pytest.param(lambda header, claims: claims.update(exp=float("nan")), id="end_that_is_not_a_number"),
        pytest.param(lambda header, claims: claims.update(exp=float("inf")), id="no_end_ever"),
        pytest.param(lambda header, claims: claims.update(nbf=NOW // 1000 + LEEWAY_SECONDS + 1), id="not_yet"),
        pytest.param(lambda header, claims: claims.update(iat=NOW // 1000 + LEEWAY_SECONDS + 1), id="of_the_future"),
        pytest.param(lambda header, claims: claims.update(iat=-1), id="of_no_time"),
        pytest.param(lambda header, claims: claims.pop("jti"), id="no_id"),
        pytest.param(lambda header, claims: claims.update(jti=""), id="empty_id"),
        pytest.param(lambda header, claims: claims.update(jti=7), id="id_that_is_no_text"),
        pytest.param(lambda header, claims: claims.update(jti="x" * 257), id="long_id"),
        pytest.param(lambda header, claims: claims.update(padding="x" * MOST_CHARACTERS), id="oversized"),
        pytest.param(lambda header, claims: header.update(kid="../../dev/null"), id="kid_that_is_a_path"),
        pytest.param(lambda header, claims: header.update(kid="https://evil.example/k"), id="kid_that_is_a_url"),
        pytest.param(lambda header, claims: header.update(kid="' OR 1=1 --"), id="kid_that_is_sql"),
        pytest.param(lambda header, claims: header.update(kid=["now"]), id="kid_that_is_a_list"),
        pytest.param(lambda header, claims: header.update(typ="at+jwt"), id="access_token"),
        pytest.param(lambda header, claims: header.update(crit=["exp"]), id="demands"),
        pytest.param(lambda header, claims: header.update(b64=False, crit=["b64"]), id="not_encoded"),
        pytest.param(lambda header, claims: header.pop("alg"), id="no_algorithm"),
        pytest.param(lambda header, claims: header.update(alg="none"), id="says_none"),
        pytest.param(lambda header, claims: header.update(alg="HS256"), id="says_hs256"),
        pytest.param(lambda header, claims: header.update(alg="RS256"), id="says_rs256"),
        pytest.param(lambda header, claims: header.update(alg="ES512"), id="says_es512"),
        pytest.param(lambda header, claims: header.update(alg=["ES256"]), id="says_a_list"),
    ],
)
def test_a_wrong_assertion_buys_nothing(house: House, client: str, change: Change) -> None:
    header, claims = {"alg": "ES256", "kid": "now"}, claims_of(client)
    change(header, claims)

    refuse(house, form_of(signed(header, claims, EC, "ES256")))


def forged(client: str, way: str) -> str:
    """Return an assertion whose signature proves nothing."""
    header, claims = {"alg": "ES256", "kid": "now"}, claims_of(client)
    good = signed(header, claims, EC, "ES256")
    head, body, signature = good.split(".")
    public = EC.as_dict(private=False) | {"kid": "now"}
    pem = EC.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    secrets = {"jwk": json.dumps(public).encode(), "pem": pem, "nothing": b"\0"}
    match way.split("_")[0]:
        case "none":
            return f"{packed(json.dumps(header | {'alg': 'none'}).encode())}.{body}."
        case "hs256":
            said = f"{packed(json.dumps(header | {'alg': 'HS256'}).encode())}.{body}"
            return f"{said}.{packed(hmac.digest(secrets[way.split('_')[-1]], said.encode(), 'sha256'))}"
        case "stranger":
            return signed(header, claims, STRANGER, "ES256")
        case "brought":
            return signed(header | {"jwk": STRANGER.as_dict(private=False)}, claims, STRANGER, "ES256")
        case "other":
            return signed(header | {"alg": "RS256"}, claims, RSA, "RS256")
        case "changed":
            return f"{head}.{packed(json.dumps(claims | {'jti': 'two'}).encode())}.{signature}"
        case "zero":
            return f"{head}.{body}.{packed(bytes(64))}"
        case "der":
            return f"{head}.{body}.{packed(b'0' * 70)}"
        case "unsigned":
            return f"{head}.{body}."
        case "deep":
            return f"{head}.{packed(b'[' * 2000)}.{signature}"
        case "list":
            return f"{head}.{packed(b'[]')}.{signature}"
        case "encrypted":
            return f"{head}.{body}.{signature}.{signature}.{signature}"
    return way


@pytest.mark.parametrize(
    "way",
    [
        *("none", "hs256_by_the_public_jwk", "hs256_by_the_public_pem", "hs256_by_nothing", "stranger_by_its_name"),
        *("brought_in_the_header", "other_algorithm_and_key", "changed", "zero", "der", "unsigned", "deep", "list"),
        *("encrypted", "", ".", "..", "...", "é.é.é", "ey", "null.null.null"),
    ],
)
def test_a_forged_assertion_buys_nothing(house: House, client: str, way: str) -> None:
    refuse(house, form_of(forged(client, way)))


def refuse(house: House, form: dict[str, str], at: int = NOW, certificate: str | None = None) -> None:
    with pytest.raises(TokenRefused) as refused:
        house.mint.grant(form, None, certificate, at)
    assert refused.value.error == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        pytest.param({"client_secret": "x"}, "invalid_request", id="a_secret_too"),
        pytest.param({"client_assertion_type": "urn:x"}, "invalid_client", id="another_type"),
        pytest.param({"client_assertion_type": None}, "invalid_request", id="no_type"),
        pytest.param({"client_assertion": None}, "invalid_request", id="a_type_alone"),
        pytest.param({"client_id": "rc_0123456789abcdef"}, "invalid_client", id="beside_another_client"),
    ],
)
def test_an_assertion_comes_alone_and_with_its_type(
    house: House, client: str, form: dict[str, str | None], error: str
) -> None:
    asked = {name: value for name, value in (asserted(client) | form).items() if value is not None}

    with pytest.raises(TokenRefused) as refused:
        house.mint.grant(asked, None, None, NOW)

    assert refused.value.error == error
    assert house.mint.grant(asserted(client) | {"client_id": client}, None, None, NOW)


def test_a_header_with_a_secret_is_another_way(house: House, client: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        house.mint.grant(asserted(client), "Basic " + base64.b64encode(b"a:b").decode(), None, NOW)

    assert refused.value.error == "invalid_request"


def test_an_assertion_is_taken_once_on_whatever_worker(store: Store, seal: Seal) -> None:
    first, second = House(seal, store), House(seal, store)
    client = registered(first).id

    for at in (NOW, NOW + 1, NOW + 30_000):
        form = asserted(client, f"at {at}", at)
        assert first.mint.grant(form, None, None, at)
        refuse(second, form, at)
        refuse(first, form, at + 1)


@pytest.mark.parametrize("after", [0, 1, WINDOW_MS // 2, WINDOW_MS - 1])
@pytest.mark.parametrize("start", [0, 1, WINDOW_MS // 2, WINDOW_MS - 1])
def test_an_id_is_remembered_for_as_long_as_it_can_count(house: House, start: int, after: int) -> None:
    now = NOW // WINDOW_MS * WINDOW_MS + start
    row = registered(house)
    assert house.mint.grant(asserted(row.id, "same", now), None, None, now)

    house.purse.forget(now + after)

    refuse(house, asserted(row.id, "same", now + after), now + after)


def test_of_an_id_nothing_is_left_in_the_end(house: House, client: str) -> None:
    house.mint.grant(asserted(client), None, None, NOW)

    house.purse.forget(NOW + 2 * WINDOW_MS + 1)

    assert house.store.forget_spent(1 << 47, 10) == 0


def test_ids_of_two_clients_may_be_alike(house: House, client: str) -> None:
    other = registered(house).id

    assert house.mint.grant(asserted(client), None, None, NOW)
    assert house.mint.grant(asserted(other), None, None, NOW)


def test_a_client_that_is_bound_shows_its_certificate_beside_its_key(house: House) -> None:
    row = registered(house, certificate=MINE)

    for jti, shown in (("none", None), ("other", OTHER)):
        refuse(house, asserted(row.id, jti), certificate=shown)
    assert house.mint.grant(asserted(row.id), None, MINE, NOW)


def test_a_revoked_client_proves_nothing_by_its_key(house: House, client: str) -> None:
    house.clients.revoke(client, NOW)

    refuse(house, asserted(client))


def test_a_client_with_a_secret_has_no_key_and_one_with_a_key_no_secret(house: House, client: str) -> None:
    row, _ = house.client()

    refuse(house, asserted(row.id))
    refuse(house, {"grant_type": "client_credentials", "client_id": client, "client_secret": ""})
    refuse(house, {"grant_type": "client_credentials", "client_id": client})


def test_keys_are_replaced_one_beside_the_other(house: House, client: str) -> None:
    def by(key: Any, kid: str, jti: str) -> dict[str, str]:
        return form_of(signed({"alg": "ES256", "kid": kid}, claims_of(client, jti), key, "ES256"))

    later = ECKey.import_key(STRANGER.as_dict(private=True) | {"kid": "later"})
    now = ECKey.import_key(EC.as_dict(private=True) | {"kid": "now"})
    house.clients.replace_keys(client, jwks(now, later), NOW)
    assert house.mint.grant(by(EC, "now", "1"), None, None, NOW)
    assert house.mint.grant(by(STRANGER, "later", "2"), None, None, NOW)
    refuse(house, by(EC, "later", "3"))

    house.clients.replace_keys(client, jwks(later), NOW)

    refuse(house, by(EC, "now", "4"))
    assert house.mint.grant(by(STRANGER, "later", "5"), None, None, NOW)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("[]", id="a_list"),
        pytest.param('{"keys": {}}', id="no_list"),
        pytest.param('{"keys": []}', id="no_key"),
        pytest.param('{"keys": [7]}', id="a_number"),
        pytest.param(json.dumps({"keys": [EC.as_dict(private=True)]}), id="a_private_key"),
        pytest.param(json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]}), id="a_symmetric_key"),
        pytest.param(jwks(ECKey.generate_key("P-384")), id="another_curve"),
        pytest.param(jwks(OKPKey.generate_key("X25519")), id="a_key_for_agreeing"),
        pytest.param(jwks(EC, use="enc"), id="a_key_for_encrypting"),
        pytest.param(jwks(EC, alg="RS256"), id="a_key_of_another_algorithm"),
        pytest.param(jwks(RSA, alg="PS256"), id="a_key_of_an_algorithm_we_do_not_take"),
        pytest.param(jwks(RSA, e="AQ"), id="an_exponent_of_one"),
        pytest.param(jwks(RSA, e="Aw"), id="an_exponent_of_three"),
        pytest.param(jwks(RSA, n=packed(b"\xff" * 128)), id="1024_bits"),
        pytest.param(jwks(RSA, n=packed(b"\xff" * 2048)), id="16384_bits"),
        pytest.param(jwks(RSA, n=7), id="a_modulus_that_is_no_text"),
        pytest.param(jwks(EC, x=packed(bytes(32))), id="a_point_off_the_curve"),
        pytest.param(jwks(EC, kid=7), id="a_kid_that_is_no_text"),
        pytest.param(jwks(EC, RSA), id="two_keys_without_a_name"),
        pytest.param(jwks(EC, RSA, kid="a"), id="two_keys_of_one_name"),
        pytest.param(json.dumps({"keys": [], "padding": "x" * 70_000}), id="oversized"),
        pytest.param("[" * 60_000, id="deep"),
    ],
)
def test_no_client_is_known_by_what_is_no_public_key(house: House, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        house.clients.create("caller", ["score"], "acme", NOW, jwks=text)

    assert [fault.pointer for fault in refused.value.faults] == ["/jwks"]


def test_of_a_key_only_what_is_public_is_stored(house: House) -> None:
    row = registered(house, jwks(EC, kid="now", x5c=["MIIB"], x5u="https://evil.example/k", secret="s"))

    [key] = json.loads(row.jwks or "")["keys"]

    assert sorted(key) == ["crv", "kid", "kty", "x", "y"]


def test_what_a_client_signs_is_no_guess(guessed: Scene) -> None:
    row, _ = guessed.clients.create("service", ["score"], "default", START, jwks=jwks(EC))
    scope = {"type": "http", "client": HERE}

    async def ask(form: dict[str, str]) -> str:
        try:
            await guessed.door.grant(form, None, scope)
        except (TokenRefused, LimitReached) as error:
            return type(error).__name__
        return "granted"

    async def work() -> None:
        wrong = {"grant_type": "client_credentials", "client_id": row.id, "client_secret": "x"}
        for _ in range(FAILURES):
            await ask(wrong)
        assert await ask(wrong) == "LimitReached"
        assert await ask(asserted(row.id, now=START)) == "granted"

    guessed.play(work())
