"""The parts come together, or the start is refused with one sentence and nothing is overwritten."""

from pathlib import Path

import pytest

from riskengine.access.access import Access
from riskengine.app import compile_core, make_home, open_seal, read_policy
from riskengine.errors import PolicyError, SealKeyError, SettingsError
from riskengine.seal import SEAL_CHECK, Keys
from riskengine.settings import Settings
from riskengine.store.memory import MemoryStore
from tests.doors import default_policy

NOW = 1_772_615_731_500


def used(store: MemoryStore) -> MemoryStore:
    """Return a store that is no longer empty."""
    Access(store).create("any", ["score"], "default", NOW)
    return store


def test_who_has_to_wait_for_the_core_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    compile_core(default_policy(), told.append)
    assert told == [], "the tests' own start has compiled it"

    monkeypatch.setattr("riskengine.compiled.FOLDER", None)
    compile_core(default_policy(), told.append)
    assert told == ["compiling the scoring core, once, ~30 s"]


def test_home_is_private(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new" / "home")
    make_home(settings)

    for folder in (settings.home, *settings.home.iterdir()):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingsError, match=r"RISKENGINE_HOME .* cannot be used"):
        make_home(Settings(home=tmp_path / "file" / "home"))


def test_the_first_start_of_an_embedded_database_makes_a_key_and_the_second_uses_it(tmp_path: Path) -> None:
    settings, store = Settings(home=tmp_path), MemoryStore()

    first = open_seal(settings, store)
    written = settings.key_file.read_bytes()
    second = open_seal(settings, used(store))

    assert settings.key_file.stat().st_mode & 0o777 == 0o600
    assert settings.key_file.read_bytes() == written
    sealed = first.seal(b"plain", "default", "events", 1)
    assert second.open(sealed, "default", "events", 1) == b"plain"


def test_a_missing_key_over_existing_data_refuses_the_start_and_makes_none(tmp_path: Path) -> None:
    settings, store = Settings(home=tmp_path), MemoryStore()
    open_seal(settings, store)
    settings.key_file.unlink()

    for found in (store, used(store)):
        with pytest.raises(SealKeyError, match=r"RISKENGINE_KEY_FILE .* is missing"):
            open_seal(settings, found)
    assert not settings.key_file.exists()


def test_another_key_over_existing_data_refuses_the_start_and_changes_nothing(tmp_path: Path) -> None:
    settings, store = Settings(home=tmp_path), MemoryStore()
    open_seal(settings, store)
    check = store.meta(SEAL_CHECK)
    settings.key_file.unlink()
    Keys.generate().write(settings.key_file)
    other = settings.key_file.read_bytes()

    with pytest.raises(SealKeyError):
        open_seal(settings, store)

    assert store.meta(SEAL_CHECK) == check
    assert settings.key_file.read_bytes() == other


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"version": 2}'])
def test_a_damaged_key_file_refuses_the_start_also_over_an_empty_database(text: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    make_home(settings)
    settings.key_file.write_text(text)
    settings.key_file.chmod(0o600)

    with pytest.raises(SealKeyError, match=str(settings.key_file)):
        open_seal(settings, MemoryStore())
    assert settings.key_file.read_text() == text


def test_a_key_that_others_can_read_refuses_the_start(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    open_seal(settings, MemoryStore())
    settings.key_file.chmod(0o640)

    with pytest.raises(SealKeyError, match="chmod 600"):
        open_seal(settings, MemoryStore())


def test_data_without_the_value_that_proves_its_key_refuses_the_start(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    Keys.generate().write(settings.key_file)

    with pytest.raises(SealKeyError):
        open_seal(settings, used(MemoryStore()))


def test_a_key_is_never_made_for_a_database_that_others_share(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, database_url="postgresql:///risk")

    with pytest.raises(SealKeyError, match="riskengine keys generate"):
        open_seal(settings, MemoryStore())
    assert not settings.key_file.exists()


def test_the_policy_that_is_set_is_used_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('name = "mine"\n')

    assert read_policy(Settings(home=tmp_path)).name == "default"
    with pytest.raises(PolicyError, match=r"policy\.toml"):
        read_policy(Settings(home=tmp_path, policy=file))
