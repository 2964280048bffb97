"""Where a process runs: files, database, address to bind. Settings never change a score; the policy does that."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from riskengine.errors import SettingsError

PREFIX = "RISKENGINE_"
# Names the TOML file; it is read before the settings are and is not one of them.
CONFIG_VARIABLE = "RISKENGINE_CONFIG"
# The retention that keeps everything.
FOR_EVER = "for ever"
# Checked together, and so refused together.
_OPTIONAL_FILES = (
    *("geoip_city", "geoip_asn", "geoip_anonymous", "policy", "shadow_policy"),
    *("tls_cert", "tls_key", "tls_client_ca", "tls_crl"),
)


class Settings(BaseSettings):
    """Everything a process can be told about its surroundings, from flags, environment, TOML file and defaults.

    Each name is `RISKENGINE_<NAME>` in the environment and `<name>` in the TOML file. An empty environment variable
    is one that is not set. Make one with `load`, which answers every fault with a SettingsError of one sentence.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )

    home: Path = Field(default_factory=lambda: default_home())
    database_url: str = Field(default="", repr=False)
    geoip_city: Path | None = None
    geoip_asn: Path | None = None
    geoip_anonymous: Path | None = None
    policy: Path | None = None
    shadow_policy: Path | None = None
    key_file: Path = Path()
    # Instead of the file: what it would hold, or a command that prints that.
    keys: str = Field(default="", repr=False)
    key_command: str = Field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    trusted_proxies: str = ""
    # The header in which trusted proxies name their client, and the one with its certificate; "": none.
    forwarded_header: str = "x-forwarded-for"
    certificate_header: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    # Whose certificates clients must show, or may, and the list of those that were taken back.
    tls_client_ca: Path | None = None
    tls_client_cert: Literal["required", "optional"] | None = None
    tls_crl: Path | None = None
    # Whether how a step-up ended is taken only with the challenge that it was asked for with.
    step_up_challenge: Literal["optional", "required"] = "optional"
    # How many processes share the address.
    workers: int = Field(default=1, ge=1, le=64)
    # The least that a caller must show.
    access_minimum: Literal["key", "token", "bound", "one_time"] = "key"
    # How many requests one client may have under way that logins wait for (by default more than can wait at all: a lone
    # client meets the order in which the queue refuses), how many others, and of those a minute.
    limit_logins: int = Field(default=4_096, ge=1)
    limit_requests: int = Field(default=16, ge=1)
    limit_rate: int = Field(default=1_200, ge=1)
    # How many wrong credentials from one address are looked at in a minute.
    limit_failures: int = Field(default=30, ge=1)
    # In whose name tokens are given, and where their endpoint is found; by default the address that is bound.
    issuer: str = ""
    # An outside issuer whose access tokens are taken too: who it is, what it calls us, and where its public keys are.
    outside_issuer: str = ""
    outside_audience: str = ""
    outside_jwks: str = ""
    # The claims that hold scopes and realm, and what stands before our scopes there.
    outside_scope_claim: str = "scope"
    outside_scope_prefix: str = ""
    outside_realm_claim: str = ""
    log_format: Literal["json", "text"] = "json"
    # For how many days after their arrival decisions are kept at least; None is for ever.
    retention_days: int | None = 400
    # The same for what is personal in them, and when the purge is done each day (UTC).
    personal_days: int | None = 180
    purge_at: str = "03:30"
    # Seconds between two looks for changed geolocation files.
    reload_seconds: float = Field(default=30.0, ge=0.05, le=3600)
    # Seconds between /readyz saying 503 and the listening socket closing, so that a load balancer sees it.
    drain_seconds: float = Field(default=1.0, ge=0, le=60)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what `load` gives (flags and the TOML file) before the environment; no `.env`, no secrets folder."""
        return init_settings, env_settings

    @field_validator("home", "key_file", *_OPTIONAL_FILES)
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser()

    @field_validator(*_OPTIONAL_FILES)
    @classmethod
    def _exists(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return path

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("it must begin with sqlite:/// or postgresql://")
        try:
            urlsplit(url).port  # noqa: B018 - reading it is the check
        except ValueError as error:
            raise ValueError("its port or host cannot be read") from error
        if url.startswith("postgresql") and not _is_local(url) and "sslmode" not in parse_qs(urlsplit(url).query):
            raise ValueError(
                "the database is on another machine, so add ?sslmode=verify-full (and sslrootcert=FILE) to it, or "
                "another sslmode if you mean it"
            )
        return url

    @field_validator("purge_at")
    @classmethod
    def _time_of_day(cls, at: str) -> str:
        if at != "never" and not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", at):
            raise ValueError('it must be a time of day (UTC) as 03:30, or "never"')
        return at

    @field_validator("retention_days", "personal_days", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        """Read a number of days; to keep everything is nothing that happens by leaving something out."""
        if value is None or value == FOR_EVER:
            return None
        if not str(value).isdecimal() or int(str(value)) < 1:
            raise ValueError(f'it must be a number of days, or "{FOR_EVER}"')
        return value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _one_text(cls, value: object) -> object:
        return ",".join(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        entries = [entry.strip() for entry in value.split(",") if entry.strip()]
        for entry in entries:
            try:
                ip_network(entry)
            except ValueError as error:
                raise ValueError("each entry must be an address or a network such as 192.0.2.0/24") from error
        return ",".join(entries)

    @field_validator("forwarded_header")
    @classmethod
    def _known_header(cls, value: str) -> str:
        if value.lower() not in ("x-forwarded-for", "forwarded"):
            raise ValueError("it must be X-Forwarded-For or Forwarded")
        return value.lower()

    @field_validator("certificate_header")
    @classmethod
    def _header(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9-]{0,64}", value):
            raise ValueError("it must be the name of a header, such as Client-Cert")
        return value.lower()

    @field_validator("issuer")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        found = urlsplit(value)
        if value and (found.scheme not in ("https", "http") or not found.hostname or found.query or found.fragment):
            raise ValueError("it must be a URL such as https://risk.example.org")
        return value.rstrip("/")

    @field_validator("outside_jwks")
    @classmethod
    def _file_or_url(cls, value: str) -> str:
        """Take a file, or a URL that nobody on the way can answer for."""
        found = urlsplit(value)
        if found.scheme in ("http", "https"):
            if found.scheme == "http" and not _is_here(found.hostname or ""):
                raise ValueError("it must begin with https://")
            return value
        path = Path(value).expanduser()
        if value and not path.is_file():
            raise ValueError(f"there is no file {path}")
        return str(path) if value else ""

    @field_validator("host")
    @classmethod
    def _bindable(cls, host: str) -> str:
        if host != "localhost":
            try:
                ip_address(host)
            except ValueError as error:
                raise ValueError("it must be localhost or an IP address") from error
        return host

    @model_validator(mode="before")
    @classmethod
    def _defaults_below_home(cls, given: Any) -> Any:
        """Put the database and the key file where home is, unless they are set."""
        if isinstance(given, dict):
            named = given.get("home")
            home = Path(named).expanduser() if isinstance(named, str | Path) else default_home()
            given = {
                "database_url": f"sqlite:///{home.absolute() / 'data' / 'riskengine.db'}",
                "key_file": home / "keys" / "seal.json",
                **given,
            }
        return given

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("RISKENGINE_TLS_CERT and RISKENGINE_TLS_KEY must be set together.")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("RISKENGINE_TLS_CLIENT_CA needs RISKENGINE_TLS_CERT and RISKENGINE_TLS_KEY.")
        if self.tls_client_ca is None and self.tls_crl is not None:
            raise ValueError("RISKENGINE_TLS_CRL needs RISKENGINE_TLS_CLIENT_CA.")
        if self.tls_client_ca is None and self.tls_client_cert is not None:
            raise ValueError("RISKENGINE_TLS_CLIENT_CERT needs RISKENGINE_TLS_CLIENT_CA.")
        outside = (self.outside_issuer, self.outside_audience, self.outside_jwks)
        if any(outside) and not all(outside):
            raise ValueError("RISKENGINE_OUTSIDE_ISSUER, _OUTSIDE_AUDIENCE and _OUTSIDE_JWKS must be set together.")
        if self.outside_issuer and self.outside_issuer == self.token_issuer:
            raise ValueError("RISKENGINE_OUTSIDE_ISSUER is the issuer of our own tokens.")
        if self.keys and self.key_command:
            raise ValueError("RISKENGINE_KEYS and RISKENGINE_KEY_COMMAND cannot be set together.")
        if self.certificate_header and not self.trusted_proxies:
            raise ValueError(
                "RISKENGINE_CERTIFICATE_HEADER needs RISKENGINE_TRUSTED_PROXIES: from others a header proves nothing."
            )
        if not self.is_loopback and self.tls_cert is None and not self.trusted_proxies:
            raise ValueError(
                f"RISKENGINE_HOST {self.host} is reachable from other machines, so RISKENGINE_TLS_CERT with "
                "RISKENGINE_TLS_KEY, or RISKENGINE_TRUSTED_PROXIES, must be set too."
            )
        return self

    @property
    def token_issuer(self) -> str:
        """In whose name tokens are given: the issuer that is set, else the address to call this process at."""
        return self.issuer or self.base_url

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address that is bound."""
        return self.host == "localhost" or ip_address(self.host).is_loopback

    @property
    def is_embedded(self) -> bool:
        """Whether the database is a SQLite file, which this process may migrate and seal for the first time."""
        return self.database_url.startswith("sqlite")

    @property
    def policy_file(self) -> Path:
        """The file that holds the policy: the one that is set, else the one that ships."""
        return self.policy or package_files("data") / "policy.toml"

    @property
    def base_url(self) -> str:
        """The address to call this process at, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_cert else 'http'}://{host}:{self.port}"


def _is_local(url: str) -> bool:
    """Return whether every host that a PostgreSQL URL names is this machine; without any it is a socket here."""
    parts = urlsplit(url)
    named = parse_qs(parts.query)
    hosts = [host for name in ("host", "hostaddr") for value in named.get(name, ()) for host in value.split(",")]
    return all(_is_here(host) for host in (parts.hostname or "", *hosts))


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def default_home() -> Path:
    """Return the folder for data, keys and geolocation files when RISKENGINE_HOME is not set (XDG base directories)."""
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "riskengine"


def load(config: Path | None = None, **flags: Any) -> Settings:
    """Return the settings: flags that are not None, then environment, then the TOML file, then defaults.

    `config` is the TOML file; without one RISKENGINE_CONFIG may name it. Raise SettingsError with one sentence that
    names the setting: an unknown name, a value of the wrong kind, values that do not fit together.
    """
    environment = _from_environment(os.environ)
    file = config or (Path(named).expanduser() if (named := os.environ.get(CONFIG_VARIABLE)) else None)
    in_file = _from_file(file) if file else {}
    given = {name: value for name, value in in_file.items() if name not in environment}
    given |= {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError(_sentence(error, environment, in_file, file)) from error


def _from_environment(environ: Mapping[str, str]) -> set[str]:
    """Return the names that the environment sets; a RISKENGINE_ variable that is no setting is refused."""
    found = set()
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if variable != variable.upper() or name not in Settings.model_fields:
            nearest = _nearest(name)
            hint = f"did you mean {PREFIX}{nearest.upper()}?" if nearest else "the README lists those there are."
            raise SettingsError(f"{variable} is not a setting; {hint}")
        if value:
            found.add(name)
    return found


def _from_file(file: Path) -> dict[str, Any]:
    """Return what the TOML file sets; refuse one that cannot be read or holds a key that is no setting."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {file} cannot be read.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The settings file {file} is not TOML: {error}.") from error
    for name in found:
        if name not in Settings.model_fields:
            nearest = _nearest(name)
            hint = f"did you mean {nearest}?" if nearest else "the README lists those there are."
            raise SettingsError(f"{name} in {file} is not a setting; {hint}")
    return found


def _nearest(name: str) -> str | None:
    found = difflib.get_close_matches(name.lower(), Settings.model_fields, n=1)
    return found[0] if found else None


def _sentence(error: ValidationError, environment: set[str], in_file: Mapping[str, Any], file: Any) -> str:
    """Return the first fault as one sentence that names the setting as the operator wrote it, never its value."""
    fault = error.errors()[0]
    if not fault["loc"]:
        return fault["msg"].removeprefix("Value error, ")
    name = str(fault["loc"][0])
    where = f"{name} in {file}" if name in in_file and name not in environment else PREFIX + name.upper()
    detail = fault["msg"].removeprefix("Value error, ")
    return f"{where} is wrong: {detail[0].lower()}{detail[1:]}."


def package_files(name: str) -> Path:
    """Return the folder `name` (data, migrations): inside the installed package, else beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.exists() else package.parent / name
