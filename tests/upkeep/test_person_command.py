"""`riskengine export` and `riskengine erase`."""

import json
from pathlib import Path

import click
import pytest

from riskengine.app import open_seal, open_store
from riskengine.engine.engine import Engine
from riskengine.settings import load
from tests.doors import arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World
from tests.test_cli import Run
from tests.upkeep.test_person import login


@pytest.fixture
def logins(run: Run, home: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "create", "--scope", "score") == 0
    settings = load()
    store = open_store(settings)
    engine = Engine(store, locator_of(world), default_policy(), open_seal(settings, store))
    engine.run(arrivals_of([login("ana", 1), login("ben", 2), login("ana", 3)]))
    store.close()
    capsys.readouterr()


@pytest.mark.usefixtures("logins")
def test_one_is_exported_then_erased_with_proof(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "ana") == 0
    held = json.loads(capsys.readouterr().out)
    assert [one["event"]["event_id"] for one in held["events"]] == ["ana-1", "ana-3"]
    assert [line["action"] for line in held["audit"]] == ["person.export"]

    assert run("erase", "ana", "--yes") == 0

    said = capsys.readouterr().out
    assert "2  events" in said
    assert "Nothing of them is found any more: tables and files were searched" in said
    assert "The audit trail calls them erased-" in said
    assert run("export", "ana") == 0
    assert json.loads(capsys.readouterr().out)["events"] == []
    assert run("export", "ben") == 0
    assert len(json.loads(capsys.readouterr().out)["events"]) == 1


@pytest.mark.usefixtures("logins")
def test_nothing_goes_without_a_yes(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise click.Abort

    monkeypatch.setattr(click, "confirm", refuse)

    assert run("erase", "ana") == 130

    assert run("export", "ana") == 0
    assert len(json.loads(capsys.readouterr().out)["events"]) == 2
