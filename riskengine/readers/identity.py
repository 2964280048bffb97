"""Event ids for lines that carry none: the same content gives the same id, whatever its file is called."""

from hashlib import sha256

# Lines are told apart from their copies as long as no more than this many other lines lie between: more memory would
# be needed for more, and a copy further away is the same line shipped twice rather than a second login.
_REMEMBERED = 65_536


class Identity:
    """Ids for one source: a hash of the format, the line and how often the line came before in this source."""

    def __init__(self, format: str) -> None:
        self._format = format
        self._start = sha256(format.encode() + b"\0")
        self._seen: dict[bytes, int] = {}

    def of(self, line: bytes) -> str:
        """Return the id of the next line, and remember that it came.

        >>> ids = Identity("csv")
        >>> ids.of(b"a") == ids.of(b"a"), Identity("csv").of(b"a") == Identity("csv").of(b"a")
        (False, True)
        """
        state = self._start.copy()
        state.update(line)
        key = state.digest()
        ordinal = self._seen.pop(key, 0)
        self._seen[key] = ordinal + 1
        if len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]
        state.update(b"\0%d" % ordinal)
        return f"{self._format}-{state.hexdigest()[:32]}"
