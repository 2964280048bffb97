"""How the process deals with its memory while a log is replayed."""

import ctypes
import gc

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_MOST = (1 << 31) - 1
_LARGE_BYTES = 1 << 25  # the most that glibc takes for the latter
_TURNS = 4
_OBJECTS = 100_000
_libc = ctypes.CDLL(None)


def keep_what_is_freed() -> None:
    """Have what was let go used again rather than given back to the system at once.

    Each chunk of a log takes and lets go some 50 MB in pieces of up to a few, and the system fills each page of them
    with zeros anew: that was a fifth of a replay's time. What lies free meanwhile goes back by `give_back`. Where the C
    library has no such settings nothing happens to that. Python looks for cycles seldom: of the many objects that a
    log is made of hardly any are part of one.
    """
    gc.set_threshold(_OBJECTS)
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, _MOST)


def give_back(turn: int = 0) -> None:
    """Give the system back what was let go, where the C library can; of the turns of a loop, every fourth time only.

    Without it the heap grows for as long as a log is read: pieces of odd sizes, one kept among many let go.
    """
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None and turn % _TURNS == 0:
        trim(0)
