"""What the process's memory is taken from while a log is replayed."""

import ctypes

_MMAP_THRESHOLD = -3  # of glibc's mallopt
_LARGE_BYTES = 1 << 17
_libc = ctypes.CDLL(None)


def keep_large_apart() -> None:
    """Have what takes 128 kB or more mapped by itself, so that it is the system's again as soon as it is let go.

    glibc begins so, but after the first such blocks it takes ever larger ones from the heap, which hardly shrinks: a
    replay of ten million logins held a third more. Where the C library has no such setting nothing happens.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)


def give_back() -> None:
    """Give the system back what was let go, where the C library can, before processes fork that would each keep it."""
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
