"""Key sources: where keys are read from, and how another key takes over."""

import json
import sys
from pathlib import Path

import pytest

from riskengine.errors import SealKeyError
from riskengine.keyring import KeyCommand, KeyFile, Keys, KeyText, source_of
from riskengine.seal import Seal
from riskengine.settings import Settings, load

KEYS = Keys.generate()


def test_a_file_the_environment_and_a_command_give_the_same_keys(tmp_path: Path) -> None:
    KEYS.write(tmp_path / "seal.json")
    file = tmp_path / "seal.json"
    printed = f"{sys.executable} -c \"print(open('{tmp_path / 'seal.json'}').read())\""

    sources = [
        source_of(Settings(home=tmp_path, key_file=file)),
        source_of(Settings(home=tmp_path, keys=KEYS.text())),
        source_of(Settings(home=tmp_path, key_command=printed)),
    ]

    assert [type(source) for source in sources] == [KeyFile, KeyText, KeyCommand]
    assert [source.read() for source in sources] == [KEYS, KEYS, KEYS]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param("false", "ended with exit code 1", id="it_fails"),
        pytest.param("/nowhere/vault read", "cannot be run", id="it_is_not_there"),
        pytest.param("'", "cannot be run", id="it_is_no_command"),
        pytest.param("echo secret-thing", "is not a riskengine key file", id="it_prints_something_else"),
    ],
)
def test_a_command_without_keys_is_one_sentence_that_repeats_nothing(command: str, says: str) -> None:
    with pytest.raises(SealKeyError, match=says) as refused:
        KeyCommand(command).read()

    assert "secret-thing" not in str(refused.value)
    assert "vault" not in str(refused.value)


def test_two_sources_beside_the_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SealKeyError.__base__, match="cannot be set together"):  # type: ignore[arg-type]
        load(home=tmp_path, keys="{}", key_command="true")


def test_a_rotated_file_holds_both_keys_and_is_still_private(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "seal.json")
    KEYS.write(file.path)
    rotated = KEYS.rotated()

    file.replace(KEYS, rotated)

    assert file.read() == rotated
    assert rotated.current != KEYS.current
    assert rotated.seal[KEYS.current] == KEYS.seal[KEYS.current]
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [other.name for other in tmp_path.iterdir()] == ["seal.json"]


def test_what_somebody_else_changed_is_not_written_over(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "seal.json")
    KEYS.write(file.path)
    file.replace(KEYS, KEYS.rotated())

    with pytest.raises(SealKeyError, match="changed meanwhile"):
        file.replace(KEYS, KEYS.rotated())


def test_a_prepared_key_seals_nothing_until_the_rotation_that_takes_it() -> None:
    prepared = KEYS.prepared()

    assert prepared.current == KEYS.current
    assert prepared.prepared() == prepared
    assert prepared.rotated().current == prepared.next
    assert Keys.parse(prepared.text(), "") == prepared


def test_keys_in_use_are_not_taken_out() -> None:
    prepared = KEYS.prepared()
    for key_id in (prepared.current, str(prepared.next)):
        with pytest.raises(SealKeyError, match="in use"):
            prepared.without(key_id)


def test_a_key_file_that_names_a_key_it_lacks_is_damaged() -> None:
    text = json.dumps(json.loads(KEYS.text()) | {"next": "00000000"})

    with pytest.raises(SealKeyError, match="damaged"):
        Keys.parse(text, "the key file x")


def test_a_key_that_another_process_began_to_use_is_looked_for_at_its_source() -> None:
    rotated = KEYS.rotated()
    sealed = Seal(rotated).seal(b"plain", "default", "raw", 1)
    late = Seal(KEYS, lambda: rotated)

    assert late.open(sealed, "default", "raw", 1) == b"plain"
    assert late.keys == rotated
    assert late.key_of(late.seal(b"plain", "default", "raw", 1)) == rotated.current


def test_keys_with_another_index_key_are_not_adopted() -> None:
    seal = Seal(KEYS)

    with pytest.raises(SealKeyError, match="index key"):
        seal.adopt(Keys.generate())

    assert seal.keys == KEYS
    assert not seal.adopt(KEYS)
