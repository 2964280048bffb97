"""Lines of riskengine's own NDJSON that hold nothing out of the ordinary, found in columns.

Most lines of a log are objects of a few known keys with plain texts. This finds those and where in them each text
stands, at the cost of looking at each byte once; whatever it passes over is for the reader, which says what is wrong.
"""

from typing import NamedTuple

import numpy as np

from riskengine.compiled import compiled

# The fields that a plain line may have, and how long their texts may be.
LENGTHS = {
    "user_id": 256,
    "ip": 64,
    "event_id": 128,
    "occurred_at": 64,
    "login": 256,
    "outcome": 16,
    "mfa": 16,
    "action": 16,
    "user_agent": 2048,
    "device_id": 256,
    "session_id": 256,
    "resource": 256,
    "sensitivity": 16,
    "type": 16,
}
FIELDS = tuple(LENGTHS)
NO_TIME = np.iinfo(np.int64).min
_LONGEST = np.array(list(LENGTHS.values()))
_KEYS = np.array([list(name.encode().ljust(16, b"\0")) for name in FIELDS], np.uint8)
_KEY_LENGTHS = np.array([len(name) for name in FIELDS])
_NEEDED = 4  # the first of FIELDS are in every event that can be told again
_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE, _ESCAPE = (ord(one) for one in '":,{}\\')
_BLANK, _LAST, _TAB, _RETURN, _END = (ord(one) for one in " ~\t\r\n")
_OF_IDS = np.isin(np.arange(256), list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:~-"))
_ZERO, _DOT = ord("0"), ord(".")
_YEAR, _MONTHS = 146_097, 153  # days of 400 years; of five months from March, twice over
_DAY_MS = 86_400_000


class Found(NamedTuple):
    """The lines of a block. `lines` are where each begins and ends, without what ends it; `plain` says which are
    plain; `spans` are, of each line and each of FIELDS, where its text begins and how long it is, -1 without one."""

    lines: np.ndarray
    plain: np.ndarray
    spans: np.ndarray


@compiled
def find(block: np.ndarray) -> Found:
    """Return the lines of a block (uint8, whole lines; the last may lack its end).

    A plain line is an object of texts under different keys of FIELDS, the first four among them; each text has 1 to
    LENGTHS printable ASCII characters, no quotation mark, no backslash, and no blank at either end.

    >>> line = b'{"user_id":"ann","ip":"192.0.2.1","event_id":"1","occurred_at":"2026-03-01T00:00:00Z"}'
    >>> found = find(np.frombuffer(line + b"\\nother", np.uint8))
    >>> found.plain.tolist(), found.spans[0, 0].tolist(), found.lines[1].tolist()
    ([True, False], [12, 3], [87, 92])
    """
    count = 0
    for byte in block:
        count += byte == _END
    if len(block) and block[-1] != _END:
        count += 1
    lines, plain = np.zeros((count, 2), np.int64), np.zeros(count, np.bool_)
    spans = np.full((count, len(_KEY_LENGTHS), 2), -1, np.int64)
    at = 0
    for line in range(count):
        end = at
        while end < len(block) and block[end] != _END:
            end += 1
        lines[line, 0], lines[line, 1] = at, end
        plain[line] = _is_plain(block, at, end, spans[line])
        at = end + 1
    return Found(lines, plain, spans)


@compiled
def _is_plain(block: np.ndarray, at: int, end: int, spans: np.ndarray) -> bool:
    """Return whether the line from `at` to `end` is plain, and write where its texts stand."""
    at = _past_blanks(block, at, end)
    if at >= end or block[at] != _OPEN:
        return False
    while True:
        key = _past_blanks(block, at + 1, end)
        key_length = _text_length(block, key, end)
        if key_length < 0:
            return False
        field = _field(block, key + 1, key_length)
        at = _past_blanks(block, key + key_length + 2, end)
        if field < 0 or spans[field, 0] >= 0 or at >= end or block[at] != _COLON:
            return False
        at = _past_blanks(block, at + 1, end)
        length = _text_length(block, at, end)
        if not 1 <= length <= _LONGEST[field] or block[at + 1] == _BLANK or block[at + length] == _BLANK:
            return False
        spans[field, 0], spans[field, 1] = at + 1, length
        at = _past_blanks(block, at + length + 2, end)
        if at >= end:
            return False
        if block[at] == _CLOSE:
            break
        if block[at] != _COMMA:
            return False
    for field in range(_NEEDED):
        if spans[field, 0] < 0:
            return False
    return _past_blanks(block, at + 1, end) == end


@compiled
def _past_blanks(block: np.ndarray, at: int, end: int) -> int:
    """Return where the next byte stands that is no blank of JSON."""
    while at < end and (block[at] == _BLANK or block[at] == _TAB or block[at] == _RETURN):
        at += 1
    return at


@compiled
def _text_length(block: np.ndarray, at: int, end: int) -> int:
    """Return the length of the text between quotation marks that begins at `at`; -1 if none that is plain does."""
    if at >= end or block[at] != _QUOTE:
        return -1
    for last in range(at + 1, end):
        byte = block[last]
        if byte == _QUOTE:
            return last - at - 1
        if byte < _BLANK or byte > _LAST or byte == _ESCAPE:
            return -1
    return -1


@compiled
def _field(block: np.ndarray, at: int, length: int) -> int:
    """Return which of FIELDS a key is, -1 for none."""
    for field in range(len(_KEY_LENGTHS)):
        if _KEY_LENGTHS[field] == length:
            same = 0
            while same < length and block[at + same] == _KEYS[field, same]:
                same += 1
            if same == length:
                return field
    return -1


@compiled
def are_ids(block: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return whether the texts at these places are ids of events: nothing but A-Z a-z 0-9 . _ : ~ -"""
    found = np.ones(len(spans), np.bool_)
    for row in range(len(spans)):
        for at in range(spans[row, 0], spans[row, 0] + spans[row, 1]):
            found[row] &= _OF_IDS[block[at]]
    return found


@compiled
def times(block: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return the times that stand at these places (begin and length) in ms since 1970, finer digits cut off.

    They are of the form `2026-03-04T09:15:27.123Z`, the fraction left out or of one to nine digits, and of the years
    1970 to 9999; NO_TIME stands for what is not.
    """
    found = np.full(len(spans), NO_TIME)
    for row in range(len(spans)):
        begin, length = spans[row, 0], spans[row, 1]
        if length >= 20 and length != 21 and length <= 30:
            found[row] = _time(block[begin : begin + length])
    return found


@compiled
def _time(text: np.ndarray) -> int:
    year, month, day = _number(text, 0, 4), _number(text, 5, 7), _number(text, 8, 10)
    hour, minute, second = _number(text, 11, 13), _number(text, 14, 16), _number(text, 17, 19)
    last = len(text) - 1
    marks = text[4] == 45 and text[7] == 45 and text[10] == 84 and text[13] == 58 and text[16] == 58  # - - T : :
    if not marks or text[last] != 90 or year < 1970 or not 1 <= month <= 12 or not 1 <= day <= 28 + _more(year, month):
        return NO_TIME
    if not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59:
        return NO_TIME
    part = 0
    if last > 19:
        if text[19] != _DOT or _number(text, 20, last) < 0:
            return NO_TIME
        digits = min(last - 20, 3)
        part = _number(text, 20, 20 + digits) * 10 ** (3 - digits)
    return _days(year, month, day) * _DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + part


@compiled
def _number(text: np.ndarray, begin: int, end: int) -> int:
    """Return the number that digits are, -1 where one is none."""
    found = 0
    for at in range(begin, end):
        digit = text[at] - _ZERO
        if digit < 0 or digit > 9:
            return -1
        found = found * 10 + digit
    return found


@compiled
def _more(year: int, month: int) -> int:
    """Return how many days beyond 28 a month has."""
    if month == 2:
        return 1 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 0
    return 2 if month in (4, 6, 9, 11) else 3


@compiled
def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms")."""
    if month <= 2:
        year -= 1
    era, of_era = year // 400, year % 400
    of_year = (_MONTHS * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * _YEAR + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
