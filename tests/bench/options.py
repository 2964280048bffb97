"""What options may hold."""

from argparse import ArgumentTypeError


def positive(text: str) -> int:
    """Return a whole number of at least 1.

    >>> positive("64")
    64
    """
    found = int(text)
    if found < 1:
        raise ArgumentTypeError("must be at least 1")
    return found


def numbers(text: str) -> tuple[int, ...]:
    """Return numbers that stand between commas.

    >>> numbers("1,64")
    (1, 64)
    """
    return tuple(positive(one) for one in text.split(","))
