"""What is believed of who calls: the connection, and headers of trusted proxies only."""

import asyncio
import base64
import json
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from riskengine.api.doorman import doorman
from riskengine.api.proxies import FORWARDED, Proxies, certificate_of, thumbprint_of
from tests.certificates import Authority

PROXY, OTHER_PROXY, CLIENT, STRANGER = "10.0.0.1", "10.0.0.2", "192.0.2.7", "203.0.113.9"
TRUSTED = "10.0.0.0/8,::1"
CALLER = Authority().issue("caller")
THUMBPRINT = thumbprint_of(CALLER.der)
BASE64 = base64.b64encode(CALLER.der).decode()


def scope_of(*headers: tuple[str, str], client: str = PROXY) -> dict[str, Any]:
    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers]
    return {"type": "http", "client": (client, 5), "scheme": "http", "headers": raw}


def believed(proxies: Proxies, *headers: tuple[str, str], client: str = PROXY) -> dict[str, Any]:
    """Return the scope of a request after a protocol has looked at it."""
    scope = scope_of(*headers, client=client)
    if proxies.trusts(scope["client"]):
        proxies.believe(scope)
    return scope


@pytest.mark.parametrize(
    ("header", "client"),
    [
        pytest.param(CLIENT, CLIENT, id="one_hop"),
        pytest.param(f"{CLIENT}:4711", CLIENT, id="with_a_port"),
        pytest.param("[2001:db8::1]:4711", "2001:db8::1", id="ipv6_with_a_port"),
        pytest.param("2001:DB8:0::1", "2001:db8::1", id="ipv6_as_itself"),
        pytest.param(f"::ffff:{CLIENT}", CLIENT, id="ipv4_written_as_ipv6"),
        pytest.param(f"{STRANGER}, {CLIENT}", CLIENT, id="what_the_client_sent_itself_is_not_believed"),
        pytest.param(f"{CLIENT}, {OTHER_PROXY}", CLIENT, id="through_two_trusted_proxies"),
        pytest.param(OTHER_PROXY, OTHER_PROXY, id="a_proxy_that_calls_itself"),
        pytest.param(f"{CLIENT}, nonsense", PROXY, id="nothing_before_a_hop_that_cannot_be_read"),
        pytest.param(f"{CLIENT}, {OTHER_PROXY}, unknown", PROXY, id="nor_before_one_that_is_not_said"),
        pytest.param(f"{CLIENT}, ", PROXY, id="nor_before_an_empty_one"),
        pytest.param(f"fe80::1%eth0, {OTHER_PROXY}", OTHER_PROXY, id="a_zone_is_no_address"),
        pytest.param("", PROXY, id="empty"),
    ],
)
def test_a_trusted_proxy_names_its_client(header: str, client: str) -> None:
    assert believed(Proxies(TRUSTED), ("X-Forwarded-For", header))["client"][0] == client


@pytest.mark.parametrize(
    ("header", "client", "scheme"),
    [
        pytest.param(f"for={CLIENT};proto=https", CLIENT, "https", id="token"),
        pytest.param(f'For="{CLIENT}:4711"; Proto=HTTPS', CLIENT, "https", id="quoted_with_a_port"),
        pytest.param('for="[2001:db8::1]:47"', "2001:db8::1", "http", id="ipv6"),
        pytest.param(f'for="{STRANGER}", for={CLIENT};by=10.0.0.1', CLIENT, "http", id="the_nearest_stranger"),
        pytest.param(f"for={CLIENT};proto=https, for={OTHER_PROXY};proto=http", CLIENT, "https", id="two_proxies"),
        pytest.param(f"for={CLIENT}, for=_hidden", PROXY, "http", id="hidden_name"),
        pytest.param(f"for={CLIENT}, by=10.0.0.1", PROXY, "http", id="a_hop_without_a_name"),
        pytest.param(f"for={STRANGER};for={CLIENT}", PROXY, "http", id="two_names_for_one_hop"),
        pytest.param(f'for={CLIENT};by="10.0.0.1', PROXY, "http", id="a_quote_without_end"),
        pytest.param(f'for="{STRANGER}, for={CLIENT}', PROXY, "http", id="a_quote_that_would_swallow_a_hop"),
        pytest.param(f'for="\\{CLIENT}"', CLIENT, "http", id="escaped"),
        pytest.param(f"for={CLIENT};proto=gopher", CLIENT, "http", id="no_scheme_of_ours"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(header: str, client: str, scheme: str) -> None:
    scope = believed(Proxies(TRUSTED, FORWARDED), ("Forwarded", header))

    assert (scope["client"][0], scope["scheme"]) == (client, scheme)


def test_only_the_one_header_that_the_proxies_write_is_believed() -> None:
    """A proxy passes on untouched what it does not write: the other header is the client's own word."""
    both = (("Forwarded", f"for={STRANGER}"), ("X-Forwarded-For", CLIENT))

    assert believed(Proxies(TRUSTED), *both)["client"][0] == CLIENT
    assert believed(Proxies(TRUSTED, FORWARDED), *both)["client"][0] == STRANGER


def test_the_nearest_proxy_says_the_scheme() -> None:
    for value, scheme in (("https", "https"), ("http, HTTPS", "https"), ("https, http", "http"), ("wss", "http")):
        assert believed(Proxies(TRUSTED), ("X-Forwarded-Proto", value))["scheme"] == scheme


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("Client-Cert", f":{BASE64}:", id="rfc_9440"),
        pytest.param("X-SSL-Cert", quote(CALLER.pem, safe=""), id="nginx_escaped"),
        pytest.param("X-Amzn-Mtls-Clientcert-Leaf", quote(CALLER.pem, safe="+=/"), id="aws"),
        pytest.param("X-SSL-Cert", CALLER.pem.replace("\n", " "), id="apache_blanks_for_line_ends"),
        pytest.param("X-SSL-Cert", CALLER.pem.replace("\n", "\t"), id="nginx_tabs"),
        pytest.param("X-SSL-Client-DER", BASE64, id="haproxy_base64"),
        pytest.param("X-Forwarded-Tls-Client-Cert", f"{BASE64},{BASE64[:-8]}", id="traefik_with_its_chain"),
        pytest.param(
            "X-Forwarded-Client-Cert",
            f'By=x;Hash={sha256(CALLER.der).hexdigest()};Subject="CN=a,O=b"',
            id="envoy_digest",
        ),
        pytest.param("X-Forwarded-Client-Cert", f'Hash={"0" * 64},By=x;Cert="{quote(CALLER.pem)}"', id="envoy_nearest"),
    ],
)
def test_a_trusted_proxy_tells_its_clients_certificate(name: str, value: str) -> None:
    proxies = Proxies(TRUSTED, certificate=name)

    assert certificate_of(believed(proxies, (name, value))) == THUMBPRINT
    assert certificate_of(believed(proxies, (name, value), client=STRANGER)) is None, "from anyone else"
    assert certificate_of(believed(Proxies(TRUSTED), (name, value))) is None, "unless the header is set"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="none"),
        pytest.param([f":{BASE64}:", f":{BASE64}:"], id="two"),
        pytest.param([""], id="empty"),
        pytest.param([":"], id="a_colon"),
        pytest.param([f":{BASE64}"], id="without_end"),
        pytest.param([f":{BASE64[:-1]}:"], id="broken_base64"),
        pytest.param(["-----BEGIN CERTIFICATE-----"], id="half_a_pem"),
        pytest.param([":aGVsbG8=:"], id="no_certificate"),
        pytest.param([":" + "A" * 70_000 + ":"], id="too_long"),
        pytest.param(["%ff%fe"], id="no_text"),
    ],
)
def test_a_header_that_holds_no_certificate_is_none(values: list[str]) -> None:
    proxies = Proxies(TRUSTED, certificate="client-cert")

    assert certificate_of(believed(proxies, *(("Client-Cert", value) for value in values))) is None


def test_the_proxys_own_certificate_is_not_its_clients() -> None:
    scope = scope_of() | {"extensions": {"tls": {"client_cert_chain": [CALLER.pem]}}}
    assert certificate_of(scope) == THUMBPRINT

    Proxies(TRUSTED).believe(scope)

    assert certificate_of(scope) is None


def test_a_scope_without_any_certificate_has_none() -> None:
    none: list[Any] = [{}, {"tls": {}}, {"tls": {"client_cert_chain": []}}, {"tls": None}, None]
    for extensions in none:
        assert certificate_of({"extensions": extensions}) is None
    assert certificate_of({}) is None


_bits = st.sampled_from([*'",;=:[]% \\\t', "for", "proto", "hash", "cert", CLIENT, PROXY, "::1", BASE64, CALLER.pem])
_texts = st.lists(st.one_of(_bits, st.text(st.characters(max_codepoint=255), max_size=8)), max_size=12).map("".join)
_names = st.sampled_from(
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "Client-Cert", "X-Forwarded-Client-Cert"]
)
_headers = st.lists(st.tuples(_names, _texts), max_size=4)


@given(
    _headers,
    st.sampled_from(["forwarded", "x-forwarded-for"]),
    st.sampled_from(["client-cert", "x-forwarded-client-cert"]),
)
def test_whatever_headers_hold_they_are_read(headers: list[tuple[str, str]], forwarded: str, certificate: str) -> None:
    """No bytes make a defect; the client stays an address, and a thumbprint is one or nothing."""
    scope = believed(Proxies(TRUSTED, forwarded, certificate), *headers)

    assert isinstance(scope["client"][0], str)
    assert scope["scheme"] in ("http", "https")
    thumbprint = certificate_of(scope)
    assert thumbprint is None or len(thumbprint) == 43


@given(_headers)
def test_a_spoofed_header_from_anyone_else_changes_nothing(headers: list[tuple[str, str]]) -> None:
    for proxies in (Proxies(), Proxies(TRUSTED, certificate="client-cert")):
        assert believed(proxies, *headers, client=STRANGER) == scope_of(*headers, client=STRANGER)


def test_the_doorman_believes_the_headers_of_trusted_proxies_alone() -> None:
    """Over real connections, through the protocol that serves."""

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        body = json.dumps([scope["client"][0], certificate_of(scope)]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def ask(proxies: Proxies) -> Any:
        config = uvicorn.Config(
            application, port=0, http=doorman(lambda: False, None, proxies), lifespan="off", log_config=None,
            proxy_headers=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
        head = f"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {CLIENT}\r\nClient-Cert: :{BASE64}:\r\n\r\n"
        writer.write(head.encode())
        answer = (await reader.readuntil(b"]")).partition(b"\r\n\r\n")[2]
        writer.close()
        server.should_exit = True
        await task
        return json.loads(answer)

    assert asyncio.run(ask(Proxies("127.0.0.1", certificate="client-cert"))) == [CLIENT, THUMBPRINT]
    assert asyncio.run(ask(Proxies("127.0.0.2", certificate="client-cert"))) == ["127.0.0.1", None]
    assert asyncio.run(ask(Proxies())) == ["127.0.0.1", None]
