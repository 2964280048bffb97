"""Text as people may see it: what a screen would obey, or not show, stands as its number."""

import re

# Controls (C0, C1), what turns the direction of the text beside it, what has no width, halves of surrogate pairs, and
# what XML cannot write. Tabs and line ends are apart.
_OBEYED = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\ud800-\udfff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_IN_LINES = re.compile(f"[{_OBEYED}]")
_IN_A_LINE = re.compile(f"[{_OBEYED}\t\n]")


def visible(text: str) -> str:
    """Return a text of one line that may be printed anywhere.

    >>> visible("a\\x1b[2Jb\\u202ec\\n"), visible("São 東京")
    ('a<U+001B>[2Jb<U+202E>c<U+000A>', 'São 東京')
    """
    return _IN_A_LINE.sub(_number, text)


def visible_lines(text: str) -> str:
    """Return a text of several lines that may be printed anywhere: tabs and line ends stay."""
    return _IN_LINES.sub(_number, text)


def visible_json(data: bytes) -> bytes:
    """Return JSON (UTF-8) that means the same and may be printed anywhere.

    >>> visible_json('{"a": "b\\u202e"}'.encode())
    b'{"a": "b\\\\u202e"}'
    """
    if data.isascii() and b"\x7f" not in data:
        return data
    return _IN_LINES.sub(_escape, data.decode()).encode()


def _number(found: re.Match[str]) -> str:
    return f"<U+{ord(found[0]):04X}>"


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
