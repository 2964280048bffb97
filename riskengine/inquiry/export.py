"""Found events as a stream of bytes, in the formats that a SIEM, a spreadsheet or a script reads."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO

from riskengine.inquiry.found import Found
from riskengine.writers.answers import OUT_FORMATS
from riskengine.writers.ndjson import Ndjson
from riskengine.writers.target import Target

FORMATS = ("ndjson", "csv", "ocsf", "ecs")
MEDIA_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv", "ocsf": "application/x-ndjson",
               "ecs": "application/x-ndjson"}  # fmt: skip
PART_BYTES = 64 * 1024


def exported(found: Iterable[Found], format_: str) -> Iterator[bytes]:
    """Yield events as bytes of a format, a part at a time: of any number of them no more than a part is held.

    NDJSON is one object a line with `event`, `answer` and `state`; the others are those of riskengine/writers.
    """
    buffer = BytesIO()
    with writer(Target(buffer), format_) as write:
        for one in found:
            write(one)
            if buffer.tell() >= PART_BYTES:
                yield _taken(buffer)
    yield _taken(buffer)


@contextmanager
def writer(target: Target, format_: str) -> Iterator[Callable[[Found], None]]:
    """Give what writes one event to a target in a format."""
    if format_ == "ndjson":
        rows = Ndjson(target)
        yield lambda one: rows.write(one.told())
    else:
        with OUT_FORMATS[format_](target) as write:
            yield lambda one: write(one.answer, one.event)


def _taken(buffer: BytesIO) -> bytes:
    part = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return part
