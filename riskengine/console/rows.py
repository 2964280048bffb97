"""Many events as the lines of a table, and what they have in common."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from riskengine.console.mask import masked
from riskengine.console.sessions import Visitor
from riskengine.console.story import named
from riskengine.explain import decided
from riskengine.inquiry.found import Found
from riskengine.inquiry.inquiry import Asker

MOST_TOLD = 8
FEW, SEVERAL_USERS = 20, 5  # below that one address says nothing of a proxy


def asker(visitor: Visitor) -> Asker:
    """Return who asks, as the history and its audit trail know them."""
    return Asker(visitor.caller.name, visitor.caller.realm)


def row_of(found: Found, visitor: Visitor) -> dict[str, Any]:
    """Return one line; to a viewer users are masked."""
    event, answer = found.event, found.answer
    user, reference, event_id = event["user_id"], answer["user_ref"], event.get("event_id")
    return {
        "href": f"/console/events/{event_id}" if event_id else None,
        "at": event["occurred_at"],
        "decision": decided(answer),
        "outcome": event["outcome"],
        "score": answer["score"],
        "reason": answer["reasons"][0]["code"] if answer["reasons"] else "",
        "place": named(answer["location"]) if answer["location"] else "not located",
        "network": answer["network"]["name"] or answer["network"]["kind"].replace("_", " "),
        "user": "no such account" if user is None else user if visitor.is_analyst else masked(user),
        "user_href": f"/console/users/{reference}" if reference else None,
        "state": "" if found.state == "open" else found.state,
    }


def hidden(found: Sequence[Found]) -> str | None:
    """Return what to tell an operator whose proxy stands in front of everybody, from the last events; None else.

    Most logins of several users come from one address, or from addresses that are nowhere.
    """
    users = {one.answer["user_ref"] for one in found}
    if len(found) < FEW or len(users) < SEVERAL_USERS:
        return None
    _, most = Counter(one.event["ip"] for one in found).most_common(1)[0]
    nowhere = sum(one.answer["location"] is None for one in found)
    if max(most, nowhere) <= len(found) / 2:
        return None
    what = "come from one address" if most >= nowhere else "come from addresses that cannot be located"
    said = f"Your proxy hides your users: most of the last {len(found)} logins {what}."
    return f"{said} Send the client's own address in `ip`."


def tallies(found: Sequence[Found], visitor: Visitor) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return what these events were decided, why, whose they were and where they came from: the most frequent first."""
    rows = [row_of(one, visitor) for one in found]
    reasons = Counter(reason["code"].replace("_", " ") for one in found for reason in one.answer["reasons"])
    counted = [
        ("Decisions", Counter(row["decision"].replace("_", " ") for row in rows)),
        ("Credentials", Counter(row["outcome"] for row in rows)),
        ("Reasons", reasons),
        ("Users", Counter(row["user"] for row in rows)),
        ("Places", Counter(row["place"] for row in rows)),
        ("Networks", Counter(row["network"] for row in rows)),
    ]
    return [(name, counts.most_common(MOST_TOLD)) for name, counts in counted if counts]
