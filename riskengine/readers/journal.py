"""journald's entries as JSON (`journalctl -o json`): a message of sshd's, and what syslog would have said of it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from riskengine.check import decode
from riskengine.errors import Fault, InvalidInput
from riskengine.readers.log import Skip

_DAEMONS = ("sshd", "sshd-session", "sshd-auth")
_LAST_MICROSECOND = 253_402_300_799_999_999


class Prefix(NamedTuple):
    """What syslog says of a line."""

    at: int
    host: str
    connection: str


class Entry(NamedTuple):
    """A message of sshd's; `prefix` is worked out only for those that matter."""

    message: str
    prefix: Callable[[], Prefix]


def journal_entry(line: bytes) -> Entry | Skip:
    """Return an entry of sshd's, or that it is something else; raise InvalidInput if it is no JSON."""
    entry = decode(line)
    if not isinstance(entry, dict) or "MESSAGE" not in entry:
        return Skip.NOT_A_LOGIN
    if entry.get("SYSLOG_IDENTIFIER") not in _DAEMONS and entry.get("_COMM") not in _DAEMONS:
        return Skip.NOT_A_LOGIN
    return Entry(_message(entry["MESSAGE"]), partial(_prefix, entry))


def _message(value: Any) -> str:
    """Return a message; one that is not UTF-8 stands there as a list of its bytes."""
    if isinstance(value, list) and all(isinstance(one, int) and 0 <= one < 256 for one in value):
        return bytes(value).decode(errors="replace")
    if not isinstance(value, str):
        raise InvalidInput([Fault("/MESSAGE", "must be a text or a list of bytes")])
    return value


def _prefix(entry: Mapping[str, Any]) -> Prefix:
    """Return when the message was written, where, and by which process: each connection has its own."""
    at = entry.get("_SOURCE_REALTIME_TIMESTAMP") or entry.get("__REALTIME_TIMESTAMP")
    if not str(at).isascii() or not str(at).isdigit() or int(str(at)[:20]) > _LAST_MICROSECOND:
        raise InvalidInput([Fault("/__REALTIME_TIMESTAMP", "must be microseconds since 1970")])
    process = entry.get("SYSLOG_PID") or entry.get("_PID") or ""
    return Prefix(int(str(at)) // 1000, str(entry.get("_HOSTNAME") or "unknown")[:200], str(process)[:20])
