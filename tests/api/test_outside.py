"""Tokens of an outside issuer open what they say, by the keys that it publishes; when it fails, its last keys count."""

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from riskengine.access import published as module
from riskengine.access.access import Access
from riskengine.access.outside import LEEWAY_SECONDS, MOST_CHARACTERS, Outside, Terms
from riskengine.access.public_keys import published, registered
from riskengine.access.published import AGAIN_MS, TRUSTED_MS, Published
from riskengine.app import assemble
from riskengine.errors import AccessDenied, IssuerUnavailable, SettingsError
from riskengine.settings import Settings, load
from riskengine.store.memory import MemoryStore
from tests.api.jwts import jwks, packed, signed
from tests.fixtures_geo import World
from tests.test_hostile import ODD, changed

NOW = 1_772_615_731_500
IDP, US = "https://idp.example", "https://risk.example"
EC, ED, RSA = ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"), RSAKey.generate_key(2048)
NEXT, STRANGER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
MINE, OTHER = packed(b"m" * 32), packed(b"o" * 32)
PUBLISHED = json.dumps(
    {
        "keys": [
            EC.as_dict(private=False) | {"kid": "ec"},
            ED.as_dict(private=False) | {"kid": "ed"},
            RSA.as_dict(private=False) | {"kid": "rsa", "alg": "RS256", "use": "sig", "x5c": ["MIIB"]},
        ]
    }
)
Change = Callable[[dict[str, Any], dict[str, Any]], object]


class Issuer:
    """A small issuer over HTTP; `says` is what it answers with, `asked` how often it was asked."""

    def __init__(self) -> None:
        self.says: Callable[[BaseHTTPRequestHandler], object] = body(PUBLISHED)
        self.asked = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self.asked += 1
                with suppress(ConnectionError):  # who asks may hang up
                    self.says(handler)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks"


def body(text: str, status: int = 200, **headers: str) -> Callable[[BaseHTTPRequestHandler], object]:
    def say(handler: BaseHTTPRequestHandler) -> None:
        content = text.encode()
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    return say


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "outside-keys.json"


@pytest.fixture
def outside(tmp_path: Path, kept: Path) -> Outside:
    """What checks tokens by a file of keys."""
    return over(written(tmp_path, PUBLISHED), kept)


def written(folder: Path, text: str) -> str:
    file = folder / "jwks.json"
    file.write_text(text)
    return str(file)


def over(source: str, kept: Path, **terms: str) -> Outside:
    keys = Published(source, kept)
    keys.refresh(NOW)
    return Outside(Terms(IDP, US, **terms), keys)


def token(change: Change = lambda *_: None, key: Any = EC, algorithm: str = "ES256", kid: str = "ec") -> str:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": kid}
    claims = {"iss": IDP, "aud": US, "sub": "login", "scope": "score openid", "exp": NOW // 1000 + 300}
    change(header, claims)
    return signed(header, claims, key, algorithm)


GOOD = token()


def test_a_token_of_the_issuer_opens_what_it_says_until_it_ends(outside: Outside) -> None:
    access = Access(MemoryStore(), outside=outside)
    header = f"Bearer {token()}"

    caller = access.authenticate(header, NOW)

    assert (caller.name, caller.realm, caller.level) == ("login", "default", "token")
    assert caller.scopes == {"score"}
    assert access.recall(header, NOW + 1) == caller
    end = (NOW // 1000 + 300) * 1000
    access.authenticate(header, end - 1)
    assert access.recall(header, end) is None
    with pytest.raises(AccessDenied):
        access.authenticate(header, end)


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(EC, "ES256", "ec"), (ED, "EdDSA", "ed"), (RSA, "RS256", "rsa")])
def test_each_key_is_believed_for_its_algorithm(outside: Outside, key: Any, algorithm: str, kid: str) -> None:
    assert outside.check(token(key=key, algorithm=algorithm, kid=kid), NOW, None)[0].name == "login"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header, claims: header.pop("typ"), id="without_a_type"),
        pytest.param(lambda header, claims: header.update(typ="JWT"), id="of_the_plain_type"),
        pytest.param(lambda header, claims: header.update(typ="application/AT+JWT"), id="of_the_whole_type"),
        pytest.param(lambda header, claims: header.update(jku="https://evil.example/k"), id="a_place_nobody_looks_at"),
        pytest.param(lambda header, claims: claims.update(aud=["https://b.example", US]), id="for_others_too"),
        pytest.param(lambda header, claims: claims.update(nbf=NOW // 1000 + LEEWAY_SECONDS), id="of_a_clock_ahead"),
        pytest.param(lambda header, claims: claims.update(scope=["score"]), id="scopes_as_a_list"),
        pytest.param(lambda header, claims: claims.update(exp=NOW / 1000 + 0.001), id="to_the_last_moment"),
    ],
)
def test_a_good_token_is_taken(outside: Outside, change: Change) -> None:
    assert outside.check(token(change), NOW, None)[0].scopes == {"score"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda header, claims: claims.update(iss="https://idp.example/"), id="another_issuer"),
        pytest.param(lambda header, claims: claims.update(aud="https://other.example"), id="another_audience"),
        pytest.param(lambda header, claims: claims.update(aud=[]), id="nobody"),
        pytest.param(lambda header, claims: claims.update(aud={US: 1}), id="audience_that_is_none"),
        pytest.param(lambda header, claims: claims.update(aud=US + ".evil.example"), id="almost_the_audience"),
        pytest.param(lambda header, claims: claims.pop("aud"), id="no_audience"),
        pytest.param(lambda header, claims: claims.update(exp=NOW // 1000), id="expired"),
        pytest.param(lambda header, claims: claims.pop("exp"), id="no_end"),
        pytest.param(lambda header, claims: claims.update(exp="never"), id="end_that_is_no_number"),
        pytest.param(lambda header, claims: claims.update(exp=float("inf")), id="no_end_ever"),
        pytest.param(lambda header, claims: claims.update(nbf=NOW // 1000 + LEEWAY_SECONDS + 1), id="not_yet"),
        pytest.param(lambda header, claims: claims.pop("sub"), id="of_nobody"),
        pytest.param(lambda header, claims: claims.update(sub="a\nb"), id="of_two_lines"),
        pytest.param(lambda header, claims: claims.update(sub=""), id="of_no_name"),
        pytest.param(lambda header, claims: claims.update(scope={"score": 1}), id="scopes_that_are_none"),
        pytest.param(lambda header, claims: claims.update(scope=[1]), id="scopes_that_are_numbers"),
        pytest.param(lambda header, claims: claims.update(cnf={"x5t#S256": OTHER}), id="anothers_certificate"),
        pytest.param(lambda header, claims: claims.update(cnf={"jkt": MINE}), id="bound_to_a_key"),
        pytest.param(lambda header, claims: claims.update(cnf={"x5t#S256": MINE, "jkt": MINE}), id="bound_to_both"),
        pytest.param(lambda header, claims: claims.update(cnf={}), id="bound_to_nothing"),
        pytest.param(lambda header, claims: claims.update(cnf=MINE), id="bound_oddly"),
        pytest.param(lambda header, claims: claims.update(padding="x" * MOST_CHARACTERS), id="oversized"),
        pytest.param(lambda header, claims: header.update(typ="id+jwt"), id="another_kind"),
        pytest.param(lambda header, claims: header.update(typ="dpop+jwt"), id="a_proof"),
        pytest.param(lambda header, claims: header.update(crit=["exp"]), id="demands"),
        pytest.param(lambda header, claims: header.update(alg="none"), id="says_none"),
        pytest.param(lambda header, claims: header.update(alg="HS256"), id="says_hs256"),
        pytest.param(lambda header, claims: header.update(alg="RS256"), id="says_rs256"),
        pytest.param(lambda header, claims: header.update(kid="rsa"), id="names_another_key"),
        pytest.param(lambda header, claims: header.update(kid="../../dev/null"), id="kid_that_is_a_path"),
        pytest.param(lambda header, claims: header.update(kid="http://127.0.0.1/k"), id="kid_that_is_a_url"),
        pytest.param(lambda header, claims: header.pop("kid"), id="no_kid_among_several_keys"),
    ],
)
def test_a_wrong_token_opens_nothing(outside: Outside, change: Change) -> None:
    refuse(outside, token(change), certificate=MINE)


def forged(way: str) -> str:
    head, claims, signature = token().split(".")
    said = f"{packed(json.dumps({'alg': 'HS256', 'typ': 'at+jwt', 'kid': 'ec'}).encode())}.{claims}"
    public = json.dumps(EC.as_dict(private=False) | {"kid": "ec"}).encode()
    changed = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"scope": "admin"}
    return {
        "alg_none": f"{packed(json.dumps({'alg': 'none', 'kid': 'ec'}).encode())}.{claims}.",
        "hs256_by_the_public_key": f"{said}.{packed(hmac.digest(public, said.encode(), 'sha256'))}",
        "by_a_stranger": token(key=STRANGER),
        "by_a_key_it_brings": token(lambda h, _: h.update(jwk=STRANGER.as_dict(private=False)), STRANGER),
        "changed": f"{head}.{packed(json.dumps(changed).encode())}.{signature}",
        "cut": token()[:-5],
        "unsigned": f"{head}.{claims}.",
        "no_token": "ey.x.y",
    }[way]


@pytest.mark.parametrize(
    "way",
    [
        *("alg_none", "hs256_by_the_public_key", "by_a_stranger", "by_a_key_it_brings"),
        *("changed", "cut", "unsigned", "no_token"),
    ],
)
def test_a_forged_token_opens_nothing(outside: Outside, way: str) -> None:
    refuse(outside, forged(way))


def refuse(outside: Outside, shown: str, at: int = NOW, certificate: str | None = None) -> None:
    with pytest.raises(AccessDenied) as refused:
        Access(MemoryStore(), outside=outside).authenticate(f"Bearer {shown}", at, certificate)
    assert refused.value.error in ("invalid_token", None)


def test_a_bound_token_counts_with_its_certificate_alone(outside: Outside) -> None:
    bound = token(lambda _, claims: claims.update(cnf={"x5t#S256": MINE}))

    caller, _ = outside.check(bound, NOW, MINE)

    assert (caller.level, caller.certificate) == ("bound", MINE)
    for wrong in (None, OTHER):
        refuse(outside, bound, certificate=wrong)


def test_less_than_the_minimum_is_refused(outside: Outside) -> None:
    access = Access(MemoryStore(), minimum="bound", outside=outside)

    with pytest.raises(AccessDenied):
        access.authenticate(f"Bearer {token()}", NOW)
    assert access.authenticate(f"Bearer {token(lambda _, c: c.update(cnf={'x5t#S256': MINE}))}", NOW, MINE)


def test_scopes_and_realm_stand_where_the_settings_say(tmp_path: Path, kept: Path) -> None:
    source = written(tmp_path, PUBLISHED)
    outside = over(source, kept, scope_claim="roles", scope_prefix="risk:", realm_claim="tenant")
    said = {"roles": ["risk:score", "risk:fly", "admin", "risk:risk:report"], "tenant": "acme"}

    caller, _ = outside.check(token(lambda _, claims: claims.update(said)), NOW, None)

    assert caller.realm == "acme"
    assert caller.scopes == {"score"}
    for realm in (None, "", "../acme", 7, ["acme"], "x" * 65):
        wrong = said | {"tenant": realm}
        refuse(outside, token(lambda _, claims, wrong=wrong: claims.update(wrong)))  # type: ignore[misc]


# --- keys that are published ------------------------------------------------------------------------------------------


def test_keys_are_fetched_and_kept_for_when_the_issuer_is_down(issuer: Issuer, kept: Path) -> None:
    over(issuer.url, kept)
    issuer.server.shutdown()
    issuer.server.server_close()

    later = Outside(Terms(IDP, US), Published(issuer.url, kept))

    assert later.keys.recall()
    with pytest.raises(IssuerUnavailable):
        later.keys.refresh(NOW + 1)
    assert later.check(token(), NOW, None)
    long = token(lambda _, claims: claims.update(exp=(NOW + 2 * TRUSTED_MS) // 1000))
    assert later.check(long, NOW + TRUSTED_MS - 1, None)
    refuse(later, long, NOW + TRUSTED_MS)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"source": "here", "seen_at": 1, "keys": {}}', '{"source": 1}'])
def test_what_was_kept_of_another_source_or_is_broken_counts_for_nothing(kept: Path, text: str) -> None:
    kept.write_text(text.replace("here", "https://idp.example/jwks"))

    assert not Published("https://idp.example/jwks", kept).recall()


def test_a_new_key_is_found_by_the_first_token_it_signed(issuer: Issuer, kept: Path) -> None:
    outside = over(issuer.url, kept)
    issuer.says = body(jwks(NEXT, kid="next"))

    assert outside.check(token(key=NEXT, kid="next"), NOW, None)
    refuse(outside, token())  # the key of before is gone
    assert issuer.asked == 2


def test_made_up_keys_make_us_look_once_a_minute(issuer: Issuer, kept: Path) -> None:
    outside = over(issuer.url, kept)

    for number in range(50):
        refuse(outside, token(kid=f"made up {number}"), NOW + number)
    assert issuer.asked == 2
    refuse(outside, token(kid="made up"), NOW + AGAIN_MS)
    assert issuer.asked == 3
    assert outside.check(token(), NOW, None)


def test_a_token_waits_for_a_slow_issuer_for_a_moment_only(
    issuer: Issuer, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = over(issuer.url, kept)
    issuer.says = lambda handler: time.sleep(1)
    began = time.monotonic()

    refuse(outside, token(key=NEXT, kid="next"))
    assert outside.check(token(), NOW, None)

    assert time.monotonic() - began < 0.7
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.05)
    with pytest.raises(IssuerUnavailable, match="does not answer"):
        outside.keys.refresh(NOW)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, as an answer that never ends."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(20):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def cut(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")


def gibberish(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\xff" * 100 + b"\r\n\r\n")


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(body(PUBLISHED, 500), id="an_error"),
        pytest.param(body("", 302, Location="http://127.0.0.1:1/elsewhere"), id="a_redirect"),
        pytest.param(body("{"), id="no_json"),
        pytest.param(body("[" * 60_000), id="deep_json"),
        pytest.param(body('{"keys": []}'), id="no_keys"),
        pytest.param(body('{"keys": [' + '{"kty":"oct"},' * 70 + "1]}"), id="too_many_keys"),
        pytest.param(body(json.dumps({"keys": [], "padding": "x" * 10_000_000})), id="huge"),
        pytest.param(body(json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]})), id="symmetric_keys"),
        pytest.param(body(json.dumps({"keys": [STRANGER.as_dict(private=True)]})), id="private_keys"),
        pytest.param(body(jwks(EC, STRANGER, kid="ec")), id="two_keys_of_one_name"),
        pytest.param(body(jwks(RSA, n=packed(b"\xff" * 128))), id="short_keys"),
        pytest.param(body(jwks(EC, use="enc")), id="keys_for_encrypting"),
        pytest.param(lambda handler: None, id="nothing"),
        pytest.param(cut, id="half_of_it"),
        pytest.param(drip, id="bytes_without_end"),
        pytest.param(gibberish, id="no_http"),
    ],
)
def test_an_issuer_that_answers_wrongly_changes_nothing(
    issuer: Issuer, kept: Path, monkeypatch: pytest.MonkeyPatch, says: Callable[[BaseHTTPRequestHandler], object]
) -> None:
    outside = over(issuer.url, kept)
    before = kept.read_text()
    issuer.says = says
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.3)

    with pytest.raises(IssuerUnavailable):
        outside.keys.refresh(NOW + 1)

    assert outside.check(token(), NOW + 1, None)
    assert kept.read_text() == before
    assert issuer.asked == 2


def test_bad_keys_among_good_ones_are_passed_over(issuer: Issuer, kept: Path) -> None:
    bad = [
        OctKey.generate_key(256).as_dict(private=True) | {"kid": "ec"},
        NEXT.as_dict(private=True) | {"kid": "next"},
        STRANGER.as_dict(private=False) | {"kid": "twin"},
        NEXT.as_dict(private=False) | {"kid": "twin"},
        {"kty": "unheard of"},
        7,
    ]
    issuer.says = body(json.dumps({"keys": [*bad, *json.loads(PUBLISHED)["keys"]]}))
    outside = over(issuer.url, kept)

    assert outside.check(token(), NOW, None)
    again = Outside(Terms(IDP, US), Published(issuer.url, kept))
    assert again.keys.recall()
    for key, kid in ((NEXT, "next"), (NEXT, "twin"), (STRANGER, "twin")):
        for checks in (outside, again):
            refuse(checks, token(key=key, kid=kid))


@pytest.mark.parametrize("parser", [registered, published])
@settings(max_examples=200)
@given(st.data())
def test_whatever_comes_as_keys_is_read_or_refused(parser: Callable[[bytes], object], data: st.DataObject) -> None:
    with suppress(ValueError):
        parser(data.draw(st.one_of(changed(PUBLISHED.encode()), st.sampled_from(ODD))))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_comes_as_a_token_is_refused_unless_it_is_as_it_was(outside: Outside, data: st.DataObject) -> None:
    shown = data.draw(changed(GOOD.encode())).decode("latin-1")
    with suppress(AccessDenied):
        assert outside.check(shown, NOW, None)[0].name == "login"
        assert shown.split(".")[:2] == GOOD.split(".")[:2]


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        pytest.param({"outside_audience": ""}, "must be set together", id="no_audience"),
        pytest.param({"outside_issuer": ""}, "must be set together", id="no_issuer"),
        pytest.param({"outside_jwks": ""}, "must be set together", id="no_keys"),
        pytest.param({"outside_jwks": "http://idp.example/jwks"}, "must begin with https", id="over_the_open_net"),
        pytest.param({"outside_jwks": "/nowhere/jwks.json"}, "there is no file", id="no_file"),
        pytest.param({"outside_issuer": "http://127.0.0.1:8000"}, "the issuer of our own tokens", id="ourselves"),
        pytest.param({"issuer": IDP}, "the issuer of our own tokens", id="ourselves_by_name"),
    ],
)
def test_settings_that_do_not_fit_together_stop_the_start(tmp_path: Path, wrong: dict[str, str], sentence: str) -> None:
    right: dict[str, Any] = {"outside_issuer": IDP, "outside_audience": US, "outside_jwks": "https://idp.example/jwks"}
    assert load(home=tmp_path, **right).outside_jwks == "https://idp.example/jwks"

    with pytest.raises(SettingsError, match=sentence):
        load(home=tmp_path, **right | wrong)


def test_a_file_without_keys_stops_the_start(tmp_path: Path, world: World) -> None:
    chosen: dict[str, Any] = {
        "outside_issuer": IDP,
        "outside_audience": US,
        "outside_jwks": written(tmp_path, '{"keys": []}'),
        "geoip_city": world.city,
        "geoip_asn": world.asn,
    }

    with pytest.raises(SettingsError, match=r"RISKENGINE_OUTSIDE_JWKS is wrong: .* holds no key that can be used"):
        assemble(Settings(home=tmp_path, **chosen))


def test_the_start_waits_for_no_issuer_and_its_tokens_are_taken_once_it_answers(
    issuer: Issuer, tmp_path: Path, world: World
) -> None:
    def hang(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        body(PUBLISHED)(handler)

    issuer.says = hang
    chosen: dict[str, Any] = {"outside_issuer": IDP, "outside_audience": US, "outside_jwks": issuer.url}
    parts = assemble(Settings(home=tmp_path, geoip_city=world.city, geoip_asn=world.asn, **chosen))
    try:
        assert issuer.asked == 0
        assert parts.access.outside is not None
        parts.access.outside.keys.refresh(NOW)
        assert parts.access.authenticate(f"Bearer {token()}", NOW).name == "login"
    finally:
        parts.close()
