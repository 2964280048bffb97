"""An import beside others who write to the same store."""

import threading
from contextlib import closing

import pytest
from sqlalchemy import text

from riskengine.engine.engine import Engine
from riskengine.errors import StoreUnavailable
from riskengine.event import Event
from riskengine.replay.lines import run_all
from riskengine.store.database import opened
from riskengine.store.sql import SqlStore
from tests.doors import SEAL, arrivals_of, default_policy, locator_of
from tests.fixtures_geo import World


def test_an_import_waits_for_a_store_that_another_holds(store_url: str, world: World) -> None:
    """Longer than a server would: a log that is moved into its file may keep all writers out for a second."""
    [arrival] = arrivals_of([Event("ana", "192.0.2.1", event_id="one", occurred_at=1_772_582_400_000)])
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(opened(store_url, 5.0)) as database, database.writing() as connection:
            if store_url.startswith("postgresql"):
                connection.execute(text("LOCK TABLE events"))
            held.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    with closing(SqlStore(store_url)) as store:
        engine = Engine(store, locator_of(world), default_policy(), SEAL)
        holder.start()
        assert held.wait(10)
        with pytest.raises(StoreUnavailable):
            engine.run([arrival])
        threading.Timer(1.0, done.set).start()

        [answer] = run_all(engine, [arrival])

        holder.join()
        assert isinstance(answer, dict)
        assert store.counts()["events"] == 1
