"""`riskengine keys` over the keys that seal."""

import json
from pathlib import Path

import pytest

from riskengine.keyring import Keys
from tests.test_cli import Run


def test_a_rotation_is_told_audited_and_ends_with_the_older_key_retired(
    run: Run,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = home / "keys" / "seal.json"
    assert run("keys", "create", "--scope", "score") == 0
    first = Keys.read(file).current
    capsys.readouterr()

    assert run("keys", "rotate", "--no-wait") == 0
    assert run("keys", "status") == 0
    table = capsys.readouterr().out
    second = Keys.read(file).current
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [[second, "current", "1"], [first, "older", "1"]]

    assert run("keys", "retire") == 0
    assert f"Key {first} stays: it sealed audit.detail 1." in capsys.readouterr().err
    assert run("keys", "reseal") == 0
    assert "2 values" not in capsys.readouterr().err
    assert run("keys", "retire") == 0
    assert f"Key {first} is retired" in capsys.readouterr().err
    assert Keys.read(file).seal.keys() == {second}
    assert run("keys", "list") == 0
    assert run("doctor") == 0


def test_a_key_is_prepared_for_other_machines_first(
    run: Run,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = home / "keys" / "seal.json"
    assert run("keys", "create", "--scope", "score") == 0
    assert run("keys", "rotate", "--prepare") == 0
    prepared = Keys.read(file)
    assert "copy" in capsys.readouterr().err

    assert run("keys", "retire") == 0
    assert Keys.read(file) == prepared
    assert run("keys", "rotate") == 0
    assert Keys.read(file).current == prepared.next


def test_keys_kept_elsewhere_are_printed_to_be_put_there(
    run: Run,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert run("keys", "generate", "--print") == 0
    printed = capsys.readouterr()
    assert "back it up" in printed.err
    monkeypatch.setenv("RISKENGINE_KEYS", printed.out)
    assert run("keys", "create", "--scope", "score") == 0
    capsys.readouterr()

    assert run("keys", "rotate") == 0
    rotated = capsys.readouterr().out

    assert not (home / "keys" / "seal.json").exists()
    monkeypatch.setenv("RISKENGINE_KEYS", rotated)
    assert run("keys", "reseal") == 0
    assert run("keys", "retire") == 0
    left = capsys.readouterr().out
    assert json.loads(left)["seal"].keys() == {json.loads(rotated)["current"]}
    assert run("keys", "generate") == 4
