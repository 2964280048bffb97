"""What a history knows of what an item shows."""

import numpy as np

from riskengine.batch import Located
from riskengine.compiled import Row, compiled, signed
from riskengine.geo import distance_km
from riskengine.history.record import (
    ABSENT,
    AGENT,
    ATTRIBUTES,
    COUNTRY,
    DEVICE,
    FIRST,
    FOUNDING,
    NETWORK,
    PLACE,
    PREFIX,
    ROAMS,
    ROAMS_SHARE,
    SAME_PLACE_KM,
    TRUSTED,
    day_at,
    place_key,
    place_of,
)
from riskengine.network import PLACELESS

_COUNT = len(ATTRIBUTES)
_AT_A_POINT = int(Located.PLACE)

# By attribute, in order of ATTRIBUTES. `key`: what the item shows, 0 nothing; `slots`: bits, in which slots it is held;
# `shows`: the item shows the attribute at all; `status`: the best Status it has there; `share`: in which share of the
# user's logins it was shown (0 to 1), `age`: days since it was last; `knows` and `trusts`: whether the history holds
# any value of it, and any trusted one. `unsent` is the Status of not sending the attribute, where the item does not.
# `roams`: the operator keeps changing this user's prefix, as a carrier does, listed as one or not.
SEEN = np.dtype(
    [
        ("key", "i8", _COUNT),
        ("slots", "i8", _COUNT),
        ("shows", "u1", _COUNT),
        ("status", "i8", _COUNT),
        ("share", "f8", _COUNT),
        ("age", "i8", _COUNT),
        ("knows", "u1", _COUNT),
        ("trusts", "u1", _COUNT),
        ("unsent", "i8", _COUNT),
        ("roams", "?"),
    ]
)


@compiled
def look(record: Row, item: Row, seen: Row) -> None:
    """Fill `seen` with what a history knows of what an item shows."""
    _show(item, seen.key)
    for at in range(_COUNT):
        _find(record, at, seen)
        _weigh(record, at, day_at(item.event_time), seen)
    seen.roams = False
    for at in range(FIRST[NETWORK + 1] - FIRST[NETWORK]):
        if seen.slots[NETWORK] >> at & 1 and roaming(record, at):
            seen.roams = True


@compiled
def _show(item: Row, key: np.ndarray) -> None:
    """Fill `key` with each attribute's key, 0 where the item does not show it.

    An address that stands for a gateway, or is known to the country only, shows no place. That no device id or user
    agent was sent is a value too, ABSENT: some people never send one.
    """
    shows_place = item.located == _AT_A_POINT and not PLACELESS[item.kind]
    key[PLACE] = place_key(item.latitude, item.longitude) if shows_place else 0
    key[COUNTRY], key[PREFIX], key[NETWORK] = item.country, item.prefix, item.asn
    key[DEVICE], key[AGENT] = max(item.device, ABSENT), max(item.agent, ABSENT)


@compiled
def _find(record: Row, at: int, seen: Row) -> None:
    """Find the slots that hold what is shown of one attribute, and what else the attribute holds."""
    key, slots, best, knows, trusts = seen.key[at], 0, 0, False, False
    for place in range(FIRST[at], FIRST[at + 1]):
        value = record.values[place]
        if value.status == 0:
            continue
        if at < DEVICE or value.key != ABSENT:
            knows = True
            trusts |= value.status == TRUSTED
        if same(at, key, signed(value.key)):
            slots |= 1 << (place - FIRST[at])
            best = max(best, signed(value.status))
    sent = at < DEVICE or key != ABSENT
    seen.shows[at] = key > 0 and sent
    seen.slots[at], seen.knows[at], seen.trusts[at] = slots, knows, trusts
    seen.status[at], seen.unsent[at] = best if sent else 0, 0 if sent else best


@compiled
def same(at: int, key: int, other: int) -> bool:
    """Return whether two keys of an attribute are one value: equal, and of places no further apart than
    SAME_PLACE_KM; 0 (unknown) is none."""
    if at != PLACE or key == other:
        return key == other and key > 0
    if key == 0 or other == 0:
        return False
    here, there = place_of(key), place_of(other)
    return distance_km(here[0], here[1], there[0], there[1]) <= SAME_PLACE_KM


@compiled
def _weigh(record: Row, at: int, day: int, seen: Row) -> None:
    """Tell how much of a habit the best of the slots found is."""
    best, count, last = max(seen.status[at], seen.unsent[at]), 0, 0
    for place in range(FIRST[at], FIRST[at + 1]):
        value = record.values[place]
        if seen.slots[at] >> (place - FIRST[at]) & 1 and value.status == best:
            count += value.count
            last = max(last, signed(value.last_day))
    seen.share[at] = min(count / max(record.shown[at], 1), 1.0)
    seen.age[at] = day - last


@compiled
def roaming(record: Row, at: int) -> bool:
    """Return whether a network slot holds an operator that keeps changing the user's prefix, as a carrier does."""
    churn = record.churn[at]
    return churn >= ROAMS and churn >= ROAMS_SHARE * record.values[FIRST[NETWORK] + at].count


@compiled
def shown_before(seen: Row) -> int:
    """Return, as bits in order of ATTRIBUTES, what of an item its user has shown before, trusted or not."""
    bits = 0
    for at in range(_COUNT):
        if seen.status[at] > 0:
            bits |= 1 << at
    return bits


@compiled
def anchored(record: Row, seen: Row) -> bool:
    """Return whether an item shows something that provisional knowledge may ripen beside.

    That is a trusted device or prefix; where the user never showed a device, trusted place and network together (a
    thief may share a city, a carrier, a browser). While nothing at all is trusted, what founded the history serves.
    """
    level = TRUSTED if _trusts_anything(record) else FOUNDING
    somewhere = seen.status[PLACE] >= level and seen.status[NETWORK] >= level
    named = seen.status[DEVICE] >= level or seen.status[PREFIX] >= level
    return bool(named or (not seen.knows[DEVICE] and somewhere))


@compiled
def _trusts_anything(record: Row) -> bool:
    found = False
    for place in range(FIRST[_COUNT]):
        found |= record.values[place].status == TRUSTED
    return found
