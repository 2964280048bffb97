"""The short way of POST /score: plain requests take it, all others do not, and nobody can tell by the answer."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from riskengine.api.lane import Lane
from riskengine.app import build, clock
from riskengine.cli.serve import configured
from riskengine.engine.engine import Engine
from tests.api.conftest import ALL_SCOPES, NEW_YORK
from tests.fixtures_geo import World
from tests.served import settings_of

PLAIN = "application/json"
ORDINARY = "application/json; charset=utf-8"  # the same, but not the plain word


@dataclass
class Running:
    """A server with a lane; `taken` notes of each request that came to it whether it was taken."""

    app: FastAPI
    server: uvicorn.Server
    port: int
    keys: dict[str, str]
    taken: list[bool] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def request(self, body: bytes, kind: str = PLAIN, key: str = "all", more: str = "") -> bytes:
        head = f"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
        return f"{head}Authorization: Bearer {self.keys[key]}\r\n\r\n".encode() + body

    def ask(self, request: bytes) -> "Answer":
        with self.connect() as connection:
            connection.sendall(request)
            return read(connection)

    def stored(self) -> int:
        count: int = self.app.state.parts.store.counts()["events"]
        return count


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any

    def without(self, *names: str) -> "Answer":
        """Return the answer without what differs from request to request."""
        kept = {name: value for name, value in self.headers.items() if name not in ("date", "x-request-id", *names)}
        body = {name: value for name, value in self.body.items() if name not in ("instance", "request_id")}
        return Answer(self.status, kept, body)


def read(connection: socket.socket) -> Answer:
    """Read one answer, and no byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = connection.recv(1)
        assert part, f"the connection was closed after {head!r}"
        head += part
    first, *lines = head.decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body, length = b"", int(headers["content-length"])
    while len(body) < length:
        body += connection.recv(length - len(body))
    return Answer(int(first.split()[1]), headers, json.loads(body))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Running]:
    settings = settings_of(tmp_path_factory.mktemp("home"), world)
    app = build(settings)
    server = uvicorn.Server(configured(app, settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    access = app.state.parts.access
    keys = {"all": ALL_SCOPES, "score": ("score",), "report": ("report",)}
    tokens = {name: access.create(name, scopes, "default", clock())[0] for name, scopes in keys.items()}
    yield Running(app, server, server.servers[0].sockets[0].getsockname()[1], tokens | {"none": "rk_no"})
    server.should_exit = True
    thread.join()


@pytest.fixture(autouse=True)
def noted(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what the lane does with what comes to it; each key is known: the first request asks the store."""
    for key in ("all", "score", "report"):
        running.ask(running.request(b"{}", key=key))
    running.taken.clear()
    take = Lane.take

    def watched(lane: Lane, *given: Any) -> bool:
        running.taken.append(take(lane, *given))
        return running.taken[-1]

    monkeypatch.setattr(Lane, "take", watched)


def event(name: str, **more: Any) -> bytes:
    return json.dumps({"user_id": name, "ip": NEW_YORK, "event_id": f"lane-{name}", **more}).encode()


@pytest.mark.parametrize("key", ["all", "score"])
def test_both_ways_give_one_answer(running: Running, key: str) -> None:
    body = event(f"one-{key}", user_agent="curl/8.9")
    short = running.ask(running.request(body, key=key))
    long = running.ask(running.request(body, ORDINARY, key=key))
    assert running.taken == [True]
    assert short.status == 200
    assert short.without() == long.without()
    assert list(short.headers) == list(long.headers)
    assert ("location" in short.body) is (key == "all")


WRONG = {
    "no_json": (b"{", "all", 400),
    "no_event": (b"{}", "all", 422),
    "key_twice": (b'{"user_id": "a", "user_id": "a", "ip": "192.0.2.1"}', "all", 422),
    "unknown_field": (event("x", nonsense=1), "all", 422),
    "control_character": (event("x\u0001"), "all", 422),
    "far_ahead": (event("x", occurred_at="2999-01-01T00:00:00Z"), "all", 422),
    "unknown_key": (event("x"), "none", 401),
    "other_scope": (event("x"), "report", 403),
    "too_large": (b'{"user_id": "a' + b" " * 70_000 + b'"}', "all", 413),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_alike(running: Running, name: str) -> None:
    body, key, status = WRONG[name]
    short = running.ask(running.request(body, key=key))
    long = running.ask(running.request(body, ORDINARY, key=key))
    assert True not in running.taken
    assert short.status == status
    assert short.without() == long.without()


def test_a_conflict_is_told_alike(running: Running) -> None:
    assert running.ask(running.request(event("twice"))).status == 200
    other = event("twice", user_agent="another body")
    short, long = running.ask(running.request(other)), running.ask(running.request(other, ORDINARY))
    assert running.taken == [True, True]
    assert short.status == 409
    assert short.without() == long.without()


@pytest.mark.parametrize(
    "more", ["Expect: 100-continue\r\n", "Content-Encoding: identity\r\n", "Connection: close\r\n"]
)
def test_what_asks_for_more_goes_the_ordinary_way(running: Running, more: str) -> None:
    request = running.request(event(f"odd-{len(more)}"), more=more)
    with running.connect() as connection:
        connection.sendall(request)
        if more.startswith("Expect"):
            assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert read(connection).status == 200
    assert running.taken == []


def test_a_body_in_two_parts_goes_the_ordinary_way(running: Running) -> None:
    request = running.request(event("parts"))
    with running.connect() as connection:
        connection.sendall(request[:-10])
        time.sleep(0.05)
        connection.sendall(request[-10:])
        assert read(connection).status == 200
    assert running.taken == []


def test_requests_behind_each_other_are_answered_in_order(running: Running) -> None:
    names = [f"line-{number}" for number in range(6)]
    with running.connect() as connection:
        connection.sendall(b"".join(running.request(event(name)) for name in names))
        assert [read(connection).body["event_id"] for _ in names] == [f"lane-{name}" for name in names]
        connection.sendall(running.request(event("line-after")))
        assert read(connection).status == 200


def test_an_id_of_the_caller_comes_back(running: Running) -> None:
    answer = running.ask(running.request(event("named"), more="X-Request-ID: mine-1\r\n"))
    assert answer.headers["x-request-id"] == "mine-1"
    other = running.ask(running.request(event("named"), more="X-Request-ID: no good\r\n"))
    assert len(other.headers["x-request-id"]) == 24
    assert running.taken == [True, True]


def test_a_client_that_goes_away_has_its_event_stored_once(running: Running) -> None:
    before, body = running.stored(), event("gone")
    with running.connect() as connection:
        connection.sendall(running.request(body))
    end = time.monotonic() + 10
    while running.stored() == before and time.monotonic() < end:
        time.sleep(0.01)
    assert running.ask(running.request(body)).status == 200
    assert running.stored() == before + 1


def test_a_defect_is_told_and_the_connection_stays(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    with running.connect() as connection:
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "run", broken)
            connection.sendall(running.request(event("defect")))
            answer = read(connection)
        assert (answer.status, answer.body["code"]) == (500, "internal-error")
        connection.sendall(running.request(event("defect")))
        assert read(connection).status == 200
    assert running.taken == [True, True]
