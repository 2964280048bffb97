"""A shadow policy: what it would have decided stands in the stored answer, and that is all it does."""

from typing import Any

import numpy as np
import pytest

from riskengine.engine.engine import Engine
from riskengine.engine.saved import load_histories
from riskengine.event import DAY_MS, Event
from riskengine.history.record import Records
from riskengine.policy.parse import parse
from riskengine.policy.policy import Policy
from riskengine.settings import package_files
from riskengine.store.contract import Store
from riskengine.store.memory import MemoryStore
from tests.doors import ADDRESSES, EPOCH, SEAL, arrivals_of, default_policy, engine_over
from tests.fixtures_geo import World

TEXT = (package_files("data") / "policy.toml").read_text()
LOG = [
    Event("ana", ADDRESSES[place], event_id=f"e{day}", occurred_at=EPOCH + day * DAY_MS, device_id="laptop")
    for day, place in enumerate(["new_york", "new_york", "tokyo", "new_york", "tokyo", "tor"])
]


def shadow(old: str = "countries = []", new: str = 'countries = ["JP"]') -> Policy:
    """Return the shipped policy with one change; without one named, it denies whoever comes from Japan."""
    text = TEXT.replace('name = "default"', 'name = "shadow"')
    assert old in text
    return parse(text.replace(old, new, 1))


def engine_with(world: World, beside: Policy | None, store: Store | None = None) -> Engine:
    engine = engine_over(store or MemoryStore(), world)
    engine.adopt(default_policy(), beside)
    return engine


def answers(engine: Engine) -> list[dict[str, Any]]:
    found = engine.run(arrivals_of(LOG))
    assert all(isinstance(one, dict) for one in found)
    return [dict(one) for one in found if isinstance(one, dict)]


def history(engine: Engine) -> Records:
    user = engine.tokeniser.user_ref("default", "ana")
    with engine.store.transaction() as tx:
        return load_histories(tx, [user], {user: "default"}, SEAL)


def test_what_a_shadow_policy_would_have_decided_is_in_the_stored_answer(store: Store, world: World) -> None:
    engine, other = engine_with(world, shadow(), store), shadow()
    answers(engine)
    stored = [engine.find(f"e{day}", "default")["answer"] for day in range(3)]

    assert [one["shadow"]["decision"] for one in stored] == ["allow", "allow", "deny"]
    assert stored[2]["shadow"]["policy"] == {"name": "shadow", "version": other.version}
    assert stored[2]["policy"]["name"] == "default"
    assert stored[2]["decision"] != "deny"


def test_a_shadow_policy_decides_and_teaches_nothing(world: World) -> None:
    alone, accompanied = engine_with(world, None), engine_with(world, shadow())
    plain, shadowed = answers(alone), answers(accompanied)

    assert [one["shadow"] is None for one in plain + shadowed] == [True] * 6 + [False] * 6
    assert [one | {"shadow": None} for one in shadowed] == plain
    assert np.array_equal(history(alone), history(accompanied))


def test_a_shadow_policy_has_a_score_of_its_own(world: World) -> None:
    engine = engine_with(world, shadow("new_country = ", "new_country = 0.0  # "))
    tokyo = answers(engine)[2]

    assert 0 <= tokyo["shadow"]["score"] < tokyo["score"]


def test_a_shadow_policy_that_observes_tells_what_it_would_have_been(world: World) -> None:
    engine = engine_with(world, shadow("\nstep_up = ", "\nstep_up = 0.0  # "))
    text = TEXT.replace("\nstep_up = ", "\nstep_up = 0.0  # ").replace('mode = "enforce"', 'mode = "observe"')
    observing = engine_with(world, parse(text))

    told = [[one["shadow"]["decision"] for one in answers(made)] for made in (engine, observing)]
    assert told == [["step_up"] * 6] * 2


def test_one_by_one_or_all_at_once_a_shadow_policy_says_the_same(world: World) -> None:
    whole, single = engine_with(world, shadow()), engine_with(world, shadow())
    one_by_one = [single.run([arrival])[0] for arrival in arrivals_of(LOG)]

    assert one_by_one == answers(whole)


def test_a_preview_says_what_a_shadow_policy_would_have_decided(world: World) -> None:
    [found] = engine_with(world, shadow()).preview(arrivals_of(LOG[2:3]))

    assert isinstance(found, dict)
    assert found["shadow"]["decision"] == "deny"


# --- without the store --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "fallback", "decision"),
    [
        pytest.param("new_york", "allow", "allow", id="allowed"),
        pytest.param("new_york", "step_up", "step_up", id="its_fallback_is_stricter"),
        pytest.param("tokyo", "step_up", "deny", id="its_rules_are_stricter"),
    ],
)
def test_without_the_store_a_shadow_policy_keeps_to_its_own_fallback(
    place: str, fallback: str, decision: str, world: World
) -> None:
    text = TEXT.replace("countries = []", 'countries = ["JP"]', 1)
    beside = parse(text.replace('decision = "step_up"', f'decision = "{fallback}"'))
    event = Event("ana", ADDRESSES[place], event_id="e", occurred_at=EPOCH)
    [(answer, _)] = engine_with(world, beside).fallback(arrivals_of([event]), "store")

    assert (answer["decision"], answer["shadow"]["decision"]) == ("step_up", decision)


@pytest.mark.parametrize(
    ("mode", "place", "expected"),
    [
        pytest.param("enforce", "new_york", ("step_up", None), id="enforcing"),
        pytest.param("observe", "new_york", ("allow", "step_up"), id="observing"),
        pytest.param("observe", "tokyo", ("allow", "deny"), id="observing_a_rule"),
    ],
)
def test_without_the_store_a_policy_that_observes_still_allows(
    mode: str, place: str, expected: tuple[str, str | None], world: World
) -> None:
    text = TEXT.replace("countries = []", 'countries = ["JP"]', 1).replace('mode = "enforce"', f'mode = "{mode}"')
    engine = engine_over(MemoryStore(), world, parse(text))
    event = Event("ana", ADDRESSES[place], event_id="e", occurred_at=EPOCH)
    [(answer, record)] = engine.fallback(arrivals_of([event]), "store")
    engine.save_journaled([record])

    assert (answer["decision"], answer["would_be"]) == expected
    assert (answer["step_up"] is None) is (answer["decision"] != "step_up")
    assert engine.find("e", "default")["answer"] == answer
    assert not history(engine)["learned"][0], "an answer without the store teaches nothing"
