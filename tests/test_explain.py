"""What would have changed a decision, told from the stored answer alone; and the command that tells it."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from riskengine.app import make_home, open_seal, open_store
from riskengine.cli import main
from riskengine.engine.engine import Engine
from riskengine.event import DAY_MS, Event
from riskengine.explain import explain
from riskengine.settings import load
from tests.doors import ADDRESSES, EPOCH, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World

Run = Callable[..., tuple[int, str, str]]


def answer(*reasons: tuple[str, float], **more: Any) -> dict[str, Any]:
    """Return a step-up for these reasons (code, points), as far as an explanation reads it."""
    return {
        "decision": "step_up",
        "would_be": None,
        "score": round(sum(points for _, points in reasons), 1),
        "reasons": [{"code": code, "points": points, "message": f"Told of {code}"} for code, points in reasons],
        "signals": {},
        "vouched": [],
        "policy": {"step_up_at": 40.0},
        "source": "engine",
        **more,
    }


DEVICE, NETWORK, PLACE = ("new_device", 40.0), ("new_network", 20.5), ("new_place", 10.0)
VOUCHED = [{"by": "device", "points": 25.5}, {"by": "prefix", "points": 10.0}]
ASKS = "it asks from 40 on."


@pytest.mark.parametrize(
    ("told", "sentences"),
    [
        pytest.param(
            answer(DEVICE, PLACE),
            [
                "The score of 50 reached the 40 from which a second factor is asked for.",
                'Without "new device" (40 points) it would have been allowed, at 10.',
            ],
            id="one_reason_was_enough_to_matter",
        ),
        pytest.param(
            answer(("new_country", 30.0), NETWORK),
            [
                "The score of 50.5 reached the 40 from which a second factor is asked for.",
                'Without "new country" (30 points) it would have been allowed, at 20.5.',
                'Without "new network" (20.5 points) it would have been allowed, at 30.',
            ],
            id="each_of_two_was_needed",
        ),
        pytest.param(
            answer(("new_country", 40.0), DEVICE, NETWORK),
            [
                "The score of 100.5 reached the 40 from which a second factor is asked for.",
                'No single reason decided: only without "new country" and "new device" would it have been allowed.',
            ],
            id="several_had_to_go",
        ),
        pytest.param(
            answer(("new_country", 39.9), decision="allow"),
            ["The score of 39.9 stayed 0.1 below the 40 that asks for a second factor."],
            id="just_below",
        ),
        pytest.param(
            answer(PLACE, decision="allow", vouched=VOUCHED),
            [
                "The score of 10 stayed 30.0 below the 40 that asks for a second factor.",
                "The trusted device and prefix took back 35.5 points; without that the score of 45.5 would have asked "
                "for a second factor.",
            ],
            id="allowed_because_something_vouched",
        ),
        pytest.param(
            answer(PLACE, decision="allow", vouched=VOUCHED[1:]),
            [
                "The score of 10 stayed 30.0 below the 40 that asks for a second factor.",
                "The trusted prefix took back 10.0 points; without that the score of 20.0 would have still been "
                "allowed.",
            ],
            id="allowed_whatever_vouched",
        ),
        pytest.param(
            answer(DEVICE, decision="allow"),
            ["The score of 40 asks for a second factor, which had been given already."],
            id="a_second_factor_had_been_given",
        ),
        pytest.param(
            answer(PLACE, ("blocked", 0.0), decision="deny"),
            ["Told of blocked (blocked).", f"The score of 10 alone would have allowed it: {ASKS}"],
            id="a_rule_denied",
        ),
        pytest.param(
            answer(DEVICE, ("quiet", 0.0), decision="allow"),
            ["Told of quiet (quiet).", f"The score of 40 alone would have asked for a second factor: {ASKS}"],
            id="a_rule_waived",
        ),
        pytest.param(
            answer(("user_at_risk", 30.0), signals={"user_at_risk": 1.0}),
            [
                "A user at risk is always asked for a second factor, also after one was passed.",
                f"The score of 30 alone would have allowed it: {ASKS}",
            ],
            id="a_user_at_risk_whatever_the_weight",
        ),
        pytest.param(
            answer(PLACE, source="fallback"),
            [
                "It was answered without the store: of the score and the policy's fallback the stricter counts.",
                f"The score of 10 alone would have allowed it: {ASKS}",
            ],
            id="answered_without_the_store",
        ),
        pytest.param(
            answer(DEVICE, decision="allow", would_be="step_up"),
            [
                "The score of 40 reached the 40 from which a second factor is asked for.",
                'Without "new device" (40 points) it would have been allowed, at 0.',
            ],
            id="observing_it_tells_what_would_have_been",
        ),
        pytest.param(
            answer(DEVICE, policy={"step_up_at": 25.0}),
            [
                "The score of 40 reached the 25 from which a second factor is asked for.",
                'Without "new device" (40 points) it would have been allowed, at 0.',
            ],
            id="a_group_with_a_threshold_of_its_own",
        ),
        pytest.param(answer(DEVICE, policy={"name": "default"}), [], id="stored_by_an_earlier_version"),
    ],
)
def test_an_explanation_says_what_decided_and_what_would_have_changed_it(
    told: dict[str, Any], sentences: list[str]
) -> None:
    assert explain(told) == sentences


# --- riskengine explain -------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `riskengine explain` in a home of its own; return exit code, output and what it said."""
    for variable in [name for name in os.environ if name.startswith("RISKENGINE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "home"))

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["riskengine", "explain", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run


def decide(world: World) -> dict[str, Any]:
    """Decide and store a login from home and one through Tor, `tor`, in the home that is set; return its answer."""
    settings = load()
    make_home(settings)
    store = open_store(settings)
    events = [
        Event("ana", ADDRESSES[place], event_id=place, occurred_at=EPOCH + day * DAY_MS)
        for day, place in enumerate(["new_york", "tor"])
    ]
    found = Engine(store, locator_of(world), default_policy(), open_seal(settings, store)).run(arrivals_of(events))[1]
    store.close()
    assert isinstance(found, dict)
    return dict(found)


def test_a_stored_event_is_told_with_its_points_and_what_would_have_changed_it(run: Run, world: World) -> None:
    found = decide(world)
    code, told, said = run("tor")

    head, *rest = told.splitlines()
    reasons = found["reasons"]
    assert (code, said) == (0, "")
    assert head == f"step_up with a score of {found['score']:g} ({found['level']}), 2026-03-05T00:00:00.000Z"
    assert rest[: len(reasons)] == [f"  {one['points']:5.1f}  {one['message']}  [{one['code']}]" for one in reasons]
    assert rest[len(reasons) :] == explain(found)


def test_an_event_of_a_replay_is_told_without_a_store(
    run: Run, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, file = decide(world), tmp_path / "decisions.ndjson"
    _, stored, _ = run("tor")
    others = [found | {"event_id": "other", "score": 1.0}, found | {"event_id": "tor"}]
    file.write_text("".join(json.dumps(one) + "\n" for one in others))

    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "nowhere"))
    assert run("tor", "--answers", file) == (0, stored, "")


def test_what_vouched_is_shown_as_points_taken_back_and_observing_as_such(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "decisions.ndjson"
    given = answer(DEVICE, decision="allow", would_be="step_up", vouched=VOUCHED[:1], level="medium")
    file.write_text(json.dumps(given | {"event_id": "a", "occurred_at": "2026-03-05T00:00:00Z"}))

    assert run("a", "--answers", file)[1].splitlines()[:3] == [
        "allow (observing, else step_up) with a score of 40 (medium), 2026-03-05T00:00:00Z",
        "   40.0  Told of new_device  [new_device]",
        "  -25.5  taken back: the device is trusted",
    ]


def test_an_unknown_event_is_a_failure_in_one_sentence(run: Run, world: World, tmp_path: Path) -> None:
    found, file = decide(world), tmp_path / "decisions.ndjson"
    file.write_text(json.dumps(found))

    assert run("banana") == (1, "", "riskengine: There is no event banana in realm default.\n")
    assert run("tor", "--realm", "other")[0] == 1
    assert run("banana", "--answers", file) == (1, "", f"riskengine: {file} holds no event banana.\n")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"event_id": "a", "user_id": "ana", "ip": "192.0.2.1"}', id="a_log"),
        pytest.param("[1]", id="a_list"),
        pytest.param("Mar  4 00:00:00 host sshd[1]: Accepted password", id="no_json"),
    ],
)
def test_a_file_that_holds_no_answers_is_refused_by_name(run: Run, tmp_path: Path, line: str) -> None:
    file = tmp_path / "log"
    file.write_text(line)

    code, told, said = run("a", "--answers", file)

    assert (code, told) == (4, "")
    assert said == f"riskengine: --answers {file} is no output of `riskengine replay`.\n"
