"""Settings are read once, and a wrong one is a sentence that names it."""

import os
from pathlib import Path

import pytest

from riskengine.errors import SettingsError
from riskengine.settings import Settings, load, package_files


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [name for name in os.environ if name.startswith("RISKENGINE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def test_without_any_setting_everything_lies_in_one_home_and_listens_on_loopback(tmp_path: Path) -> None:
    settings = load()

    assert settings.home == tmp_path / "riskengine"
    assert settings.database_url == f"sqlite:///{tmp_path}/riskengine/data/riskengine.db"
    assert settings.key_file == tmp_path / "riskengine" / "keys" / "seal.json"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.is_loopback
    assert settings.is_embedded


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "riskengine.toml"
    file.write_text('port = 1001\nhost = "::1"\nlog_format = "text"\ntrusted_proxies = ["192.0.2.0/24", "::1"]\n')
    monkeypatch.setenv("RISKENGINE_PORT", "1002")
    monkeypatch.setenv("RISKENGINE_CONFIG", str(file))

    assert load().port == 1002
    assert load(port=1003).port == 1003
    assert load(host="127.0.0.2").host == "127.0.0.2"
    assert load().log_format == "text"
    assert load().trusted_proxies == "192.0.2.0/24,::1"
    assert load().base_url == "http://[::1]:1002"


def test_home_moves_the_database_and_the_key_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RISKENGINE_HOME", str(tmp_path / "there"))

    assert str(tmp_path / "there" / "data") in load().database_url
    assert load().key_file == tmp_path / "there" / "keys" / "seal.json"


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKENGINE_PORT", "")

    assert load().port == 8000


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("RISKENGINE_PROT", "1", "RISKENGINE_PROT is not a setting; did you mean RISKENGINE_PORT?"),
        ("RISKENGINE_port", "1", "RISKENGINE_port is not a setting; did you mean RISKENGINE_PORT?"),
        ("RISKENGINE_QQQQ", "", "RISKENGINE_QQQQ is not a setting; the README lists those there are."),
        ("RISKENGINE_PORT", "eighty", "RISKENGINE_PORT is wrong: "),
        ("RISKENGINE_PORT", "0", "RISKENGINE_PORT is wrong: "),
        ("RISKENGINE_PORT", "65536", "RISKENGINE_PORT is wrong: "),
        ("RISKENGINE_WORKERS", "0", "RISKENGINE_WORKERS is wrong: "),
        ("RISKENGINE_RETENTION_DAYS", "0", 'RISKENGINE_RETENTION_DAYS is wrong: it must be a number of days'),
        ("RISKENGINE_RETENTION_DAYS", "never", "RISKENGINE_RETENTION_DAYS is wrong: it must be a number of days, or"),
        ("RISKENGINE_HOST", "example.test", "RISKENGINE_HOST is wrong: it must be localhost or an IP address."),
        ("RISKENGINE_LOG_FORMAT", "xml", "RISKENGINE_LOG_FORMAT is wrong: "),
        ("RISKENGINE_DATABASE_URL", "mysql://u:secret@db/x", "RISKENGINE_DATABASE_URL is wrong: it must begin with"),
        ("RISKENGINE_DATABASE_URL", "postgresql://u:se:cret@db:x/y", "RISKENGINE_DATABASE_URL is wrong: its port"),
        ("RISKENGINE_TRUSTED_PROXIES", "*", "RISKENGINE_TRUSTED_PROXIES is wrong: each entry must be"),
        ("RISKENGINE_FORWARDED_HEADER", "X-Real-IP", "RISKENGINE_FORWARDED_HEADER is wrong: it must be"),
        ("RISKENGINE_CERTIFICATE_HEADER", "Client Cert", "RISKENGINE_CERTIFICATE_HEADER is wrong: it must be the name"),
        ("RISKENGINE_CERTIFICATE_HEADER", "Client-Cert", "RISKENGINE_CERTIFICATE_HEADER needs RISKENGINE_TRUSTED"),
        ("RISKENGINE_GEOIP_CITY", "/nowhere/city.mmdb", "RISKENGINE_GEOIP_CITY is wrong: there is no file /nowhere"),
        ("RISKENGINE_POLICY", "/nowhere", "RISKENGINE_POLICY is wrong: there is no file /nowhere."),
        ("RISKENGINE_DRAIN_SECONDS", "nan", "RISKENGINE_DRAIN_SECONDS is wrong: "),
        ("RISKENGINE_CONFIG", "/nowhere.toml", "The settings file /nowhere.toml cannot be read."),
    ],
)
def test_a_wrong_variable_is_named_in_one_sentence_that_does_not_repeat_secrets(
    variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as refused:
        load()

    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot = 1", "prot in {file} is not a setting; did you mean port?"),
        ("port = 70000", "port in {file} is wrong: "),
        ("home = 5", "home in {file} is wrong: "),
        ("trusted_proxies = [1]", "trusted_proxies in {file} is wrong: "),
        ("port = = 1", "The settings file {file} is not TOML: "),
    ],
)
def test_a_wrong_key_of_the_file_is_named_with_the_file(text: str, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "riskengine.toml"
    file.write_text(text)

    with pytest.raises(SettingsError) as refused:
        load(file)

    assert str(refused.value).startswith(sentence.format(file=file))


def test_a_bind_beyond_loopback_needs_tls_or_a_trusted_proxy(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.touch()
    key.touch()

    with pytest.raises(SettingsError, match=r"RISKENGINE_HOST 0\.0\.0\.0 .* RISKENGINE_TLS_CERT"):
        load(host="0.0.0.0")  # noqa: S104 - what must be refused
    with pytest.raises(SettingsError, match="RISKENGINE_TLS_CERT and RISKENGINE_TLS_KEY must be set together"):
        load(tls_cert=cert)

    assert load(host="192.0.2.1", trusted_proxies="192.0.2.2").port == 8000
    assert load(host="192.0.2.1", tls_cert=cert, tls_key=key).base_url == "https://192.0.2.1:8000"


def test_what_clients_show_is_asked_for_only_where_it_can_be_checked(tmp_path: Path) -> None:
    names = "tls_cert", "tls_key", "tls_client_ca", "tls_crl"
    for name in names:
        (tmp_path / name).touch()
    cert, key, authority, revoked = ({name: tmp_path / name} for name in names)

    with pytest.raises(SettingsError, match="RISKENGINE_TLS_CLIENT_CA needs RISKENGINE_TLS_CERT"):
        load(**authority)
    with pytest.raises(SettingsError, match="RISKENGINE_TLS_CRL needs RISKENGINE_TLS_CLIENT_CA"):
        load(**cert, **key, **revoked)
    with pytest.raises(SettingsError, match="RISKENGINE_TLS_CLIENT_CERT needs RISKENGINE_TLS_CLIENT_CA"):
        load(**cert, **key, tls_client_cert="optional")
    with pytest.raises(SettingsError, match="RISKENGINE_TLS_CLIENT_CERT is wrong"):
        load(**cert, **key, **authority, tls_client_cert="never")

    assert load(**cert, **key, **authority, **revoked).tls_client_cert is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///risk",
        "postgresql://risk@localhost/risk",
        "postgresql://risk@[::1]:5433/risk",
        "postgresql://risk@/risk?host=/run/postgresql",
        "postgresql://db/risk?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://db/risk?pooler=transaction&sslmode=disable",
    ],
)
def test_a_database_that_is_here_or_says_how_it_is_secured_is_taken(url: str) -> None:
    assert load(database_url=url).database_url == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/risk",
        "postgresql+psycopg://risk:secret@192.0.2.7/risk",
        "postgresql:///risk?host=db",
        "postgresql:///risk?hostaddr=192.0.2.7",
        "postgresql://localhost/risk?host=localhost,db",
        "postgresql://db/risk?sslmode=",
        "postgresql://db/sslmode=require",
    ],
)
def test_a_database_on_another_machine_must_prove_itself_unless_its_url_says_otherwise(url: str) -> None:
    with pytest.raises(SettingsError, match=r"RISKENGINE_DATABASE_URL is wrong: .*\?sslmode=verify") as refused:
        load(database_url=url)
    assert "secret" not in str(refused.value)


def test_a_password_in_the_database_url_is_not_printed() -> None:
    settings = load(database_url="postgresql://risk:secret@db/risk?sslmode=verify-full")

    assert "secret" not in repr(settings)
    assert not settings.is_embedded


def test_data_files_are_found_from_a_checkout() -> None:
    assert (package_files("data") / "policy.toml").is_file()


def test_every_setting_is_one_word_in_lower_case() -> None:
    assert all(name == name.lower() for name in Settings.model_fields)


def test_keeping_everything_must_be_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().retention_days == 400
    monkeypatch.setenv("RISKENGINE_RETENTION_DAYS", "")
    assert load().retention_days == 400
    monkeypatch.setenv("RISKENGINE_RETENTION_DAYS", "90")
    assert load().retention_days == 90
    monkeypatch.setenv("RISKENGINE_RETENTION_DAYS", "for ever")
    assert load().retention_days is None


def test_settings_travel_to_another_process_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKENGINE_RETENTION_DAYS", "for ever")
    settings = load(port=1003, database_url="postgresql://u:secret@127.0.0.1/x", home=tmp_path)
    monkeypatch.setenv("RISKENGINE_RETENTION_DAYS", "90")
    monkeypatch.setenv("RISKENGINE_PORT", "1004")

    assert Settings.model_validate_json(settings.model_dump_json()) == settings
