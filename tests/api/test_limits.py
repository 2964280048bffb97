"""What one client may do at once and how often: told by 429 at once, to nobody else, over real connections too."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from riskengine.access.clients import Clients
from riskengine.access.limits import Limits, Slots
from riskengine.api.problems import MEDIA_TYPE
from riskengine.app import clock
from riskengine.engine.engine import Engine
from riskengine.errors import LimitReached
from riskengine.inquiry import export
from riskengine.metrics import REGISTRY
from tests.api.conftest import Service, running, settings_for
from tests.fixtures_geo import World
from tests.served import Served, serving, settings_of

LOGINS, REQUESTS, RATE = 3, 2, 12
NEW_YORK = "192.0.2.10"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Service]:
    limits = {"limit_logins": LOGINS, "limit_requests": REQUESTS, "limit_rate": RATE}
    with running(settings_for(tmp_path_factory.mktemp("home"), world, **limits)) as service:
        yield service


class Held:
    """Keeps the engine from answering while it is entered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._go = threading.Event()
        for name in ("run", "preview"):
            work = getattr(Engine, name)

            def waiting(engine: Engine, *given: Any, work: Any = work) -> Any:
                assert self._go.wait(10)
                return work(engine, *given)

            monkeypatch.setattr(Engine, name, waiting)

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()


@pytest.mark.parametrize("path", ["/score", "/score/batch", "/score/preview", "/events/some/report"])
def test_what_a_login_waits_for_has_so_many_places_and_no_rate(
    service: Service, user: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers, other = (service.key("score", "report") for _ in range(2))
    event = {"user_id": user, "ip": NEW_YORK}
    bodies: dict[str, Any] = {"/score/batch": {"events": [event]}, "/events/some/report": {"result": "step_up_passed"}}
    body = bodies.get(path, event)
    told: list[int] = []
    threads = [
        threading.Thread(target=lambda: told.append(service.post("/score/preview", event, headers).status_code))
        for _ in range(LOGINS)
    ]
    slots = service.app.state.desk.limits.logins
    with Held(monkeypatch):
        for thread in threads:
            thread.start()
        while sum(slots._taken.values()) < LOGINS:  # until all of them are inside
            threading.Event().wait(0.01)
        refused = service.post(path, body, headers)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.headers["content-type"] == MEDIA_TYPE
        assert refused.json()["code"] == "too-many-requests"
        assert service.post(path, body, service.key("events:read")).status_code == 403, "others are told their own"
    for thread in threads:
        thread.join()

    assert told == [200] * LOGINS
    assert [service.post(path, body, other).status_code for _ in range(3 * RATE)] != [429] * 3 * RATE
    assert 429 not in {service.post(path, body, headers).status_code for _ in range(3 * RATE)}
    assert not slots._taken, "whatever becomes of a request, its place is given back"


QUERIES = [
    ("GET", "/events", None),
    ("POST", "/events/search", {}),
    ("GET", "/events/export", None),
    ("GET", "/stats", None),
    ("GET", "/users/" + "0" * 32, None),
    ("GET", "/events/none", None),
    ("POST", "/users/remediate", {"user_id": "nobody"}),
    ("GET", "/blocks", None),
]


@pytest.mark.parametrize(("method", "path", "body"), QUERIES, ids=[f"{one[0]} {one[1]}" for one in QUERIES])
def test_everything_else_has_a_rate(service: Service, method: str, path: str, body: Any) -> None:
    headers = service.key("events:read", "events:export", "verdict")

    answers = [service.client.request(method, path, json=body, headers=headers) for _ in range(RATE + 1)]

    assert 429 not in {answer.status_code for answer in answers[:-1]}
    refused = answers[-1]
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60 / RATE
    assert refused.json()["code"] == "too-many-requests"
    assert service.get("/events", service.key("events:read")).status_code == 200, "another client is not concerned"


def test_a_client_that_proves_itself_has_a_rate_of_tokens_that_nobody_else_can_use_up(service: Service) -> None:
    row, secret = Clients(service.parts.store).create("login", ["score"], "default", clock())

    def asked(given: str) -> int:
        form = {"grant_type": "client_credentials"}
        return service.client.post("/oauth/token", data=form, auth=(row.id, given)).status_code

    assert [asked("wrong") for _ in range(RATE)] == [401] * RATE
    assert [asked(secret or "") for _ in range(RATE + 1)] == [200] * RATE + [429]


def test_the_console_counts_with_the_key_it_was_entered_with(service: Service) -> None:
    headers = service.key("events:read")
    same = {"Sec-Fetch-Site": "same-origin"}
    base = "https://testserver/console"
    key = {"key": headers["Authorization"].removeprefix("Bearer ")}
    service.client.cookies.clear()
    service.client.post(f"{base}/sign-in", data=key, headers=same, follow_redirects=False)

    found = [service.client.get(f"{base}/policy") for _ in range(RATE + 1)]
    service.client.cookies.clear()

    assert [page.status_code for page in found] == [200] * RATE + [429]
    assert int(found[-1].headers["retry-after"]) >= 1
    assert "may ask 12 times a minute" in found[-1].text
    assert service.get("/events", headers).status_code == 429


def test_an_export_is_under_way_until_its_last_byte(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    headers, go, begun = service.key("events:export", "events:read"), threading.Event(), threading.Semaphore(0)

    def slow(*_: object) -> Iterator[bytes]:
        begun.release()
        assert go.wait(10)
        yield b"{}"

    monkeypatch.setattr(export, "exported", slow)
    told: list[int] = []
    threads = [
        threading.Thread(target=lambda: told.append(service.get("/events/export", headers).status_code))
        for _ in range(REQUESTS)
    ]
    for thread in threads:
        thread.start()
        begun.acquire()
    refused = service.get("/events", headers)
    go.set()
    for thread in threads:
        thread.join()

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "2 requests of this client are under way" in refused.json()["detail"]
    assert told == [200] * REQUESTS
    assert service.get("/events", headers).status_code == 200


def test_a_place_is_given_back_after_a_refusal_by_the_rate() -> None:
    limits = Limits(lambda: 0, requests=1, rate=1)

    limits.begin("a")()
    for _ in range(3):
        with pytest.raises(LimitReached, match="times a minute"):
            limits.begin("a")
    limits.begin("b")
    with pytest.raises(LimitReached, match="under way"):
        limits.begin("b")


def test_nothing_is_remembered_of_who_has_nothing_under_way() -> None:
    slots = Slots(2)

    assert [slots.take(client) for client in "aaab"] == [True, True, False, True]
    for client in "aab":
        slots.give_back(client)

    assert not slots._taken


def test_what_was_refused_is_counted_by_its_limit() -> None:
    def counted(limit: str) -> float:
        return REGISTRY.get_sample_value("riskengine_limited_total", {"limit": limit}) or 0.0

    before = {limit: counted(limit) for limit in ("logins", "requests", "rate")}
    limits = Limits(lambda: 0, logins=1, requests=1, rate=1)
    limits.begin_login("a")
    limits.begin("a")
    for begin in (limits.begin_login, limits.begin):
        with pytest.raises(LimitReached):
            begin("a")
    with pytest.raises(LimitReached):
        limits.count("a")

    assert {limit: counted(limit) - was for limit, was in before.items()} == {"logins": 1, "requests": 1, "rate": 1}


# --- the real server --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    with serving(settings_of(home, world, limit_logins=2, limit_requests=REQUESTS, limit_rate=RATE)) as served:
        yield served


def test_the_server_tells_a_client_with_too_many_logins_at_once_and_serves_it_again(served: Served) -> None:
    """Each connection writes at once; two places are taken until their batch is answered."""

    async def scene() -> None:
        lines = [await asyncio.open_connection("127.0.0.1", served.settings.port) for _ in range(24)]
        for number, (_, writer) in enumerate(lines):
            body = json.dumps({"user_id": f"u{number}", "ip": NEW_YORK}).encode()
            writer.write(
                b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b"
                % (served.token.encode(), len(body), body)
            )  # fmt: skip
        heads = [(await reader.readuntil(b"\r\n\r\n")).decode() for reader, _ in lines]
        statuses = [head.split()[1] for head in heads]
        assert set(statuses) == {"200", "429"}
        assert all("retry-after: 1" in head for head in heads if " 429 " in head)
        for _, writer in lines:
            writer.close()

    asyncio.run(scene())
    for number in range(3 * RATE):
        assert _asked(served, "POST", "/score", {"user_id": f"v{number}", "ip": NEW_YORK})[0] == 200


def _asked(served: Served, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", served.settings.port, timeout=20)
    headers = {"Authorization": f"Bearer {served.token}", "Content-Type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found
