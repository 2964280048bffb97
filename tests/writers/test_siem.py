"""Decisions as OCSF and ECS documents: what the standards demand is there, and it says what was decided."""

import json
from pathlib import Path
from typing import Any

import pytest

from riskengine.writers.answers import open_answers
from tests.fixtures_geo import World
from tests.writers.decided import Row, decided
from tests.writers.standards import ECS, OCSF, faults

STANDARDS = {"ocsf": OCSF, "ecs": ECS}


@pytest.fixture(scope="module")
def rows(world: World) -> dict[str, Row]:
    return decided(world)


def documents(format_: str, rows: dict[str, Row], folder: Path) -> dict[str, dict[str, Any]]:
    with open_answers(folder / "out", format_) as write:
        for row in rows.values():
            write(*row)
    return dict(zip(rows, map(json.loads, (folder / "out").read_text().splitlines()), strict=True))


@pytest.mark.parametrize("format_", STANDARDS)
def test_every_document_is_what_its_standard_demands(format_: str, rows: dict[str, Row], tmp_path: Path) -> None:
    found = documents(format_, rows, tmp_path)

    assert [faults(STANDARDS[format_], document) for document in found.values()] == [[]] * len(rows)


def test_the_check_itself_sees_what_is_wrong(rows: dict[str, Row], tmp_path: Path) -> None:
    good = documents("ocsf", rows, tmp_path)["home"]
    without_user = {name: value for name, value in good.items() if name != "user"}

    assert faults(OCSF, without_user) == [".user is missing"]
    assert faults(OCSF, {**good, "class_uid": 3001}) == [".class_uid may not be 3001"]
    assert faults(OCSF, {**good, "session": {}}) == [".session is no object with members"]
    assert faults(OCSF, {**good, "colour": "red"}) == [".colour is not known"]
    assert faults(OCSF, {**good, "time": True}) == [".time may not be True"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param("home", (1, "Success", "Allowed", 1, False, 1), id="a_login_that_is_let_in"),
        pytest.param("away", (1, "Success", "Step-up required", 0, True, 4), id="a_login_that_is_asked_for_more"),
        pytest.param("denied", (1, "Success", "Blocked", 2, True, 4), id="a_right_password_that_is_denied"),
        pytest.param("nobody", (2, "Failure", "Allowed", 1, False, 1), id="a_wrong_password"),
        pytest.param("hostile", (0, "Unknown", "Allowed", 1, False, 1), id="an_unknown_outcome"),
    ],
)
def test_ocsf_tells_the_password_from_the_decision(
    row: str, expected: tuple[Any, ...], rows: dict[str, Row], tmp_path: Path
) -> None:
    found = documents("ocsf", rows, tmp_path)[row]
    told = [found[name] for name in ("status_id", "status", "disposition", "action_id", "is_alert", "severity_id")]

    assert tuple(told) == expected


def test_ocsf_says_who_where_and_why(rows: dict[str, Row], tmp_path: Path) -> None:
    found = documents("ocsf", rows, tmp_path)["away"]
    answer = rows["away"][0]

    assert found["time"] == 1_772_583_000_000
    assert found["user"] == {
        "name": "ana@example.org",
        "uid": "ana",
        "uid_alt": answer["user_ref"],
        "groups": [{"name": "staff"}, {"name": "admins"}],
    }
    assert found["src_endpoint"]["location"]["lat"] == 35.6895
    assert found["src_endpoint"]["autonomous_system"]["number"] == 4713
    assert found["metadata"]["uid"] == "away"
    assert found["message"].startswith(answer["reasons"][0]["message"])
    assert found["unmapped"]["riskengine"]["decision"] == "step_up"
    assert [reason["code"] for reason in found["unmapped"]["riskengine"]["reasons"]] == [
        reason["code"] for reason in answer["reasons"]
    ]


@pytest.mark.parametrize(("score", "whole"), [(0.0, 0), (0.4, 0), (0.5, 1), (52.5, 53), (99.4, 99), (100.0, 100)])
def test_ocsf_takes_whole_scores_only(score: float, whole: int, rows: dict[str, Row], tmp_path: Path) -> None:
    answer, event = rows["home"]

    assert documents("ocsf", {"x": ({**answer, "score": score}, event)}, tmp_path)["x"]["risk_score"] == whole


def test_what_is_no_login_is_another_activity(rows: dict[str, Row], tmp_path: Path) -> None:
    ocsf, ecs = (documents(name, rows, tmp_path)["hostile"] for name in STANDARDS)

    assert (ocsf["activity_id"], ocsf["type_uid"], ocsf["activity_name"]) == (99, 300299, "access")
    assert (ecs["event"]["action"], ecs["event"]["type"]) == ("access", ["info"])


def test_an_account_that_does_not_exist_has_no_invented_id(rows: dict[str, Row], tmp_path: Path) -> None:
    ocsf, ecs = (documents(name, rows, tmp_path)["nobody"] for name in STANDARDS)

    assert ocsf["user"] == {"name": "unknown"}
    assert set(ecs["user"]) == {"risk"}
    assert ecs["related"] == {"ip": ["10.1.2.3"]}


def test_ecs_says_who_where_and_why(rows: dict[str, Row], tmp_path: Path) -> None:
    found = documents("ecs", rows, tmp_path)["away"]
    answer = rows["away"][0]

    assert found["@timestamp"] == "2026-03-04T00:10:00.000Z"
    assert found["event"]["ingested"] == "2026-03-05T00:00:00.000Z"
    assert found["event"]["risk_score"] == answer["score"]
    assert found["source"]["geo"]["location"] == {"lat": 35.6895, "lon": 139.6917}
    assert found["source"]["as"]["number"] == 4713
    assert found["related"] == {"ip": ["198.51.100.10"], "user": ["ana", "ana@example.org"]}
    assert found["riskengine"]["decision"] == "step_up"
    assert all(set(reason) == {"code", "message", "points"} for reason in found["riskengine"]["reasons"])


def test_a_device_at_a_place_of_latitude_nought_has_a_place(rows: dict[str, Row], tmp_path: Path) -> None:
    answer, event = rows["home"]
    equator = {**answer["location"], "latitude": 0.0}
    ocsf, ecs = (documents(name, {"x": ({**answer, "location": equator}, event)}, tmp_path)["x"] for name in STANDARDS)

    assert ocsf["src_endpoint"]["location"]["lat"] == ecs["source"]["geo"]["location"]["lat"] == 0.0
