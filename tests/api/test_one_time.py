"""A one-time token pays for one request; a refused request costs nothing, and a lost answer can be asked for again."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import httpx2
import pytest

from riskengine.access.clients import Clients
from riskengine.access.purse import LIFE_MS
from riskengine.api import manual
from riskengine.app import clock
from riskengine.engine.gate import Gate
from riskengine.errors import AccessDenied
from riskengine.store.contract import ClientRow
from tests.api.conftest import ALL_SCOPES, NEW_YORK, Service
from tests.api.test_oauth import MINE, NOW, OTHER, House, header


@pytest.fixture
def house(seal: Any) -> House:
    return House(seal)


def bundle(service: Service, *scopes: str, count: int = 2) -> Iterator[dict[str, str]]:
    """Return the headers of so many one-time tokens of a new client."""
    row, secret = Clients(service.parts.store).create(
        "one-time", scopes or ("score",), "default", clock(), one_time=True
    )
    form = {"grant_type": "client_credentials", "count": str(count)}
    given = service.client.post("/oauth/token", data=form, auth=(row.id, secret or "")).json()
    assert given["access_token"] == given["access_tokens"][0]
    return ({"Authorization": header(token)} for token in given["access_tokens"])


def following(answer: httpx2.Response) -> dict[str, str]:
    return {"Authorization": header(answer.headers["next-token"])}


def login(user: str, event: int = 1) -> dict[str, str]:
    return {"user_id": user, "ip": NEW_YORK, "event_id": f"{user}-{event}"}


def refusals(service: Service, least: int = 0) -> int:
    """Return how many refused tokens the audit trail tells of, as soon as these are so many, or after 2 s."""
    end = time.monotonic() + 2
    while True:
        with closing(sqlite3.connect(service.settings.home / "data" / "riskengine.db")) as database:
            [found] = database.execute("SELECT count(*) FROM audit WHERE action = 'token.refused'").fetchone()
        if found >= least or time.monotonic() > end:
            return int(found)
        time.sleep(0.02)


def test_each_answer_brings_the_next_token(service: Service, user: str) -> None:
    token = next(bundle(service))

    for event in range(4):
        answer = service.post("/score", login(user, event), token)
        assert answer.status_code == 200
        token = following(answer)


def test_a_second_event_is_not_paid_for(service: Service, user: str) -> None:
    token, before = next(bundle(service)), refusals(service)
    assert service.post("/score", login(user), token).status_code == 200

    refused = service.post("/score", login(user, 2), token)

    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert 'token_endpoint="/oauth/token"' in refused.headers["www-authenticate"]
    assert "next-token" not in refused.headers
    assert service.get(f"/events/{user}-2").status_code == 404
    assert refusals(service, before + 1) == before + 1


def test_the_same_event_sent_again_gets_the_same_answer_and_the_same_next_token(service: Service, user: str) -> None:
    token = next(bundle(service))
    first = service.post("/score", login(user), token)

    again = service.post("/score", login(user), token)

    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["next-token"] == first.headers["next-token"]


def test_the_same_event_with_another_body_is_another_event(service: Service, user: str) -> None:
    token = next(bundle(service))
    service.post("/score", login(user), token)

    assert service.post("/score", login(user) | {"outcome": "failure"}, token).status_code == 401


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        pytest.param({"event_id": None}, 422, id="no_event_id"),
        pytest.param({"ip": "nowhere"}, 422, id="not_an_event"),
        pytest.param({"occurred_at": "1999-01-01T00:00:00Z"}, 422, id="time_out_of_bounds"),
    ],
)
def test_what_is_refused_costs_nothing(service: Service, user: str, wrong: dict[str, Any], status: int) -> None:
    token = next(bundle(service))

    assert service.post("/score", login(user) | wrong, token).status_code == status
    assert service.post("/score", login(user), token).status_code == 200


def test_a_conflict_costs_nothing(service: Service, user: str) -> None:
    service.post("/score", login(user))
    token = next(bundle(service))

    assert service.post("/score", login(user) | {"outcome": "failure"}, token).status_code == 409
    assert service.post("/score", login(user, 2), token).status_code == 200


def test_a_token_without_the_scope_is_refused_as_a_whole(service: Service, user: str) -> None:
    token, before = next(bundle(service, "report")), refusals(service)

    refused = service.post("/score", login(user), token)

    assert refused.status_code == 401
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert refusals(service, before + 1) == before + 1


def test_without_the_store_nothing_can_be_paid(service: Service, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = bundle(service)
    first = service.post("/score", login(user), next(tokens))
    live = service.parts.live
    monkeypatch.setattr(live, "_store_serves", lambda: False)

    unpaid = service.post("/score", login(user, 2), following(first))
    by_key = service.post("/score", login(user, 3))

    assert (unpaid.status_code, unpaid.json()["code"]) == (503, "store-unavailable")
    assert "next-token" not in unpaid.headers
    assert (by_key.status_code, by_key.json()["source"]) == (200, "fallback")
    monkeypatch.undo()
    assert service.post("/score", login(user, 2), following(first)).status_code == 200


def test_a_commit_in_doubt_can_be_asked_for_again(service: Service, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = next(bundle(service))
    # Committed, and nobody hears of it.
    monkeypatch.setattr(Gate, "committed", lambda *_: None)
    monkeypatch.setattr(Gate, "sure", lambda _: False)
    monkeypatch.setattr(service.parts.live, "_by_engine", partial(_lost, service))
    doubtful = service.post("/score", login(user), token)
    monkeypatch.undo()

    assert doubtful.status_code == 503
    again = service.post("/score", login(user), token)
    assert (again.status_code, "next-token" in again.headers) == (200, True)


async def _lost(service: Service, arrivals: Any, stages: Any) -> Any:
    gate = Gate(stages)
    service.parts.live.engine.run(arrivals, gate)
    return service.parts.live._standby.instead(arrivals, gate)


# Requests that are right, by what the document says of them.
RIGHT: dict[str, Any] = {
    "/score/batch": {"events": []},
    "/score/preview": {"user_id": "ana", "ip": NEW_YORK},
    "/events/{event_id}/report": {"result": "step_up_passed"},
    "/users/remediate": {"user_id": "nobody"},
    "/events/verdicts": {"filters": {}, "result": "dismissed"},
    "/blocks": {"value": "203.0.113.1", "for": "1m", "why": "a test"},
}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param(method, path, id=f"{method} {path}")
        for path, methods in manual.openapi()["paths"].items()
        for method, call in methods.items()
        if call.get("security") and path != "/score"
    ],
)
def test_every_other_path_takes_a_token_once(service: Service, method: str, path: str) -> None:
    token = next(bundle(service, *ALL_SCOPES, "events:export"))
    body = {"json": RIGHT.get(path, {})} if method == "post" else {}
    url = re.sub(r"\{[a-z_]+\}", "0" * 32, path)

    first = service.client.request(method.upper(), url, headers=token, **body)
    again = service.client.request(method.upper(), url, headers=token, **body)

    assert first.status_code in (200, 404, 400)
    assert again.status_code == 401
    assert service.client.request(method.upper(), url, headers=following(first), **body).status_code != 401


# --- tokens -----------------------------------------------------------------------------------------------------------


def given(house: House, certificate: str | None = None) -> tuple[ClientRow, str]:
    row, secret = house.clients.create("caller", ["score"], "acme", NOW, one_time=True, certificate=certificate)
    form = {"grant_type": "client_credentials", "client_id": row.id, "client_secret": secret or ""}
    return row, house.mint.grant(form, None, certificate, NOW)["access_token"]


@pytest.mark.parametrize(("at", "works"), [(LIFE_MS - 1, True), (LIFE_MS, False), (LIFE_MS + 1000, False)])
def test_a_token_ends_on_time(house: House, at: int, works: bool) -> None:
    _, token = given(house)

    if works:
        assert house.access.authenticate(header(token), NOW + at).ticket
    else:
        assert house.access.recall(header(token), NOW + at) is None
        with pytest.raises(AccessDenied):
            house.access.authenticate(header(token), NOW + at)


def test_a_bound_token_is_nothing_without_its_certificate(house: House) -> None:
    _, token = given(house, MINE)

    assert house.access.authenticate(header(token), NOW, MINE).certificate == MINE
    for wrong in (None, OTHER):
        with pytest.raises(AccessDenied):
            house.access.authenticate(header(token), NOW, wrong)


def test_a_client_is_known_from_the_moment_it_is_given_tokens(house: House, seal: Any) -> None:
    _, token = given(house)

    caller = house.access.recall(header(token), NOW + 1)

    assert caller is not None
    assert caller.ticket is not None
    assert House(seal, house.store).access.recall(header(token), NOW + 1) is None  # there it has to be asked for


def test_an_unbound_token_ends_as_its_client_is_bound(house: House) -> None:
    row, token = given(house)
    house.store.put_client(replace(row, certificate=MINE))
    form = {"grant_type": "client_credentials", "client_id": row.id}
    bound = house.mint.grant(form, None, MINE, NOW)["access_token"]

    assert house.access.recall(header(bound), NOW) is not None
    assert house.access.recall(header(token), NOW) is None
    with pytest.raises(AccessDenied):
        house.access.authenticate(header(token), NOW)


def test_the_next_token_is_bound_like_the_one_before(house: House) -> None:
    _, token = given(house, MINE)
    caller = house.access.authenticate(header(token), NOW, MINE)

    after = house.purse.following(caller, NOW)

    assert house.access.authenticate(header(after), NOW, MINE).certificate == MINE
    assert after != token
    with pytest.raises(AccessDenied):
        house.access.authenticate(header(after), NOW, None)


def test_no_changed_token_is_ours(house: House) -> None:
    _, token = given(house)
    changed = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(3, len(token))]

    for wrong in [*changed, token + "A", token[:-1], token + "=", token + "x" * 5000, "ro_", "ro_é"]:
        with pytest.raises(AccessDenied):
            house.access.authenticate(header(wrong), NOW)


def test_a_revoked_client_has_no_tokens(house: House) -> None:
    row, token = given(house)
    house.access.authenticate(header(token), NOW)
    assert house.access.recall(header(token), NOW) is not None

    house.clients.revoke(row.id, NOW)

    assert house.access.recall(header(token), NOW + 2000) is None
    with pytest.raises(AccessDenied):
        house.access.authenticate(header(token), NOW + 2000)


def test_another_worker_takes_the_tokens_of_this_one(house: House, seal: Any) -> None:
    _, token = given(house)
    other = House(seal, house.store)

    caller = other.access.authenticate(header(token), NOW)

    assert other.purse.following(caller, NOW + 5) == house.purse.following(caller, NOW + 5)
