"""What events sent with one-time tokens pay: each token once, in the transaction that saves what it paid for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from riskengine.engine.admit import Entry
from riskengine.errors import AccessDenied, RiskEngineError
from riskengine.store.contract import Transaction

UNPAID = "without the store no one-time token can be spent"
SPENT = "The one-time token was used before."


@dataclass(frozen=True, slots=True)
class Payment:
    """What a segment's tokens came to: the entries they let in, those refused by index, and what was spent just now."""

    entries: list[Entry]
    refused: dict[int, AccessDenied]
    spent: Collection[bytes] = ()


def spend(entries: list[Entry], tx: Transaction) -> Payment:
    """Spend the tokens of these events. One that was spent before still pays for the same event, sent again."""
    claims: dict[bytes, tuple[bytes, bytes, int]] = {}
    for one in entries:
        if one.arrival.ticket is not None:
            token = one.arrival.ticket.id
            claims.setdefault(token, (token, _paid(one), one.arrival.received_at))
    if not claims:
        return Payment(entries, {})
    taken = tx.spend(list(claims.values()))
    refused = {}
    for one in entries:
        ticket = one.arrival.ticket
        if ticket is not None:
            paid, at = taken.get(ticket.id) or claims[ticket.id][1:]
            if paid == _paid(one):
                ticket.spent_at = at
            else:
                refused[one.index] = AccessDenied(SPENT, error="invalid_token")
    return Payment([one for one in entries if one.index not in refused], refused, claims.keys() - taken.keys())


def give_back(payment: Payment, outcomes: Mapping[int, object], tx: Transaction) -> None:
    """Give back the tokens of events that were refused: a request that is refused consumes nothing."""
    if not payment.spent:
        return
    good: set[bytes] = set()
    bad: set[bytes] = set()
    for one in payment.entries:
        if one.arrival.ticket is not None and one.arrival.ticket.id in payment.spent:
            (bad if isinstance(outcomes[one.index], RiskEngineError) else good).add(one.arrival.ticket.id)
    if bad - good:
        tx.unspend(bad - good)


def _paid(one: Entry) -> bytes:
    """Return what a token pays for: an event id of a realm, with one body."""
    return one.tokens.event_key + one.tokens.fingerprint
