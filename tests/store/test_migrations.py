"""The migrations make exactly the tables the code speaks of, once, in both databases."""

import re
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from riskengine.errors import StoreUnavailable
from riskengine.settings import package_files
from riskengine.store.partitions import is_partition
from riskengine.store.schema import downgrade, is_behind, schema_status
from riskengine.store.sql import SqlStore, upgrade
from riskengine.store.tables import METADATA

HEAD = ScriptDirectory(str(package_files("migrations"))).get_current_head()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind in turn, with nothing in it; the SQLite file is not there yet, nor its folder."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/empty.db"
    return str(request.getfixturevalue("postgres_empty_url"))


def checks(connection: Connection) -> dict[str, list[str]]:
    """Return the words of every check constraint, which comparing metadata does not look at."""
    found = inspect(connection)
    return {
        table: sorted(
            f"{check['name']} {' '.join(re.findall(r'[a-z_0-9]+', str(check['sqltext'])))}"
            for check in found.get_check_constraints(table)
        )
        for table in METADATA.tables
    }


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory(str(package_files("migrations"))).get_heads()) == 1


def test_revisions_are_numbers_counted_up() -> None:
    revisions = [script.revision for script in ScriptDirectory(str(package_files("migrations"))).walk_revisions()]

    assert sorted(revisions) == [f"{number:04d}" for number in range(1, len(revisions) + 1)]


def test_an_upgrade_from_nothing_equals_the_tables(empty_url: str) -> None:
    upgrade(empty_url)

    engine = create_engine(empty_url)
    with engine.connect() as connection:
        names = {"include_name": lambda name, kind, _: kind != "table" or not is_partition(name)}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **names})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_an_upgrade_makes_the_same_checks_as_the_tables(empty_url: str) -> None:
    upgrade(empty_url)

    engine = create_engine(empty_url)
    with engine.begin() as connection:
        migrated = checks(connection)
        METADATA.drop_all(connection)
        METADATA.create_all(connection)
        assert migrated == checks(connection)
        assert len(migrated["events"]) == 7
    engine.dispose()


def test_the_status_tells_how_far_a_database_is(empty_url: str) -> None:
    assert schema_status(empty_url) == (None, HEAD)

    upgrade(empty_url)

    assert schema_status(empty_url) == (HEAD, HEAD)


def test_looking_at_the_status_makes_no_file(tmp_path: Path) -> None:
    schema_status(f"sqlite:///{tmp_path}/new/empty.db")

    assert list(tmp_path.iterdir()) == []


def test_upgrading_twice_changes_nothing(store_url: str) -> None:
    store = SqlStore(store_url)
    store.set_meta("kept", b"value")

    upgrade(store_url)

    assert store.meta("kept") == b"value"
    store.close()


def test_two_upgrades_at_once_both_end_well(empty_url: str) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(empty_url)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert schema_status(empty_url) == (HEAD, HEAD)


def test_a_downgrade_leaves_nothing_and_can_be_taken_back(store_url: str) -> None:
    downgrade(store_url, "base")

    assert schema_status(store_url) == (None, HEAD)
    engine = create_engine(store_url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()

    upgrade(store_url)
    SqlStore(store_url).close()


def test_a_store_refuses_a_database_that_is_not_migrated(store_url: str) -> None:
    downgrade(store_url, "base")

    with pytest.raises(StoreUnavailable, match="riskengine db upgrade"):
        SqlStore(store_url)


def test_a_store_notices_that_its_database_went_back(store_url: str) -> None:
    store = SqlStore(store_url)
    downgrade(store_url, "base")

    with pytest.raises(StoreUnavailable, match="riskengine db upgrade"):
        store.ping()
    store.close()


def test_a_database_ahead_of_the_code_is_served_and_left_alone(store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    upgrade(store_url)

    assert schema_status(store_url) == ("9999", HEAD)
    store = SqlStore(store_url)
    store.ping()
    store.close()


@pytest.mark.parametrize(
    ("found", "wanted", "behind"),
    [
        pytest.param(None, "0001", True, id="empty"),
        pytest.param("0001", "0002", True, id="below"),
        pytest.param("0002", "0002", False, id="at"),
        pytest.param("0003", "0002", False, id="above"),
    ],
)
def test_a_database_is_behind_only_when_it_lacks_something(found: str | None, wanted: str, behind: bool) -> None:
    assert is_behind(found, wanted) is behind


def test_a_folder_that_cannot_be_made_is_the_store_being_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreUnavailable, match="folder"):
        upgrade(f"sqlite:///{tmp_path}/file/new.db")
