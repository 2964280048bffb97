"""Items in riskengine's own shape, as its NDJSON and CSV carry them."""

from typing import Any

from riskengine.errors import Fault, InvalidInput
from riskengine.event import parse_event, parse_report
from riskengine.readers.identity import Identity
from riskengine.readers.log import Item


def own_item(body: Any, line: bytes, identity: Identity) -> Item:
    """Return the event or report that a line states; `type` says which, and is `event` where it is absent.

    Unlike over HTTP a log cannot mean "now": `occurred_at`, and `at` of a report, are required. An event without an
    id is given one by `identity`. Raise InvalidInput naming each field that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidInput([Fault("", "must be a JSON object")])
    kind = body.pop("type", "event")
    if kind == "event":
        if body.get("occurred_at") is None:
            raise _missing("occurred_at")
        if body.get("event_id") is None:
            body["event_id"] = identity.of(line)
        return parse_event(body)
    if kind == "report":
        if body.get("at") is None:
            raise _missing("at")
        return parse_report(body)
    raise InvalidInput([Fault("/type", "must be one of event, report")])


def _missing(name: str) -> InvalidInput:
    return InvalidInput([Fault(f"/{name}", "is required in a log")])
