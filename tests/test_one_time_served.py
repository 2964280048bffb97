"""One-time tokens before several workers: one is good for one event, whoever it is shown to, and no login waits."""

import asyncio
import json
import random
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from riskengine.access.clients import Clients
from riskengine.app import clock, open_store
from tests.fixtures_geo import World
from tests.served import Served, serving, settings_of

WORKERS, REPLAYS, CONNECTIONS, LOGINS = 4, 100, 64, 6
ONE_IN = 100  # of so many answers one is lost


class Line:
    """A connection that is made again when it was closed; it counts how often tokens were asked for."""

    def __init__(self, served: Served) -> None:
        self._port = served.settings.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, path: str, body: str, kind: str, token: str | None = None, lose: bool = False
    ) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body of an answer; with `lose` hang up before it comes and ask again."""
        said = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{said}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write((head + body).encode())
        await writer.drain()
        if lose:
            await asyncio.sleep(random.uniform(0, 0.05))
            self.close()
            return await self.ask(path, body, kind, token)
        status = int((await reader.readline()).split()[1])
        headers = {}
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        return status, headers, json.loads(await reader.readexactly(int(headers["content-length"])))

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def login(user: str, event: str) -> str:
    return json.dumps({"user_id": user, "ip": "192.0.2.10", "event_id": event})


async def tokens(served: Served, count: int) -> list[str]:
    with closing(open_store(served.settings)) as store:
        row, secret = Clients(store).create("login", ["score"], "default", clock(), one_time=True)
    form = {"grant_type": "client_credentials", "client_id": row.id, "client_secret": secret, "count": count}
    line = Line(served)
    status, _, answer = await line.ask("/oauth/token", urlencode(form), "application/x-www-form-urlencoded")
    line.close()
    assert status == 200
    found: list[str] = answer["access_tokens"]
    return found


async def replayed(served: Served, token: str, bodies: list[str]) -> list[tuple[int, dict[str, str], Any]]:
    """Show one token with each body at once, each over a connection of its own; who gets 503 asks again."""

    async def show(body: str) -> tuple[int, dict[str, str], Any]:
        line = Line(served)
        while True:
            found = await line.ask("/score", body, "application/json", token)
            if found[0] != 503:
                line.close()
                return found
            await asyncio.sleep(0.2)

    return await asyncio.gather(*map(show, bodies))


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, world: World) -> Any:
    home: Path = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        with serving(settings_of(home, world, workers=WORKERS)) as running:
            yield running
        return
    server = request.getfixturevalue("postgres_server")
    name = server.fresh_migrated()
    with serving(settings_of(home, world, workers=WORKERS, database_url=server.url(name))) as running:
        yield running
    server.drop(name)


def test_a_token_replayed_at_once_pays_for_one_event(served: Served) -> None:
    async def scene() -> None:
        [token] = await tokens(served, 1)
        answers = await replayed(served, token, [login(f"u{n}", f"replay-{n}") for n in range(REPLAYS)])
        assert Counter(status for status, _, _ in answers) == {200: 1, 401: REPLAYS - 1}

    asyncio.run(scene())
    with closing(open_store(served.settings)) as store:
        assert sum(1 for row in store.events() if row.realm == "default") == 1


def test_a_token_replayed_with_one_event_gets_one_answer(served: Served) -> None:
    async def scene() -> None:
        [token] = await tokens(served, 1)
        answers = await replayed(served, token, [login("same", "same")] * REPLAYS)
        assert {status for status, _, _ in answers} == {200}
        assert len({json.dumps(body) for _, _, body in answers}) == 1
        assert len({headers["next-token"] for _, headers, _ in answers}) == 1

    asyncio.run(scene())


def test_no_login_waits_for_a_token_where_answers_are_lost(served: Served) -> None:
    async def decided(line: Line, body: str, token: str, lose: bool = False) -> tuple[int, dict[str, str], Any]:
        while True:
            found = await line.ask("/score", body, "application/json", token, lose)
            if found[0] != 503:
                return found
            await asyncio.sleep(0.2)

    async def chain(number: int, token: str) -> None:
        line = Line(served)
        for event in range(LOGINS):
            body = login(f"c{number}", f"chain-{number}-{event}")
            turn, place = divmod(number * LOGINS + event, ONE_IN)
            # One in a hundred is lost, in turn before it came and when it had come.
            status, headers, answer = await decided(line, body, token, lose=place == 0 and turn % 2 == 0)
            assert status == 200
            if place == 0 and turn % 2 == 1:
                line.close()
                again = await decided(line, body, token)
                assert (again[0], again[1]["next-token"], again[2]) == (200, headers["next-token"], answer)
            token = headers["next-token"]
        line.close()

    async def scene() -> None:
        bundle = await tokens(served, CONNECTIONS)
        await asyncio.gather(*(chain(number, token) for number, token in enumerate(bundle)))

    asyncio.run(scene())
