"""Answers out, each beside its event as it was sent, in the format that is asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from riskengine.writers.csv import Csv
from riskengine.writers.ecs import ecs_document
from riskengine.writers.ndjson import Ndjson
from riskengine.writers.ocsf import ocsf_document
from riskengine.writers.parquet import Parquet
from riskengine.writers.target import Target, open_target

NDJSON = "ndjson"
# Takes one answer (all of it, as POST /score gives it) and its event (the fields of a request).
Write = Callable[[Mapping[str, Any], Mapping[str, Any]], None]
Shape = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
_JSON_ENDINGS = (".json", ".jsonl", ".ndjson")
_DOCUMENTS = ("ocsf", "ecs")


def format_of(target: str) -> str:
    """Return the format that the name of a file asks for: NDJSON unless it says otherwise.

    >>> [format_of(name) for name in ("a.csv", "a.b.PARQUET", "a.ocsf.ndjson", "a.ecs", "a.ndjson", "csv", "-")]
    ['csv', 'parquet', 'ocsf', 'ecs', 'ndjson', 'ndjson', 'ndjson']
    """
    endings = [ending.lower() for ending in Path(target).suffixes]
    last = endings[-1] if endings else ""
    named = endings[-2] if last in _JSON_ENDINGS and len(endings) > 1 else last
    return named[1:] if named[1:] in (OUT_FORMATS if named == last else _DOCUMENTS) else NDJSON


@contextmanager
def open_answers(target: str | Path, format_: str) -> Iterator[Write]:
    """Open `target` for answers, as `open_target` does; a format that is not installed is a SettingsError."""
    with open_target(target) as sink, OUT_FORMATS[format_](sink) as write:
        yield write


def _lines(shape: Shape) -> Callable[[Target], AbstractContextManager[Write]]:
    """Return the format of one JSON document a line."""

    @contextmanager
    def opened(target: Target) -> Iterator[Write]:
        rows = Ndjson(target)
        yield lambda answer, event: rows.write(shape(answer, event))

    return opened


def _as_it_is(answer: Mapping[str, Any], event: Mapping[str, Any]) -> Mapping[str, Any]:
    return answer


@contextmanager
def _csv(target: Target) -> Iterator[Write]:
    yield Csv(target).write


@contextmanager
def _parquet(target: Target) -> Iterator[Write]:
    rows = Parquet(target)
    try:
        yield rows.write
    except BaseException:
        rows.abandon()
        raise
    rows.close()


OUT_FORMATS: Mapping[str, Callable[[Target], AbstractContextManager[Write]]] = {
    NDJSON: _lines(_as_it_is),
    "csv": _csv,
    "parquet": _parquet,
    "ocsf": _lines(ocsf_document),
    "ecs": _lines(ecs_document),
}
