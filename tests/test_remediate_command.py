"""`riskengine remediate`: an account is back with its owner, whichever process says so."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from riskengine.app import open_seal, open_store
from riskengine.engine.engine import Engine
from riskengine.engine.saved import load_histories
from riskengine.event import Event, Report
from riskengine.settings import Settings
from tests.doors import EPOCH, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World
from tests.test_cli import Run, home, run

__all__ = ["home", "run"]


@contextmanager
def engine(home: Path, world: World) -> Iterator[Engine]:
    settings = Settings(home=home)
    (home / "data").mkdir(parents=True, exist_ok=True)
    store = open_store(settings)
    yield Engine(store, locator_of(world), default_policy(), open_seal(settings, store))
    store.close()


def at_risk(engine: Engine, user: str) -> bool:
    ref = engine.tokeniser.user_ref("default", user)
    with engine.store.transaction() as tx:
        return bool(load_histories(tx, [ref], {ref: "default"}, engine.seal)["at_risk"][0])


def test_a_user_is_no_longer_at_risk_and_it_is_audited(
    run: Run, capsys: pytest.CaptureFixture[str], home: Path, world: World
) -> None:
    with engine(home, world) as one:
        report = Report("e1", "confirmed_compromised", at=EPOCH + 1000)
        one.run(arrivals_of([Event("ana", "192.0.2.10", "e1", EPOCH), report]))
        assert at_risk(one, "ana")

    assert run("remediate", "ana") == 0
    assert run("remediate", "ana") == 0, "once more is no matter"

    with engine(home, world) as one:
        assert not at_risk(one, "ana")
    capsys.readouterr()
    run("audit", "list")
    assert capsys.readouterr().out.count("user.remediate") == 2


def test_somebody_unknown_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("remediate", "nobody") == 1
    assert "there is no such user" in capsys.readouterr().err
