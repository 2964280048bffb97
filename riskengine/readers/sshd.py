"""OpenSSH's log lines: who came from where, by `sshd`, `sshd-session` or `sshd-auth`, with a syslog prefix or as
journald's JSON.

What counts as one attempt:

- `Accepted METHOD` is a success, `Failed password` and `Failed keyboard-interactive` are failures of a known user.
- `Invalid user NAME` is a failure without an account: the name was tried. The first `Failed … for invalid user` of the
  same connection is that attempt again and gives nothing; each further one is an attempt.
- `maximum authentication attempts exceeded` repeats failures that were logged, unless the connection logged none.
- A failed key, host or ticket and the method `none` are what a client offers unasked, often several in a row before
  the one that fits; nobody guesses a key. They give nothing, nor do `Postponed`, `Partial` and closed connections.
- `message repeated N times: [ … ]` is that line N times more.

User names are whatever the other side sent: sshd writes them between fixed words, with controls and bytes beyond ASCII
escaped, and writes the address last, so of several ` from ` the last is sshd's own.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from riskengine.errors import Fault, InvalidInput
from riskengine.event import EVENT_FIELDS, Event
from riskengine.readers.identity import Identity
from riskengine.readers.journal import Prefix, journal_entry
from riskengine.readers.lines import text_of
from riskengine.readers.log import Item, Skip
from riskengine.readers.stamp import Calendar, bsd_time, iso_time

_TELLING = (b"Accepted ", b"Failed ", b"nvalid user ", b"llegal user ", b"maximum authentication attempts exceeded ")
_DAEMON = r"sshd(?:-session|-auth)?"
_BSD = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?"
_PREFIX = re.compile(
    rf"(?:<\d{{1,3}}>)?(?:(?P<bsd>{_BSD})|(?:1 )?(?P<iso>\d{{4}}-\d\d-\d\dT\S+|-)) (?P<host>\S+) "
    rf"(?:{_DAEMON}\[(?P<pid>\d+)\]: |{_DAEMON} (?P<procid>\S+) \S+ (?:-|(?:\[(?:[^\]\\]|\\.)*\])+) (?:\ufeff)?)"
)
# sshd's own line all the same, but what stands before its name is not a syslog prefix: torn, or a form not known here.
_HEADLESS = re.compile(rf"[^\[\]=;/]*?(?:^| ){_DAEMON}\[\d+\]: ")
_REPEATED = re.compile(r"message repeated (\d{1,9}) times: \[ (.*)\]")
_FROM = r" from (?P<ip>\S+) port \d+ ssh\d"
_MORE = r"(?:: (?P<more>.*))?"
# The user of an accepted login exists, so its name holds no ` from `; what follows may (the text in a certificate).
_ACCEPTED = re.compile(rf"Accepted (?P<method>\S+) for (?P<user>.*?){_FROM}{_MORE}")
_FAILED = re.compile(rf"Failed (?P<method>\S+) for (?P<invalid>(?:invalid|illegal) user )?(?P<user>.*){_FROM}{_MORE}")
_INVALID = re.compile(r"(?P<invalid>(?:Invalid|Illegal) user )(?P<user>.*) from (?P<ip>\S+)(?: port \d+)?")
_EXCEEDED = re.compile(
    rf"(?:error: )?maximum authentication attempts exceeded for (?P<invalid>invalid user )?(?P<user>.*){_FROM}"
)
_SHAPES = {
    "Accepted": _ACCEPTED,
    "Failed": _FAILED,
    "Invalid": _INVALID,
    "Illegal": _INVALID,
    "error:": _EXCEEDED,
    "maximum": _EXCEEDED,
}
_UNASKED = ("none", "publickey", "hostbased", "gssapi-with-mic", "gssapi-keyex")
_FINGERPRINT = re.compile(r"[A-Z0-9-]+ ((?:SHA256:|MD5:|[0-9a-f]{2}:)\S+)")
_WHOLE_FINGERPRINT = re.compile(r".* SHA256:[A-Za-z0-9+/]{43}")
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "v": "\v", "f": "\f", "s": " ", "0": "\0"}
# sshd logs at most 100 characters of a name and syslog daemons give up on a repeated line long before this.
_MOST_REPEATS = 10_000
_LONGEST_NAME = 256
# Connections whose lines may still come.
_CONNECTIONS = 4096


class Attempt(NamedTuple):
    """What a message says; `user` is as sshd wrote it."""

    shape: re.Pattern[str]
    method: str | None
    user: str
    invalid: bool
    ip: str
    more: str | None


class Sshd:
    """Parser of one OpenSSH log; `zone` is that of its local times, `first_year` that of its first BSD time."""

    def __init__(self, zone: ZoneInfo, first_year: int) -> None:
        self._zone = zone
        self._calendar = Calendar(first_year)
        self._identity = Identity("sshd")
        # Per connection and user whether its next failure has been counted already (True) or not.
        self._announced: OrderedDict[tuple[str, str, str, str], bool] = OrderedDict()

    def parse(self, line: bytes, ended: bool) -> Sequence[Item] | Skip:
        """Return the login attempts of a line, or why it has none."""
        if line.startswith(b"{"):
            entry = journal_entry(line)
            return entry if isinstance(entry, Skip) else self._attempts(entry.prefix, entry.message, True, line)
        self._calendar.see(line)
        if b"sshd" not in line or b" from " not in line or not any(words in line for words in _TELLING):
            return Skip.NOT_A_LOGIN
        text = text_of(line)
        found = _PREFIX.match(text)
        if found is None:
            if _HEADLESS.match(text):
                raise InvalidInput([Fault("", "does not begin with a time and a host")])
            return Skip.NOT_A_LOGIN
        return self._attempts(lambda: self._prefix(found), text[found.end() :], ended, line)

    def _attempts(self, prefix: Callable[[], Prefix], text: str, ended: bool, line: bytes) -> Sequence[Item] | Skip:
        """Return the login attempts of a message, or why it has none."""
        message, times = _once(text.rstrip().removesuffix(" [preauth]"))
        attempt = _attempt(message)
        if isinstance(attempt, Skip):
            return attempt
        if not ended and not _is_whole(attempt, message):
            raise InvalidInput([Fault("", "may be cut off: the log ends within it")])
        return self._events(prefix(), attempt, times, line)

    def _prefix(self, found: re.Match[str]) -> Prefix:
        bsd, iso = found["bsd"], found["iso"]
        at = bsd_time(bsd, self._calendar.year, self._zone) if bsd else iso_time(iso, self._zone)
        return Prefix(at, found["host"], found["pid"] or found["procid"])

    def _events(self, prefix: Prefix, attempt: Attempt, times: int, line: bytes) -> Sequence[Item] | Skip:
        if attempt.method in _UNASKED and attempt.shape is _FAILED:
            return Skip.NOT_TRIED
        ip = _address(attempt.ip)
        if attempt.shape is not _ACCEPTED:
            times -= self._counted((prefix.host, prefix.connection, ip, attempt.user), attempt.shape)
        if not times:
            return Skip.COUNTED
        event = _event(self._identity.of(line), ip, prefix, attempt)
        return [event, *(replace(event, event_id=f"{event.event_id}.{copy}") for copy in range(1, times))]

    def _counted(self, connection: tuple[str, str, str, str], shape: re.Pattern[str]) -> int:
        """Return 1 if a failure of this connection has been counted by an earlier line, else 0; and remember it."""
        announced = self._announced.pop(connection, None)
        if shape is _EXCEEDED:  # the connection's last line
            return 0 if announced is None else 1
        self._announced[connection] = shape is _INVALID
        if len(self._announced) > _CONNECTIONS:
            self._announced.popitem(last=False)
        return 1 if announced and shape is _FAILED else 0


def _once(message: str) -> tuple[str, int]:
    """Return the message within `message repeated N times: [ … ]` and N, or the message itself and 1."""
    if not message.startswith("message repeated "):
        return message, 1
    found = _REPEATED.fullmatch(message)
    if found is None:
        raise InvalidInput([Fault("", "is cut off or of a form that is not known")])
    times = int(found[1])
    if not 1 <= times <= _MOST_REPEATS:
        raise InvalidInput([Fault("", f"is repeated more than {_MOST_REPEATS:,} times, or not once")])
    return found[2].rstrip().removesuffix(" [preauth]"), times


def _attempt(message: str) -> Attempt | Skip:
    """Return what a message says of an attempt; raise InvalidInput where it begins as one and ends otherwise."""
    words = message.split(" ", 3)
    shape = _SHAPES.get(words[0])
    if shape is None or (shape in (_ACCEPTED, _FAILED) and words[2:3] != ["for"]):
        return Skip.NOT_A_LOGIN
    if shape is _EXCEEDED and "maximum" not in words[:2]:
        return Skip.NOT_A_LOGIN
    found = shape.fullmatch(message)
    if found is None:
        raise InvalidInput([Fault("", "is cut off or of a form that is not known")])
    parts = found.groupdict()
    return Attempt(
        shape, parts.get("method"), found["user"], bool(parts.get("invalid")), found["ip"], parts.get("more")
    )


def _is_whole(attempt: Attempt, message: str) -> bool:
    """Return whether a message without a line end cannot have lost its own end.

    `from 192.0.2.1` may have been `from 192.0.2.17`; but ` ssh2` and a fingerprint's 43 characters end a message.
    """
    if attempt.method == "publickey":
        return _WHOLE_FINGERPRINT.fullmatch(message) is not None
    return attempt.shape is not _INVALID and attempt.more is None


def _event(event_id: str, ip: str, prefix: Prefix, attempt: Attempt) -> Event:
    name = _name(attempt.user)
    succeeded = attempt.shape is _ACCEPTED
    if succeeded and name is None:
        raise InvalidInput([Fault("", "names no user")])
    key = _FINGERPRINT.match(attempt.more) if succeeded and attempt.more else None
    return Event(
        user_id=None if attempt.invalid else name,
        login=name if attempt.invalid else None,
        ip=ip,
        event_id=event_id,
        occurred_at=prefix.at,
        outcome="success" if succeeded else "failure",
        device_id=_checked("device_id", key[1]) if key else None,
        resource=_resource(prefix.host),
        context={"method": attempt.method} if attempt.method else {},
    )


def _checked(field: str, text: str) -> str:
    """Return the text as a field of an event takes it; raise InvalidInput naming the field if it does not."""
    try:
        value: str = EVENT_FIELDS[field](text)
    except ValueError as error:
        raise InvalidInput([Fault(f"/{field}", str(error))]) from error
    return value


@lru_cache(maxsize=65_536)
def _address(text: str) -> str:
    """Return the address without an IPv6 zone; sshd writes UNKNOWN, or a host name, where it knows none."""
    return _checked("ip", text.strip("[]").partition("%")[0])


@lru_cache(maxsize=1024)
def _resource(host: str) -> str:
    return _checked("resource", f"ssh:{host}")


@lru_cache(maxsize=65_536)
def _name(written: str) -> str | None:
    """Return a user's name, None if it is empty.

    sshd's escapes are undone unless that brings out what no name may hold, when the escaped spelling stands. A name
    that is too long is cut, so that nobody hides an attempt behind one.
    """
    name = written.strip()
    if "\\" in name:
        name = _unescaped(name)
    name = name[:_LONGEST_NAME].strip()
    return _checked("user_id", name) if name else None


def _unescaped(name: str) -> str:
    r"""Return the name that sshd (by vis(3)) escaped as `caf\303\251` or `CORP\\mira`."""
    try:
        plain = _ESCAPE.sub(_unescape, name).encode("latin-1").decode().strip()
        _checked("user_id", plain[:_LONGEST_NAME].strip())
    except (UnicodeError, InvalidInput):
        return name
    return plain


def _unescape(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) == 3:
        return chr(int(code, 8) & 255)
    return _LETTERS.get(code, code)
