"""Which policy is in force: the last change, on every server; what is broken leaves what there was."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from riskengine.activation import Changes, Rulebook, policy_of, takes_up
from riskengine.audit import Audit
from riskengine.errors import NotFound, PolicyError, StoreUnavailable
from riskengine.metrics import POLICY_PROBLEMS
from riskengine.policy.parse import parse
from riskengine.settings import Settings, package_files
from riskengine.store.contract import PolicyRow, Store
from riskengine.store.memory import MemoryStore
from tests.doors import SEAL

TEXT = (package_files("data") / "policy.toml").read_text()


def named(name: str) -> str:
    """Return the text of a policy of that name."""
    return TEXT.replace('name = "default"', f'name = "{name}"')


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "policy.toml"
    made.write_text(named("first"))
    return made


def changes_of(store: Store) -> Changes:
    return Changes(store, Audit(store, SEAL), "cli:ops")


def rulebook(store: Store, file: Path | None, shadow: Path | None = None) -> Rulebook:
    """Return the rulebook of a server that has just started."""
    made = Rulebook(store, Audit(store, SEAL), Settings(policy=file, shadow_policy=shadow))
    made.refresh(1)
    return made


def activate(store: Store, name: str) -> PolicyRow:
    return changes_of(store).activate(named(name), parse(named(name)), 2)


def actions(store: Store) -> list[str]:
    return [row.action for row in store.policies(99)][::-1]


def test_a_start_puts_the_file_in_force_once(store: Store, file: Path) -> None:
    assert rulebook(store, file).policy.name == "first"
    assert rulebook(store, file).policy.name == "first"
    assert actions(store) == ["file"]


def test_a_changed_file_is_taken_up_by_every_server(store: Store, file: Path) -> None:
    one, other = rulebook(store, file), rulebook(store, file)
    file.write_text(named("second"))

    assert one.refresh(2)
    assert other.refresh(3)
    assert not one.refresh(4)
    assert (one.policy.name, other.policy.name, actions(store)) == ("second", "second", ["file", "file"])


def test_a_file_that_changes_back_is_a_change(store: Store, file: Path) -> None:
    server = rulebook(store, file)
    for name in ("second", "first"):
        file.write_text(named(name))
        server.refresh(2)

    assert (server.policy.name, len(actions(store))) == ("first", 3)


def test_servers_with_different_files_follow_the_last_that_was_changed_and_do_not_fight(
    store: Store, file: Path, tmp_path: Path
) -> None:
    other_file = tmp_path / "other.toml"
    other_file.write_text(named("other"))
    one, other = rulebook(store, file), rulebook(store, other_file)

    for at in range(5):
        one.refresh(at)
        other.refresh(at)

    assert (one.policy.name, other.policy.name, len(actions(store))) == ("other", "other", 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param('name = "half', "is not TOML", id="no_toml"),
        pytest.param(TEXT.replace("\nstep_up = ", "\nstep_up = 400  # "), "thresholds.step_up", id="out_of_bounds"),
        pytest.param(None, "cannot be read", id="gone"),
    ],
)
def test_a_broken_file_keeps_the_old_policy_says_so_once_and_is_mended_by_a_good_one(
    file: Path, text: str | None, told: str
) -> None:
    server = rulebook(MemoryStore(), file)
    file.unlink() if text is None else file.write_text(text)

    with capture_logs() as logged:
        assert not any(server.refresh(at) for at in range(3))

    assert [line["event"] for line in logged] == ["policy not taken up"]
    assert told in server.problems["file"] == logged[0]["reason"]
    assert (server.policy.name, POLICY_PROBLEMS._value.get()) == ("first", 1)
    file.write_text(named("first"))
    server.refresh(9)
    assert (server.problems, POLICY_PROBLEMS._value.get()) == ({}, 0)


def test_a_broken_file_stops_a_start(file: Path) -> None:
    file.write_text("name = 1")

    with pytest.raises(PolicyError, match=r"policy\.toml"):
        rulebook(MemoryStore(), file)


def test_what_is_activated_holds_until_the_file_changes(store: Store, file: Path) -> None:
    server = rulebook(store, file)
    activate(store, "other")

    assert server.refresh(3)
    assert server.policy.name == "other"
    assert rulebook(store, file).policy.name == "other", "a start does not take it back"
    file.write_text(named("newer"))
    server.refresh(4)
    assert server.policy.name == "newer"


def test_a_rollback_goes_to_the_policy_before_and_a_second_one_back(store: Store, file: Path) -> None:
    server, changes = rulebook(store, file), changes_of(store)
    activate(store, "other")

    names = []
    for at in range(3):
        changes.roll_back(None, at)
        server.refresh(at)
        names.append(server.policy.name)

    assert names == ["first", "other", "first"]
    file.write_text(named("newer"))
    server.refresh(9)
    assert server.policy.name == "newer"


def test_a_rollback_can_name_the_version(store: Store, file: Path) -> None:
    rulebook(store, file)
    wanted = activate(store, "second").version
    activate(store, "third")
    activate(store, "fourth")

    assert changes_of(store).roll_back(wanted[:6], 5).name == "second"
    with pytest.raises(NotFound, match="version nonsense"):
        changes_of(store).roll_back("nonsense", 6)


def test_there_is_no_rollback_and_no_mode_before_anything_was_in_force(store: Store) -> None:
    with pytest.raises(NotFound):
        changes_of(store).roll_back(None, 1)
    with pytest.raises(NotFound):
        changes_of(store).set_mode("observe", 1)


def test_there_is_no_rollback_from_the_only_policy_there_was(store: Store, file: Path) -> None:
    rulebook(store, file)

    with pytest.raises(NotFound):
        changes_of(store).roll_back(None, 1)


def test_a_mode_stays_through_other_changes_until_it_is_lifted(store: Store, file: Path) -> None:
    server, changes = rulebook(store, file), changes_of(store)
    found = []
    for change in (
        lambda: changes.set_mode("observe", 2),
        lambda: activate(store, "other"),
        lambda: changes.roll_back(None, 3),
        lambda: file.write_text(named("newer")),
        lambda: changes.set_mode(None, 4),
    ):
        change()
        server.refresh(5)
        found.append(server.policy.mode)

    assert found == ["observe", "observe", "observe", "observe", "enforce"]


def test_the_mode_does_not_change_the_version(store: Store, file: Path) -> None:
    server = rulebook(store, file)
    version = server.policy.version
    changes_of(store).set_mode("observe", 2)
    server.refresh(3)

    assert (server.policy.version, server.policy.mode) == (version, "observe")


def test_every_change_is_audited_with_who_did_it(file: Path) -> None:
    store = MemoryStore()
    rulebook(store, file)
    activate(store, "other")
    changes_of(store).roll_back(None, 3)
    changes_of(store).set_mode("observe", 4)

    trail = [(actor, action, what) for _, _, actor, action, what, _ in store.trail]
    first, other = store.policies(9)[-1].version, store.policies(9)[-2].version
    assert trail == [
        ("server", "policy.file", first),
        ("cli:ops", "policy.activate", other),
        ("cli:ops", "policy.rollback", first),
        ("cli:ops", "policy.mode", first),
    ]


@pytest.mark.parametrize(
    ("before", "takes"),
    [
        pytest.param([], True, id="the_first_start"),
        pytest.param(["file"], True, id="an_older_shipped_policy"),
        pytest.param(["file", "mode"], True, id="an_older_shipped_policy_in_a_mode"),
        pytest.param(["file", "activate"], False, id="what_an_operator_activated"),
        pytest.param(["activate"], False, id="what_an_operator_activated_before_the_first_start"),
    ],
)
def test_a_newly_shipped_policy_replaces_only_an_older_shipped_one(before: list[str], takes: bool) -> None:
    store = MemoryStore()
    for action in before:
        if action == "file":
            changes_of(store).take_up(named("old"), parse(named("old")), True, 1)
        elif action == "mode":
            changes_of(store).set_mode("observe", 1)
        else:
            activate(store, "own")

    assert takes_up(next(iter(store.policies(1)), None), "newer", True) is takes
    assert (rulebook(store, None).policy.name == "default") is takes


def test_a_stored_policy_that_this_version_cannot_read_keeps_the_old_one(file: Path) -> None:
    store = MemoryStore()
    server = rulebook(store, file)
    newer = f"{named('newer')}\n[table_of_tomorrow]\n"
    store.add_policy(PolicyRow(0, 2, "cli:ops", "activate", "abc", "newer", newer, None, server.policy.version))

    with capture_logs() as logged:
        assert not server.refresh(3)
        assert not server.refresh(4)

    assert ["table_of_tomorrow" in line["reason"] for line in logged] == [True]
    assert server.policy.name == "first"
    activate(store, "third")
    assert server.refresh(5)
    assert server.problems == {}


def test_a_store_that_does_not_answer_keeps_the_policy_and_the_change_for_later(file: Path) -> None:
    store = FailingStore()
    server = rulebook(store, file)
    file.write_text(named("second"))
    store.fails = True
    assert not server.refresh(2)
    assert "database" in server.problems

    store.fails = False

    assert server.refresh(3)
    assert (server.policy.name, server.problems) == ("second", {})


class FailingStore(MemoryStore):
    """A store that can be told not to answer."""

    fails = False

    def ping(self) -> None:
        if self.fails:
            raise StoreUnavailable("told not to answer")


def test_a_shadow_policy_is_taken_up_beside_and_a_broken_one_kept(store: Store, file: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow.toml"
    shadow.write_text(named("shadow"))
    server = rulebook(store, file, shadow)
    names = [server.shadow and server.shadow.name]
    for text in (named("other"), "broken", named("third")):
        shadow.write_text(text)
        server.refresh(2)
        names.append(server.shadow and server.shadow.name)

    assert names == ["shadow", "other", "other", "third"]
    assert (server.policy.name, actions(store), server.problems) == ("first", ["file"], {})


def test_a_row_is_a_policy_in_the_mode_that_was_set() -> None:
    row = PolicyRow(1, 1, "x", "mode", "v", "default", TEXT, "observe", "v")

    assert policy_of(row).mode == "observe"
