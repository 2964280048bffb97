"""A step-up is asked for with a challenge, and its outcome is taken with the challenge of its own event alone."""

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskengine.app import clock
from riskengine.challenge import Challenges
from riskengine.check import parse_time
from riskengine.errors import Conflict, InvalidInput
from riskengine.event import Report
from riskengine.history.learn import PASS_MS
from riskengine.seal import Keys, Seal
from tests.api.conftest import NEW_YORK, TOKYO, Service, running, settings_for
from tests.fixtures_geo import World

Ago = Callable[[float], str]
SEAL = Seal(Keys.generate())
AT = "2026-03-04T09:15:31.500Z"
EXPIRES = parse_time(AT) + PASS_MS
ANSWER = {
    "event_id": "e-1", "user_ref": "ab" * 16, "occurred_at": AT, "step_up": {"acr_values": "urn:a urn:b", "max_age": 9},
}  # fmt: skip
CHALLENGE = Challenges(SEAL).of(ANSWER, "default")


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Service]:
    """A service that takes no outcome of a step-up without its challenge."""
    with running(settings_for(tmp_path_factory.mktemp("home"), world, step_up_challenge="required")) as service:
        yield service


def stepped_up(service: Service, user: str, ago: Ago) -> dict[str, Any]:
    """Return the answer to a login that was stepped up: Tokyo ten minutes after New York."""
    service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10)})
    return dict(service.post("/score", second(user, ago)).json())


def second(user: str, ago: Ago) -> dict[str, Any]:
    return {"user_id": user, "ip": TOKYO, "occurred_at": ago(0), "event_id": f"{user}-2"}


def report(service: Service, answer: dict[str, Any], result: str, challenge: str | None) -> httpx2.Response:
    body = {"result": result} | ({} if challenge is None else {"challenge": challenge})
    return service.post(f"/events/{answer['event_id']}/report", body)


def payload_of(challenge: str) -> dict[str, Any]:
    """Read a challenge as its receiver may, without any key."""
    text = challenge.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def test_a_step_up_is_asked_for_with_a_challenge_that_names_event_user_and_methods(
    service: Service, user: str, ago: Ago
) -> None:
    answer = stepped_up(service, user, ago)
    payload = payload_of(answer["step_up"]["challenge"])

    assert payload["event_id"] == answer["event_id"]
    assert payload["sub"] == answer["user_ref"]
    assert payload["acr_values"] == answer["step_up"]["acr_values"]
    assert payload["exp"] * 1000 == pytest.approx(clock() + PASS_MS, abs=60_000)


def test_a_retry_gets_the_same_challenge_and_no_other_answer_holds_one(service: Service, user: str, ago: Ago) -> None:
    answer = stepped_up(service, user, ago)
    bare = service.post("/score", second(user, ago), service.key("score")).json()
    batch = service.post("/score/batch", {"events": [second(user, ago)]}).json()["answers"][0]
    preview = service.post("/score/preview", {**second(user, ago), "event_id": f"{user}-3"}).json()
    read = service.get(f"/events/{answer['event_id']}").json()

    assert answer["step_up"]["challenge"] == bare["step_up"]["challenge"] == batch["step_up"]["challenge"]
    assert preview["decision"] == "step_up"
    assert "challenge" not in preview["step_up"]
    assert "challenge" not in read["answer"]["step_up"], "who reads events may not answer for their users"


def test_an_outcome_is_taken_once_with_its_challenge_and_a_lost_answer_costs_nothing(
    strict: Service, user: str, ago: Ago
) -> None:
    answer = stepped_up(strict, user, ago)
    challenge = answer["step_up"]["challenge"]

    assert report(strict, answer, "step_up_failed", challenge).status_code == 200
    assert report(strict, answer, "step_up_failed", challenge).status_code == 200, "the same again"
    replayed = report(strict, answer, "step_up_passed", challenge)

    assert (replayed.status_code, replayed.json()["code"]) == (409, "conflict")
    assert "used before" in replayed.json()["detail"]
    assert [one["result"] for one in strict.get(f"/events/{answer['event_id']}").json()["reports"]] == [
        "step_up_failed"
    ]


def test_of_outcomes_that_come_at_once_with_one_challenge_one_is_taken(strict: Service, user: str, ago: Ago) -> None:
    answer = stepped_up(strict, user, ago)
    results = ["step_up_passed", "step_up_failed", "step_up_abandoned"] * 8

    with ThreadPoolExecutor(8) as pool:
        challenge = answer["step_up"]["challenge"]
        told = list(pool.map(lambda result: report(strict, answer, result, challenge).status_code, results))

    taken = {result for result, status in zip(results, told, strict=True) if status == 200}
    assert len(taken) == 1
    assert sorted(told) == [200] * 8 + [409] * 16
    assert len(strict.get(f"/events/{answer['event_id']}").json()["reports"]) == 1


def test_where_it_is_required_no_outcome_comes_without_it_and_a_verdict_needs_none(
    strict: Service, user: str, ago: Ago
) -> None:
    answer = stepped_up(strict, user, ago)

    for result in ("step_up_passed", "step_up_failed", "step_up_abandoned"):
        refused = report(strict, answer, result, None)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/challenge")
    assert report(strict, answer, "confirmed_safe", None).status_code == 200
    assert report(strict, answer, "confirmed_safe", answer["step_up"]["challenge"]).status_code == 422


def test_where_it_is_not_required_an_outcome_may_come_without_and_a_wrong_one_is_refused(
    service: Service, user: str, ago: Ago
) -> None:
    answer, other = stepped_up(service, user, ago), stepped_up(service, user + "-other", ago)

    wrong = report(service, answer, "step_up_passed", other["step_up"]["challenge"])

    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/challenge")
    assert report(service, answer, "step_up_passed", None).status_code == 200


def test_a_challenge_of_another_realm_is_none(service: Service, user: str, ago: Ago) -> None:
    """The same event id in two realms: two events, two challenges."""
    foreign = service.key("score", "report", "events:read", realm="elsewhere")
    answer = stepped_up(service, user, ago)
    service.post("/score", {"user_id": user, "ip": NEW_YORK, "occurred_at": ago(10)}, foreign)
    theirs = service.post("/score", second(user, ago), foreign).json()

    refused = service.post(
        f"/events/{answer['event_id']}/report",
        {"result": "step_up_passed", "challenge": theirs["step_up"]["challenge"]},
    )

    assert theirs["event_id"] == answer["event_id"]
    assert refused.status_code == 422


def checked(challenge: str, now: int = EXPIRES - 1, event_id: str = "e-1", keys: Seal = SEAL) -> None:
    Challenges(keys, required=True).check(Report(event_id, "step_up_passed", challenge=challenge), "default", now)


def test_it_holds_until_the_last_moment_for_its_event_and_keys_and_for_nothing_else() -> None:
    checked(CHALLENGE, EXPIRES - 501)
    with pytest.raises(Conflict, match="expired"):
        checked(CHALLENGE, EXPIRES)
    with pytest.raises(InvalidInput):
        checked(CHALLENGE, event_id="e-2")
    with pytest.raises(InvalidInput):
        checked(CHALLENGE, keys=Seal(Keys.generate()))


def test_any_server_of_the_keys_knows_it() -> None:
    keys = Keys.generate()
    made = Challenges(Seal(keys)).of(ANSWER, "default")

    checked(made, keys=Seal(replace(keys)), now=EXPIRES - 1_000)


@given(st.integers(0, len(CHALLENGE) - 1), st.characters(codec="utf-8"))
def test_no_character_of_it_can_be_another(at: int, character: str) -> None:
    changed = CHALLENGE[:at] + character + CHALLENGE[at + 1 :]
    if changed != CHALLENGE:
        with pytest.raises(InvalidInput):
            checked(changed, EXPIRES - 1_000)


@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from([*CHALLENGE.split("."), ".", "c1", "="])).map("".join)))
def test_whatever_is_given_for_one_is_refused_as_such(text: str) -> None:
    if text != CHALLENGE:
        with pytest.raises(InvalidInput):
            checked(text, EXPIRES - 1_000)


def test_nobody_gets_one_where_there_is_no_step_up_or_no_account() -> None:
    for answer in ({**ANSWER, "step_up": None}, {**ANSWER, "user_ref": None}):
        assert Challenges(SEAL).put(answer, "default") is answer
