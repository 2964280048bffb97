"""Wrong credentials are slowed by where they come from, before anything is looked up; right ones go on."""

import asyncio
import http.client
import json
import time
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from riskengine.access import guesses
from riskengine.access.access import Access
from riskengine.access.clients import Clients
from riskengine.access.guesses import KNOWN_MS, MOST_KNOWN, SIGNATURES, SLOWED_SECONDS, Guesses, source_of
from riskengine.access.keyring import Keyring
from riskengine.access.limits import Limits
from riskengine.access.mint import Mint
from riskengine.access.purse import Purse, new_secret
from riskengine.access.remembered import FRESH_MS
from riskengine.access.tokens import LIFE_SECONDS, Tokens, new_signing_key
from riskengine.api.calls import MOST_ASKED, Door
from riskengine.api.doorman import doorman
from riskengine.api.proxies import Proxies
from riskengine.errors import AccessDenied, LimitReached, Overloaded, StoreUnavailable, TokenRefused
from riskengine.seal import Seal
from riskengine.store.contract import AccessKeyRow
from riskengine.store.memory import MemoryStore
from tests.fixtures_geo import World
from tests.served import Served, serving, settings_of

START = 1_772_615_731_500
FAILURES = 5
LINES = 100
HERE, THERE = ("192.0.2.1", 4711), ("192.0.2.2", 4711)
NEW_YORK = "192.0.2.10"


class Watched(MemoryStore):
    """A store that counts how often it is asked for a key or a client."""

    asked = 0
    before: Callable[[], object] = staticmethod(lambda: None)

    def access_key(self, key_id: str) -> AccessKeyRow | None:
        self.asked += 1
        self.before()
        return super().access_key(key_id)

    def client(self, client_id: str) -> Any:
        self.asked += 1
        return super().client(client_id)


@dataclass
class Scene:
    """A door, at a time that only the test moves."""

    seal: Seal
    store: Watched = field(default_factory=Watched)
    now: int = START

    def __post_init__(self) -> None:
        clients = self.clients = Clients(self.store)
        self.tokens = Tokens(Keyring(self.store, self.seal, "token", new_signing_key), clients, "https://risk.example")
        self.purse = Purse(Keyring(self.store, self.seal, "one_time", new_secret), clients, self.store)
        self.access = Access(self.store, self.tokens, purse=self.purse)
        self.guesses = Guesses(lambda: self.now, FAILURES)
        mint = Mint(clients, self.tokens, self.purse, Limits(lambda: self.now))
        self.door = Door(self.access, lambda: self.now, self.guesses, mint)

    def key(self) -> str:
        return f"Bearer {self.access.create('caller', ['score'], 'default', self.now)[0]}"

    async def asks(self, header: str, client: tuple[str, int] = HERE) -> str:
        """Return how a header fares: the caller's name, or the error."""
        try:
            return (await self.door.admit(header, {"type": "http", "client": client})).name
        except (AccessDenied, LimitReached, StoreUnavailable, Overloaded) as error:
            return type(error).__name__

    async def fail(self, times: int = FAILURES, client: tuple[str, int] = HERE) -> None:
        for number in range(times):
            assert await self.asks(wrong(number), client) == "AccessDenied"

    def play(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run(work)
        finally:
            self.door.close()


@pytest.fixture
def scene(seal: Seal, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(guesses, "SLOWED_SECONDS", 0.0)
    return Scene(seal)


def wrong(number: int) -> str:
    return f"Bearer rk_{number:016x}_{'0' * 64}"


def test_after_so_many_wrong_keys_from_an_address_the_store_is_not_asked_any_more(scene: Scene) -> None:
    async def work() -> None:
        await scene.fail()
        asked = scene.store.asked
        assert {await scene.asks(wrong(number)) for number in range(99)} == {"LimitReached"}
        assert scene.store.asked == asked
        assert await scene.asks(wrong(0), THERE) == "AccessDenied", "another address is not concerned"

    scene.play(work())


def test_who_is_told_to_wait_is_looked_at_when_the_time_has_come(scene: Scene) -> None:
    async def work() -> None:
        await scene.fail()
        with pytest.raises(LimitReached, match="from your address") as told:
            await scene.door.admit(wrong(1), {"client": HERE})
        assert told.value.seconds == 60 // FAILURES
        scene.now += 1000 * told.value.seconds
        assert await scene.asks(wrong(1)) == "AccessDenied"
        assert await scene.asks(wrong(1)) == "LimitReached"

    scene.play(work())


def test_a_key_that_was_right_within_the_hour_goes_on_among_any_number_of_wrong_ones(scene: Scene) -> None:
    async def work() -> None:
        old, new = scene.key(), scene.key()
        assert await scene.asks(old, THERE) == "caller"
        await scene.fail()
        assert await scene.asks(old) == "caller", "remembered"
        scene.now += FRESH_MS
        await scene.asks(wrong(1))
        assert await scene.asks(old) == "caller", "looked at anew"
        assert await scene.asks(new) == "LimitReached", "never seen: it waits with the rest"
        assert await scene.asks(new, THERE) == "caller"
        assert await scene.asks(new) == "caller"
        scene.now += KNOWN_MS
        for number in range(FAILURES):
            await scene.asks(wrong(number))
        assert await scene.asks(old) == "LimitReached"

    scene.play(work())


def test_a_key_that_was_revoked_is_a_wrong_one(scene: Scene) -> None:
    async def work() -> None:
        header = scene.key()
        assert await scene.asks(header) == "caller"
        scene.access.revoke(header.split("_")[1], scene.now)
        scene.now += FRESH_MS
        found = [await scene.asks(header) for _ in range(FAILURES + 1)]
        assert found == ["AccessDenied"] * FAILURES + ["LimitReached"]

    scene.play(work())


def test_right_ones_do_not_buy_more_wrong_ones(scene: Scene) -> None:
    async def work() -> None:
        header = scene.key()
        for number in range(FAILURES):
            assert await scene.asks(wrong(number)) == "AccessDenied"
            assert await scene.asks(header) == "caller"
            scene.now += FRESH_MS // 100
        assert await scene.asks(wrong(9)) == "LimitReached"

    scene.play(work())


def test_a_request_without_a_credential_is_no_guess(scene: Scene) -> None:
    async def work() -> None:
        for header in ("", "Bearer ", "Basic x", "nonsense") * FAILURES:
            assert await scene.asks(header) == "AccessDenied"
        assert await scene.asks(scene.key()) == "caller"

    scene.play(work())


def test_a_token_that_was_signed_here_goes_on_and_an_old_one_is_no_guess(scene: Scene) -> None:
    """One that its client has just got was never seen; its signature tells."""
    plain, _ = scene.clients.create("service", ["score"], "default", START)
    single, _ = scene.clients.create("single", ["score"], "default", START, one_time=True)

    async def work() -> None:
        token = scene.tokens.issue(plain, ["score"], None, scene.now)
        first, second = scene.purse.issue(single, ["score"], None, 2, scene.now)
        await scene.fail()
        assert await scene.asks(f"Bearer {token}") == "service"
        assert await scene.asks(f"Bearer {first}") == "single"
        assert await scene.asks(f"Bearer {second}") == "single"
        assert await scene.asks(f"Bearer {token[:-9]}AAAAAAAAA") == "LimitReached"
        assert await scene.asks(f"Bearer {first[:-1]}{'A' if first[-1] != 'A' else 'B'}") == "LimitReached"
        scene.now += 2 * LIFE_SECONDS * 1000
        old = [await scene.asks(f"Bearer {token}") for _ in range(3 * FAILURES)]
        assert set(old) == {"AccessDenied"}, "it is told to get another one"
        assert await scene.asks(scene.key()) == "caller"

    scene.play(work())


def test_signatures_are_dear_so_only_so_many_are_looked_at(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(_: Tokens, token: str) -> bool:
        looked.append(token)
        return False

    monkeypatch.setattr(Tokens, "is_ours", look)

    async def work() -> None:
        await scene.fail()
        found = {await scene.asks(f"Bearer ey{number}") for number in range(2 * SIGNATURES)}
        assert found == {"LimitReached"}
        assert len(looked) == SIGNATURES

    scene.play(work())


@pytest.mark.parametrize("way", ["basic", "form"])
def test_client_secrets_are_slowed_and_right_ones_go_on(scene: Scene, way: str) -> None:
    row, secret = scene.clients.create("service", ["score"], "default", START)
    other, unseen = scene.clients.create("other", ["score"], "default", START)
    scope = {"type": "http", "client": HERE}

    async def ask(client_id: str, given: str | None) -> str:
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": given or ""}
        header = None
        if way == "basic":
            header = "Basic " + b64encode(f"{client_id}:{form.pop('client_secret')}".encode()).decode()
        try:
            await scene.door.grant(form, header, scope)
        except (TokenRefused, LimitReached) as error:
            return type(error).__name__
        return "granted"

    async def work() -> None:
        assert await ask(row.id, secret) == "granted"
        found = [await ask(row.id, f"wrong{number}") for number in range(FAILURES + 1)]
        assert found == ["TokenRefused"] * FAILURES + ["LimitReached"]
        asked = scene.store.asked
        assert await ask(row.id, "another") == "LimitReached"
        assert scene.store.asked == asked
        assert await ask(row.id, secret) == "granted", "nobody is locked out by another's guesses"
        assert await ask(other.id, unseen) == "LimitReached"
        scene.now += 60_000
        assert await ask(other.id, unseen) == "granted"

    scene.play(work())


def test_of_many_that_come_at_once_no_more_wait_for_the_store_than_may(scene: Scene) -> None:
    """And who was seen lately does not wait behind them."""
    header = scene.key()

    async def work() -> None:
        assert await scene.asks(header) == "caller"
        scene.now += FRESH_MS
        scene.store.before = lambda: time.sleep(0.05)
        crowd = [
            asyncio.create_task(scene.asks(wrong(number), (f"198.51.100.{number % 250}", 1)))
            for number in range(2 * MOST_ASKED)
        ]
        await asyncio.sleep(0)
        begun = time.perf_counter()
        assert await scene.asks(header) == "caller"
        assert time.perf_counter() - begun < 0.1
        scene.store.before = lambda: None
        told = await asyncio.gather(*crowd)
        assert told.count("Overloaded") == MOST_ASKED
        assert set(told) <= {"Overloaded", "AccessDenied", "StoreUnavailable"}

    scene.play(work())


def test_behind_a_trusted_proxy_the_client_that_it_names_waits_and_no_other(scene: Scene) -> None:
    """Over a real connection: told by the doorman, before there is a request at all."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def work() -> None:
        await scene.fail(client=("198.51.100.7", 0))
        right = scene.key()
        await scene.asks(right, THERE)
        http = doorman(lambda: False, None, Proxies("127.0.0.1"), scene.door)
        server = uvicorn.Server(uvicorn.Config(application, port=0, http=http, lifespan="off", log_config=None))
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())

        def request(client: str, header: str, path: str = "/score") -> bytes:
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\nAuthorization: {header}\r\n"
            return f"{head}Content-Length: 2\r\n\r\n{{}}".encode()

        async def told() -> int:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            return int(head.split()[1])

        async def ask(*given: str) -> int:
            writer.write(request(*given))
            return await told()

        assert await ask("198.51.100.7", wrong(1)) == 429
        assert await ask("198.51.100.7", wrong(1), "/events/a") == 429
        assert await ask("198.51.100.7", wrong(1), "/healthz") == 200
        assert await ask("198.51.100.7", right) == 200
        assert await ask("198.51.100.8", wrong(1)) == 200
        writer.write(request("198.51.100.7", wrong(1)) + request("198.51.100.7", right))
        assert [await told(), await told()] == [429, 200], "in order, also when they come in one piece"
        whole = request("198.51.100.7", wrong(1))
        writer.write(whole[:-1])
        await asyncio.sleep(0.05)
        writer.write(whole[-1:] + request("198.51.100.7", right))
        assert [await told(), await told()] == [429, 200], "what is left of its body is passed over"
        writer.close()
        server.should_exit = True
        await task

    scene.play(work())


# --- where from -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:DB8:1:2::1", "2001:db8:1:2::1", True),
        ("testclient", "testclient", True),
    ],
)
def test_an_ipv6_network_is_one_source(one: str, other: str, same: bool) -> None:
    assert (source_of((one, 1)) == source_of((other, 2))) is same


@given(st.one_of(st.none(), st.tuples(st.text(max_size=60), st.integers()), st.tuples(st.ip_addresses().map(str))))
def test_whatever_stands_for_a_client_has_a_source(client: Any) -> None:
    assert isinstance(source_of(client), str)


def test_a_hostile_range_makes_no_table_that_grows() -> None:
    found = Guesses(lambda: START, 2)

    for number in range(40_000):
        found.failed((f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1", 0), "x")

    assert len(found._failed) <= 16_384


def test_no_more_credentials_are_remembered_than_may_and_none_of_them_in_clear() -> None:
    found = Guesses(lambda: START)

    for number in range(MOST_KNOWN + 10):
        found.proved(f"secret-{number}")

    assert len(found._known) == MOST_KNOWN
    assert [found.knows(f"secret-{number}") for number in (0, 9, 10)] == [False, False, True]
    assert not [key for key in found._known if b"secret" in key]


# --- the real server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    settings = settings_of(tmp_path_factory.mktemp("served"), world, limit_failures=FAILURES)
    with serving(settings) as served:
        yield served


def asked(served: Served, header: str | None, path: str = "/score", **form: str) -> tuple[int, dict[str, str], Any]:
    """Send a login, or a form, from this machine; return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", served.settings.port, timeout=20)
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    body = "&".join(f"{name}={value}" for name, value in form.items()) or json.dumps({"user_id": "a", "ip": NEW_YORK})
    headers = {"Content-Type": kind} | ({"Authorization": header} if header else {})
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
    connection.close()
    return found


def test_a_flood_of_wrong_keys_is_told_late_and_does_not_slow_who_has_a_right_one(served: Served) -> None:
    right = f"Bearer {served.token}"
    assert asked(served, right)[0] == 200

    async def median(seconds: float) -> float:
        """Return the median wait of a right caller that asks again and again."""
        reader, writer = await asyncio.open_connection("127.0.0.1", served.settings.port)
        waits, end = [], time.perf_counter() + seconds
        number = 0
        while time.perf_counter() < end:
            number += 1
            begun = time.perf_counter()
            writer.write(login(right, f"u{number}"))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            waits.append(time.perf_counter() - begun)
        writer.close()
        return sorted(waits)[len(waits) // 2]

    async def flood(told: list[bytes]) -> None:
        """Guess as fast as is answered, on one connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", served.settings.port)
        try:
            for number in range(1_000_000):
                writer.write(login(wrong(number), "x"))
                head = await reader.readuntil(b"\r\n\r\n")
                told.append(head)
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        finally:
            writer.close()

    async def scene() -> None:
        told: list[bytes] = []
        before = await median(0.6)
        begun = time.perf_counter()
        floods = [asyncio.create_task(flood(told)) for _ in range(LINES)]
        during = await median(1.5)
        seconds = time.perf_counter() - begun
        for task in floods:
            task.cancel()
        for task in floods:
            with suppress(asyncio.CancelledError):
                await task
        statuses = [head.split()[1] for head in told]
        assert set(statuses) == {b"401", b"429"}
        assert statuses.count(b"401") <= LINES + FAILURES
        assert len(told) < LINES * (2 + seconds / SLOWED_SECONDS), "as fast as each connection is let go on"
        assert all(b"\r\nretry-after: " in head for head in told if b" 429 " in head)
        assert during < 3 * before + 0.02

    asyncio.run(scene())


def login(header: str, user: str) -> bytes:
    body = json.dumps({"user_id": user, "ip": NEW_YORK}).encode()
    return (
        f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: {header}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def test_the_server_tells_how_long_to_wait_in_the_same_words_on_every_way(served: Served) -> None:
    while asked(served, wrong(1))[0] != 429:
        pass

    at_the_door = asked(served, wrong(2))
    inside = asked(served, None, "/oauth/token", grant_type="client_credentials", client_id="x", client_secret="y")

    for status, headers, body in (at_the_door, inside):
        assert (status, body["code"]) == (429, "too-many-requests")
        assert headers["content-type"] == "application/problem+json"
        assert 1 <= int(headers["retry-after"]) <= 60 // FAILURES
        told = f"Too many wrong credentials came from your address; go on in {headers['retry-after']} s."
        assert body["detail"] == told
        assert body["request_id"] == headers["x-request-id"]
        assert int(headers["content-length"]) == len(json.dumps(body, separators=(",", ":")))
    assert asked(served, None)[0] == 401, "who shows nothing is told to"
    assert asked(served, f"Bearer {served.token}")[0] == 200
