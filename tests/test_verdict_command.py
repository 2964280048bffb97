"""`riskengine verdict`: counted first, asked, given, taken back."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from riskengine.cli import riskengine
from riskengine.event import Event
from tests.doors import EPOCH, arrivals_of
from tests.fixtures_geo import World
from tests.test_cli import Run, home, run
from tests.test_remediate_command import at_risk, engine

__all__ = ["home", "run"]


def test_it_is_counted_given_and_undone(
    run: Run, capsys: pytest.CaptureFixture[str], home: Path, world: World
) -> None:
    with engine(home, world) as one:
        one.run(arrivals_of([Event("ana", "192.0.2.10", f"e{n}", EPOCH + n * 60_000) for n in range(3)]))

    assert run("verdict", "--user", "ana", "--since", "2026-01-01T00:00:00Z", "confirmed_compromised", "--yes") == 0
    given = capsys.readouterr()
    assert "confirmed_compromised: 3 events." in given.err
    assert "3 done, 0 left as they were." in given.err
    with engine(home, world) as one:
        assert at_risk(one, "ana")

    assert run("verdict", "undo", given.out.strip(), "--yes") == 0
    assert "withdraw the verdict: 3 events." in capsys.readouterr().err
    with engine(home, world) as one:
        assert not at_risk(one, "ana")


def test_without_a_yes_nothing_is_done(run: Run, home: Path, world: World) -> None:
    with engine(home, world) as one:
        one.run(arrivals_of([Event("ana", "192.0.2.10", "e1", EPOCH)]))

    answer = CliRunner().invoke(riskengine, ["verdict", "--user", "ana", "confirmed_compromised"], input="n\n")

    assert (answer.exit_code, "1 events" in answer.stderr) == (1, True)
    with engine(home, world) as one:
        assert not at_risk(one, "ana")


def test_nothing_that_matches_is_said_and_a_wrong_filter_named(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verdict", "--user", "nobody", "dismissed") == 0
    assert "dismissed: 0 events." in capsys.readouterr().err
    assert run("verdict", "--cidr", "x", "dismissed") == 2
    assert run("verdict", "--user", "ana", "undo", "0123456789") == 2
    assert run("verdict", "undo", "0123456789") == 1
