"""`riskengine policy …`, and running servers that follow it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, select

import riskengine.app
from riskengine.cli import riskengine as command_line
from riskengine.errors import NotFound, PolicyError, StoreUnavailable
from riskengine.policy.parse import parse
from riskengine.settings import package_files
from riskengine.store.schema import downgrade
from riskengine.store.tables import AUDIT
from tests.api.conftest import TOR, Service, running, settings_for
from tests.fixtures_geo import World

TEXT = (package_files("data") / "policy.toml").read_text()
Command = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT.replace('name = "default"', 'name = "mine"'))
    return file


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch, home: Path) -> Command:
    """Run `riskengine policy` with these words."""
    monkeypatch.setenv("RISKENGINE_HOME", str(home))

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(command_line, ["policy", *map(str, words)])

    return run


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, home: Path, world: World) -> Iterator[Callable[..., Service]]:
    """Start servers of one database that look for policies all the time."""
    monkeypatch.setattr(riskengine.app, "POLICY_SECONDS", 0.02)
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(running(settings_for(home, world, **given)))


def answered(service: Service) -> dict[str, Any]:
    """Return the preview of a login through Tor, which the shipped policy steps up."""
    answer: dict[str, Any] = service.post("/score/preview", {"user_id": "ana", "ip": TOR}).json()
    return answer


def until(service: Service, name: str, mode: str = "enforce") -> dict[str, Any]:
    """Return an answer as soon as it is by that policy in that mode."""
    end = time.monotonic() + 5
    while True:
        answer = answered(service)
        if (answer["policy"]["name"], answer["policy"]["mode"]) == (name, mode):
            return answer
        assert time.monotonic() < end, answer["policy"]
        time.sleep(0.01)


def test_a_policy_is_checked_and_what_is_odd_is_a_warning(policy: Command, policy_file: Path) -> None:
    policy_file.write_text(policy_file.read_text().replace("new_agent = ", "new_agent = 0  # "))

    found = policy("check", policy_file)

    assert (found.exit_code, found.stdout.count("is right")) == (0, 1)
    assert found.stderr == "warning: weights.new_agent is 0: the signal is never told\n"
    policy_file.write_text("name = 1")
    assert isinstance(policy("check", policy_file).exception, PolicyError)


def test_looking_makes_no_database_and_shows_the_file(policy: Command, home: Path) -> None:
    assert policy("show").stdout == TEXT
    assert "as soon as a server starts" in policy("status").stdout
    assert not home.exists()


def test_nothing_is_rolled_back_or_put_in_a_mode_before_there_is_a_policy_in_force(policy: Command) -> None:
    assert isinstance(policy("rollback").exception, NotFound)
    assert isinstance(policy("mode", "observe").exception, NotFound)


def test_what_is_activated_is_shown_listed_and_rolled_back(policy: Command, policy_file: Path) -> None:
    policy("activate", policy_file)
    mine = policy_file.read_text()
    policy_file.write_text(mine.replace('"mine"', '"mine too"'))
    activated = policy("activate", policy_file)

    assert "Policy mine too, version" in activated.stderr
    assert policy("show").stdout == policy_file.read_text()
    assert "Policy mine, version" in policy("rollback").stderr
    assert policy("show").stdout == mine
    assert [line.split()[2] for line in policy("list").stdout.splitlines()] == [
        "version", *(["rollback", "activate", "activate"])
    ]  # fmt: skip


def test_the_status_says_mode_and_by_whose_word(policy: Command, policy_file: Path) -> None:
    policy("activate", policy_file)
    set_to = policy("mode", "observe")

    found = policy("status")

    assert "mode observe (set, whatever the policy states" in set_to.stderr
    assert "observe (set by cli" in found.stdout
    assert "is not the one in force" in found.stderr
    policy("mode", "as-written")
    assert "enforce (as written)" in policy("status").stdout


def test_a_broken_file_does_not_hide_what_is_in_force(
    policy: Command, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy("activate", policy_file)
    monkeypatch.setenv("RISKENGINE_POLICY", str(policy_file))
    good = policy_file.read_text()
    policy_file.write_text("name = 1")

    found = policy("status")

    assert "mine" in found.stdout
    assert isinstance(found.exception, PolicyError)
    assert policy("show").stdout == good


def test_every_server_follows_what_an_operator_says(
    policy: Command, policy_file: Path, served: Callable[..., Service]
) -> None:
    one, other = served(), served()
    assert answered(one)["decision"] == "step_up"
    policy_file.write_text(policy_file.read_text().replace("\nstep_up = ", "\nstep_up = 99.0  # "))

    policy("activate", policy_file)
    assert [until(server, "mine")["decision"] for server in (one, other)] == ["allow", "allow"]
    policy("rollback")
    assert [until(server, "default")["decision"] for server in (one, other)] == ["step_up", "step_up"]
    policy("mode", "observe")
    for server in (one, other):
        answer = until(server, "default", "observe")
        assert (answer["decision"], answer["would_be"]) == ("allow", "step_up")
    policy("mode", "as-written")
    assert [until(server, "default")["decision"] for server in (one, other)] == ["step_up", "step_up"]


def test_a_running_server_takes_up_its_changed_file_and_survives_a_broken_one(
    served: Callable[..., Service], policy_file: Path
) -> None:
    server = served(policy=policy_file)
    assert answered(server)["policy"]["name"] == "mine"
    policy_file.write_text("broken")
    while not server.parts.rulebook.problems:
        time.sleep(0.01)
    assert answered(server)["policy"]["name"] == "mine"
    assert "riskengine_policy_problems 1.0" in server.client.get("/metrics").text

    policy_file.write_text(TEXT.replace('name = "default"', 'name = "newer"'))

    until(server, "newer")
    assert server.client.get("/readyz").status_code == 200


def test_a_running_server_takes_up_a_changed_shadow_policy(served: Callable[..., Service], policy_file: Path) -> None:
    server = served(shadow_policy=policy_file)
    assert answered(server)["shadow"]["policy"]["name"] == "mine"
    policy_file.write_text(TEXT.replace("\nstep_up = ", "\nstep_up = 99.0  # ").replace('"default"', '"lenient"'))

    end = time.monotonic() + 5
    while (answer := answered(server))["shadow"]["policy"]["name"] != "lenient":
        assert time.monotonic() < end, answer["shadow"]
        time.sleep(0.01)
    assert (answer["decision"], answer["shadow"]["decision"]) == ("step_up", "allow")
    assert answer["policy"]["name"] == "default"


def test_a_database_of_an_earlier_version_is_not_taken_for_one_without_changes(
    policy: Command, policy_file: Path, home: Path
) -> None:
    policy("activate", policy_file)
    downgrade(f"sqlite:///{home}/data/riskengine.db", "0001")

    found = policy("status")

    assert isinstance(found.exception, StoreUnavailable)
    assert "run riskengine db upgrade" in str(found.exception)


def test_changes_by_the_command_line_are_audited(policy: Command, policy_file: Path, home: Path) -> None:
    policy("activate", policy_file)

    engine = create_engine(f"sqlite:///{home}/data/riskengine.db")
    with engine.connect() as connection:
        [(actor, action, what)] = connection.execute(select(AUDIT.c.actor, AUDIT.c.action, AUDIT.c.object))
    engine.dispose()
    assert (actor[:3], action, what) == ("cli", "policy.activate", parse(policy_file.read_text()).version)
