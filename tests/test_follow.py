"""`riskengine events --follow`: what is stored is printed once, as it comes, whatever ends and begins again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from riskengine.app import make_home, open_seal, open_store
from riskengine.cli import riskengine as command_line
from riskengine.errors import InvalidInput
from riskengine.seal import Keys, Seal
from riskengine.settings import Settings
from riskengine.store.sql import SqlStore
from tests.conftest import PostgresServer
from tests.fixtures_geo import World
from tests.inquiry.events import Login, save
from tests.served import environment_of, settings_of

SECONDS = 30


class History:
    """A store with a history of its own; `log_in` adds to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store: SqlStore = open_store(settings)
        self.seal: Seal = open_seal(settings, self.store)

    def log_in(self, *numbers: int, **given: Any) -> None:
        save(self.store, self.seal, [Login(number, **given) for number in numbers])

    def command(self, *words: str) -> Result:
        """Run the command in this process."""
        runner = CliRunner(env=environment_of(self.settings))
        return runner.invoke(command_line, ["events", *words], catch_exceptions=False, standalone_mode=False)

    def run(self, *words: str) -> Result:
        """Follow until it ends by itself."""
        done = self.command("--follow", *words)
        assert done.exit_code == 0
        return done

    @contextmanager
    def follower(self, *words: str, **streams: Any) -> Iterator[subprocess.Popen[str]]:
        """Run the command until the block ends."""
        command = [sys.executable, "-m", "riskengine", "events", "--follow", *words]
        given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **streams}
        with subprocess.Popen(command, env=environment_of(self.settings), **given) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def history(tmp_path: Path, world: World) -> Iterator[History]:
    settings = settings_of(tmp_path / "home", world)
    make_home(settings)
    made = History(settings)
    yield made
    made.store.close()


def lines(stream: IO[str] | None, count: int) -> list[str]:
    assert stream is not None
    return [stream.readline().rstrip("\n") for _ in range(count)]


def ids(told: list[str]) -> list[str]:
    return [json.loads(line)["answer"]["event_id"] for line in told]


def ended(process: subprocess.Popen[str], number: signal.Signals = signal.SIGINT) -> str:
    """Stop a follower as Ctrl-C does; return the cursor that it tells."""
    process.send_signal(number)
    rest, told = process.communicate(timeout=SECONDS)
    assert (process.returncode, rest) == (0, "")
    found = re.search(r"^The same with --after (\S+) goes on from here\.$", told, re.MULTILINE)
    assert found is not None, told
    return found[1]


def test_what_comes_is_printed_at_once_and_another_one_goes_on_behind_it(history: History) -> None:
    history.log_in(1, 2)
    with history.follower("--format", "ndjson", "--after", "start") as process:
        assert ids(lines(process.stdout, 2)) == ["e1", "e2"]
        history.log_in(3)
        history.log_in(5, 4)
        assert ids(lines(process.stdout, 3)) == ["e3", "e5", "e4"]
        cursor = ended(process, signal.SIGINT)
    history.log_in(6)
    with history.follower("--format", "ndjson", "--after", cursor) as process:
        assert ids(lines(process.stdout, 1)) == ["e6"]
        history.log_in(7)
        assert ids(lines(process.stdout, 1)) == ["e7"]
        cursor = ended(process, signal.SIGTERM)
    history.log_in(8, 9)
    first = history.run("--format", "ndjson", "--after", cursor, "--limit", "1")
    [cursor] = re.findall(r"--after (\S+)", first.stderr)
    second = history.run("--format", "ndjson", "--after", cursor, "--limit", "1")
    assert ids([first.stdout, second.stdout]) == ["e8", "e9"]


@pytest.mark.parametrize(
    ("format_", "head", "line"),
    [
        ("table", "time +decision +score +user", r"20\S+ +deny +12.5 +ana<U\+001B>\[31m +192\.0\.2\.10 "),
        ("csv", "occurred_at,received_at,event_id,", "[^,]+,[^,]+,e1,"),
        ("ocsf", None, r'\{.*"class_uid":3002'),
        ("ecs", None, r'\{.*"@timestamp":'),
    ],
)
def test_a_follower_prints_what_matches_in_each_format(
    history: History, format_: str, head: str | None, line: str
) -> None:
    history.log_in(0)
    history.log_in(1, decision="deny", user="ana\x1b[31m")
    done = history.run("--format", format_, "--decision", "deny", "--after", "start", "--limit", "1")
    wanted, told = [line] if head is None else [head, line], done.stdout.splitlines()
    assert len(told) == len(wanted)
    for pattern, found in zip(wanted, told, strict=True):
        assert re.match(pattern, found), found


def test_without_a_cursor_only_what_comes_is_printed(history: History) -> None:
    history.log_in(1)
    with history.follower("--format", "ndjson") as process:
        until_following(history)
        history.log_in(2)
        assert ids(lines(process.stdout, 1)) == ["e2"]


def until_following(history: History) -> None:
    """Wait until a follower has asked where now is."""
    end = time.monotonic() + SECONDS
    while not any(line.action == "events.follow" for line in history.store.audit_lines()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_store_that_is_away_for_a_while_is_asked_again(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path, world: World
) -> None:
    settings = settings_of(tmp_path / "home", world, database_url=postgres_url)
    make_home(settings)
    Keys.generate().write(settings.key_file)
    history, name = History(settings), str(make_url(postgres_url).database)
    history.log_in(1)
    with history.follower("--format", "ndjson", "--after", "start") as process:
        assert ids(lines(process.stdout, 1)) == ["e1"]
        postgres_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres_server.end_sessions(name)
        assert lines(process.stderr, 1)[0].endswith("; it is asked again until it does.")
        postgres_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        history.log_in(2)
        assert ids(lines(process.stdout, 1)) == ["e2"]
        ended(process)
    history.store.close()


def test_nobody_who_reads_ends_it_quietly(history: History) -> None:
    heard, told = os.pipe()
    with history.follower("--format", "ndjson", "--after", "start", stdout=told) as process:
        os.close(told)
        history.log_in(1)
        with os.fdopen(heard) as reader:
            assert ids([reader.readline()]) == ["e1"]
        history.log_in(2)
        _, hint = process.communicate(timeout=SECONDS)
    assert (process.returncode, hint) == (0, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--follow", "--after", "nonsense"], "/after is not a cursor of this search"),
        (["--after", "start"], "--after goes with --follow"),
    ],
)
def test_what_makes_no_sense_is_refused(history: History, words: list[str], says: str) -> None:
    with pytest.raises((InvalidInput, click.UsageError), match=says):
        history.command(*words)
