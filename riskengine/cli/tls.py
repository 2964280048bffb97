"""What connections are secured with: made of files, and made anew while serving when these change."""

import asyncio
import datetime
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509

from riskengine.errors import SettingsError
from riskengine.settings import Settings

UNUSABLE = {
    "certificate": "RISKENGINE_TLS_CERT or RISKENGINE_TLS_KEY cannot be used.",
    "authority": "RISKENGINE_TLS_CLIENT_CA cannot be used: it must hold certificates of authorities in PEM.",
    "revoked": "RISKENGINE_TLS_CRL cannot be used: it must hold revocation lists in PEM.",
}
EXPIRED = "RISKENGINE_TLS_CRL has expired: every client certificate is refused until there is a newer list."
_LIST_END = b"-----END X509 CRL-----"
_log = structlog.get_logger("riskengine.tls")


class Secured(ssl.SSLContext):
    """A context whose connections are secured by whatever the files of the settings held when they were last read.

    A changed context would not do: authorities can be added to one and never taken away, and sessions that it remembers
    are resumed without a look at the revocation list.
    """

    def __new__(cls, _settings: Settings) -> "Secured":
        """Make the outside of the context, which nothing is read from."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, settings: Settings) -> None:
        """Read the files; SettingsError names those that cannot be used."""
        self._settings = settings
        given = (settings.tls_cert, settings.tls_key, settings.tls_client_ca, settings.tls_crl)
        self._files = [file for file in given if file is not None]
        self._seen = self._state()
        self._current = made(settings)

    def wrap_bio(self, *given: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection."""
        return self._current.wrap_bio(*given, **named)

    def renew(self, whatever: bool = False) -> bool:
        """Read the files if they changed, or whatever they are; return whether that was done.

        Raise SettingsError where they cannot be used: what there was stays.
        """
        state = self._state()
        if state == self._seen and not whatever:
            return False
        self._current = made(self._settings)
        self._seen = state
        return True

    def problem(self) -> str | None:
        """Return what is wrong with the files although they could be read."""
        file = self._settings.tls_crl
        return EXPIRED if file is not None and _has_expired(file) else None

    def _state(self) -> list[tuple[int, int, int] | None]:
        return [_state_of(file) for file in self._files]


def made(settings: Settings) -> ssl.SSLContext:
    """Return a context of what the files hold now: TLS 1.2 or later, and client certificates as the settings say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    assert settings.tls_cert is not None
    certificate, key = settings.tls_cert, settings.tls_key
    _use("certificate", lambda: context.load_cert_chain(certificate, key, password=_no_password))
    if settings.tls_client_ca is not None:
        authorities = settings.tls_client_ca
        _use("authority", lambda: context.load_verify_locations(authorities))
        may = settings.tls_client_cert == "optional"
        context.verify_mode = ssl.CERT_OPTIONAL if may else ssl.CERT_REQUIRED
    if settings.tls_crl is not None:
        revoked = settings.tls_crl
        _use("revoked", lambda: _load_revoked(context, revoked))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


async def watch(secured: Secured, seconds: float, renewed: Callable[[], None]) -> None:
    """Read changed files every so many seconds, and at once on SIGHUP; call `renewed` after each time.

    Files that cannot be used are logged, once for each state of things, and tried again.
    """
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    told: str | None = None
    while True:
        by_signal = await _within(asked, seconds)
        asked.clear()
        try:
            if await asyncio.to_thread(secured.renew, by_signal):
                _log.info("certificates reloaded")
                renewed()
            problem = await asyncio.to_thread(secured.problem)
        except SettingsError as error:
            problem = f"{error} The former ones stay in use."
        if problem is not None and problem != told:
            _log.error("certificates", reason=problem)
        told = problem


async def _within(asked: asyncio.Event, seconds: float) -> bool:
    """Return whether that was asked for within so many seconds."""
    try:
        await asyncio.wait_for(asked.wait(), seconds)
    except TimeoutError:
        return False
    return True


def _use(what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except (ssl.SSLError, OSError, ValueError) as error:
        raise SettingsError(UNUSABLE[what]) from error


def _no_password() -> str:
    """Refuse a key that needs a password, which OpenSSL would ask the terminal for."""
    raise ValueError("the key is protected by a password")


def _load_revoked(context: ssl.SSLContext, file: Path) -> None:
    if not _lists(file):
        raise ValueError("there is no list")
    context.load_verify_locations(file)


def _has_expired(file: Path) -> bool:
    """Return whether a list in this file is older than it says it may become; False if nobody can tell."""
    try:
        ends = [one.next_update_utc for one in _lists(file)]
    except (OSError, ValueError):
        return False
    return any(end is not None and end < datetime.datetime.now(datetime.UTC) for end in ends)


def _lists(file: Path) -> list[x509.CertificateRevocationList]:
    parts = file.read_bytes().split(_LIST_END)[:-1]
    return [x509.load_pem_x509_crl(part + _LIST_END) for part in parts]


def _state_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
