"""The errors a caller can act on; everything else is a defect and is allowed to surface as one."""

from collections.abc import Sequence
from typing import NamedTuple


class Fault(NamedTuple):
    """One thing wrong with a body: a JSON pointer (RFC 6901) and a sentence that never repeats the value."""

    pointer: str
    detail: str


class RiskEngineError(Exception):
    """Base of every error this package raises on purpose."""


class InvalidInput(RiskEngineError):
    """A body, line or row that breaks the contract; `faults` names each field."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{f.pointer or 'the body'} {f.detail}" for f in self.faults))


class NotFound(RiskEngineError):
    """The event or user named does not exist in the caller's realm."""


class Conflict(RiskEngineError):
    """The request contradicts what is stored: another body under one id, a pass that comes too late."""


class AccessDenied(RiskEngineError):
    """The caller did not prove who it is (401) or lacks a scope (403); `scope` names the missing one.

    `error` is what RFC 6750 calls it where a token was shown: then the answer says where to get another one. `blame` is
    what the audit trail is to say of it: whose realm, which client, why.
    """

    def __init__(
        self,
        message: str,
        scope: str | None = None,
        error: str | None = None,
        blame: tuple[str, str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.scope, self.error, self.blame = scope, error, blame


class TokenRefused(RiskEngineError):
    """A client gets no token; `error` is what RFC 6749, 5.2 calls it. `blame` is as AccessDenied has it."""

    def __init__(self, error: str, message: str, blame: tuple[str, str, str] | None = None) -> None:
        super().__init__(message)
        self.error, self.blame = error, blame


class StoreUnavailable(RiskEngineError):
    """The store, or store and journal, cannot take a write now; the caller may retry."""


class IssuerUnavailable(RiskEngineError):
    """The keys of an outside issuer cannot be had; the message says why."""


class Overloaded(RiskEngineError):
    """More requests wait than can be answered in time; retry after `seconds`."""

    def __init__(self, seconds: int = 1) -> None:
        super().__init__("too many requests are waiting")
        self.seconds = seconds


class LimitReached(RiskEngineError):
    """The caller has as much under way, or asks as often, as it may; the message is a sentence, `seconds` how long to
    wait."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class PolicyError(RiskEngineError):
    """A policy file is wrong; the message names the key and the line."""


class SettingsError(RiskEngineError):
    """A setting is wrong, or what it points to is; the message is one sentence that names it."""


class SealKeyError(SettingsError):
    """A sealing key is missing, unreadable or not the one the data was sealed with."""


class DataError(RiskEngineError):
    """A geolocation or network data file cannot be used; the message names the file."""
