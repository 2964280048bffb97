"""The audit trail: only ever appended to, each line linked to those before it; what is not whole is found."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from riskengine.audit import Audit, detail_of, verify
from riskengine.cli import main
from riskengine.seal import Seal
from riskengine.store.schema import downgrade, upgrade
from riskengine.store.sql import SqlStore

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e=1+1" + "x" * 10_000


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    made = SqlStore(store_url)
    yield made
    made.close()


def write(store: SqlStore, seal: Seal, lines: int) -> None:
    audit = Audit(store, seal)
    for at in range(lines):
        audit.record(at, "default", "ops", "event.read", "event", event_id=f"e{at}")


def tamper(url: str, *statements: str) -> None:
    """Do what only the owner of the database can: take the triggers away, then change the trail."""
    engine = create_engine(url)
    on = " ON audit" if url.startswith("postgresql") else ""
    with engine.begin() as connection:
        for trigger in ("audit_no_update", "audit_no_delete"):
            connection.execute(text(f"DROP TRIGGER {trigger}{on}"))
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 'me'", "UPDATE audit SET link = NULL", "DELETE FROM audit"]
)
def test_the_database_refuses_to_change_the_trail(
    store: SqlStore, store_url: str, seal: Seal, statement: str
) -> None:
    write(store, seal, 2)
    engine = create_engine(store_url)

    with pytest.raises(DatabaseError, match="only ever appended to"), engine.begin() as connection:
        connection.execute(text(statement))

    engine.dispose()
    assert verify(store.audit_lines(), seal).lines == 2


def test_a_whole_trail_has_no_faults_and_an_earlier_head_is_met(store: SqlStore, seal: Seal) -> None:
    assert verify(store.audit_lines(), seal).head is None
    write(store, seal, 2)
    noted = verify(store.audit_lines(), seal).head
    write(store, seal, 2)

    found = verify(store.audit_lines(), seal, noted)

    assert (found.lines, found.faults) == (4, [])
    assert found.head != noted
    assert next(detail_of(line, seal) for line in store.audit_newest()) == {"event_id": "e1"}


SWAPPED = ("UPDATE audit SET id = 99 WHERE id = 3", "UPDATE audit SET id = 3 WHERE id = 4",
           "UPDATE audit SET id = 4 WHERE id = 99")  # fmt: skip


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        pytest.param(("UPDATE audit SET actor = 'me' WHERE id = 3",), "line 3 ", id="an_actor_altered"),
        pytest.param(("UPDATE audit SET at = 9 WHERE id = 3",), "line 3 ", id="a_time_altered"),
        pytest.param(("DELETE FROM audit WHERE id = 3",), "lines between 2 and 4 are missing", id="a_line_missing"),
        pytest.param(("DELETE FROM audit WHERE id = 1",), "lines between 0 and 2 are missing", id="the_first_missing"),
        pytest.param(SWAPPED, "line 3 ", id="two_lines_swapped"),
        pytest.param(
            ("UPDATE audit SET detail = (SELECT detail FROM audit WHERE id = 4) WHERE id = 3",),
            "line 3: ",
            id="a_detail_of_another_line",
        ),
        pytest.param(
            ("UPDATE audit SET link = NULL, actor = 'me' WHERE id = 3",), "line 3: ", id="altered_and_unlinked"
        ),
    ],
)
def test_what_was_done_to_the_trail_is_found(
    store: SqlStore, store_url: str, seal: Seal, statements: tuple[str, ...], said: str
) -> None:
    write(store, seal, 5)
    tamper(store_url, *statements)

    faults = verify(store.audit_lines(), seal).faults

    assert any(said in fault for fault in faults), faults


def test_an_end_cut_off_is_noticed_by_a_noted_head(store: SqlStore, store_url: str, seal: Seal) -> None:
    write(store, seal, 5)
    noted = verify(store.audit_lines(), seal).head
    tamper(store_url, "DELETE FROM audit WHERE id = 5")

    assert verify(store.audit_lines(), seal).faults == []
    assert verify(store.audit_lines(), seal, noted).faults == [
        f"the noted head {noted} is not met: lines up to it were changed or cut off"
    ]


def test_lines_from_before_the_links_are_taken_up(store: SqlStore, store_url: str, seal: Seal) -> None:
    write(store, seal, 3)
    downgrade(store_url, "0007")
    upgrade(store_url)
    write(store, seal, 2)
    assert verify(store.audit_lines(), seal).faults == []

    tamper(store_url, "DELETE FROM audit WHERE id = 2")

    assert "lines between 1 and 3 are missing" in verify(store.audit_lines(), seal).faults[0]


def test_lines_of_a_server_of_an_older_version_are_covered_by_the_next(
    store: SqlStore, store_url: str, seal: Seal
) -> None:
    write(store, seal, 2)
    engine = create_engine(store_url)
    copy = "INSERT INTO audit (at, realm, actor, action, object, detail) "
    with engine.begin() as connection:
        for _ in range(2):
            connection.execute(text(copy + "SELECT at, realm, actor, action, object, detail FROM audit WHERE id = 1"))
    engine.dispose()
    write(store, seal, 2)
    assert verify(store.audit_lines(), seal).faults == []

    tamper(store_url, "DELETE FROM audit WHERE id = 3")

    assert verify(store.audit_lines(), seal).faults


def test_writers_at_once_make_one_chain(store: SqlStore, store_url: str, seal: Seal) -> None:
    others = [SqlStore(store_url) for _ in range(4)]
    threads = [threading.Thread(target=write, args=(other, seal, 10)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for other in others:
        other.close()

    found = verify(store.audit_lines(), seal)

    assert (found.lines, found.faults) == (40, [])


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "home"))

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["riskengine", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(str(ended.value.code))

    return run


def test_the_command_line_lists_and_verifies(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "create", "--name", "login", "--scope", "score") == 0
    assert run("audit", "list", "--object", HOSTILE) == 0
    capsys.readouterr()

    assert run("audit", "list", "--since", "1h", "--format", "ndjson") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert run("audit", "list") == 0
    table = capsys.readouterr().out
    assert run("audit", "verify") == 0
    head = capsys.readouterr().out.strip()
    assert run("audit", "verify", "--head", head) == 0
    assert run("audit", "verify", "--head", "2:0") == 1

    assert [line["action"] for line in lines] == ["audit.list", "audit.list", "key.create"]
    assert lines[1]["detail"]["asked"] == [f"object={HOSTILE}"]
    assert lines[2]["detail"]["name"] == "login"
    assert not {"\x1b", "\u202e"} & set(table)
    assert max(map(len, table.splitlines())) < 400
    assert run("audit", "list", "--since", "yesterday") == 2
