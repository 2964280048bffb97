"""Upkeep: what a server does beside scoring, and that nothing comes of it when it fails."""

from contextlib import closing
from pathlib import Path

import pytest

from riskengine.metrics import UPKEEP_FAILURES
from riskengine.settings import Settings
from riskengine.store.database import opened
from riskengine.store.lease import Lease
from riskengine.store.partitions import keep
from riskengine.upkeep.upkeep import Upkeep
from tests.doors import SEAL
from tests.store.test_partitions import months_on, parts


def failures() -> float:
    [metric] = UPKEEP_FAILURES.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_total"))


def test_a_server_makes_partitions_ahead(postgres_url: str, tmp_path: Path) -> None:
    month = months_on(0)[0]

    Upkeep(Settings(home=tmp_path, database_url=postgres_url), SEAL).run(month)

    assert len(parts(postgres_url)) == 6
    assert keep(postgres_url, month, 400).made == ()


def test_a_failure_is_counted_told_and_not_passed_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = failures()

    Upkeep(Settings(home=tmp_path, database_url="postgresql://postgres@/none?host=/nowhere"), SEAL).run(0)

    assert failures() == before + 2
    assert "upkeep failed" in caplog.text


def test_a_stopped_one_does_nothing_more(postgres_url: str, tmp_path: Path) -> None:
    upkeep = Upkeep(Settings(home=tmp_path, database_url=postgres_url), SEAL)

    upkeep.stop()
    upkeep.run(months_on(0)[0])

    assert parts(postgres_url) == ["events_before", "events_default"]


def test_one_that_finds_another_at_it_says_so_until_that_one_is_done(store_url: str, tmp_path: Path) -> None:
    upkeep, now = Upkeep(Settings(home=tmp_path, database_url=store_url), SEAL), months_on(0)[0]
    with closing(opened(store_url, 5.0)) as database:
        other = Lease(database, "upkeep")
        assert other.held()

        upkeep.run(now)
        assert upkeep.left_to_another

        other.release()
    upkeep.run(now)
    assert not upkeep.left_to_another
