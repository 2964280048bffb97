"""From what events say and what the register knows to the rows that the core works on."""

import numpy as np

from riskengine.batch import Batch, empty
from riskengine.engine.rows import HOUR_MS, PLACE_COLUMNS, offsets_by_sun, zone_offset
from riskengine.replay.crowd import Keys
from riskengine.replay.register import Tables
from riskengine.replay.told import NOBODY

# A row id tells the event (by its number) and, in its lower bits, the address whose place names a journey's other end.
_ADDRESS_BITS = 31
_ADDRESS = (1 << _ADDRESS_BITS) - 1
_AS_TOLD = (
    *("time", "outcome", "mfa", "mfa_at", "action", "sensitivity", "resource", "device", "user"),
    *("groups", "claimed", "claimed_type", "client_offset", "client_latitude", "client_longitude"),
    *("client_accuracy", "rtt", "edge"),
)


def address_of(row: int) -> int:
    """Return the number of the address of an event by its row id."""
    return row & _ADDRESS


def event_items(told: np.ndarray, tables: Tables, reporting: bool) -> Batch:
    """Return the ITEM rows of events as they were told (TOLD rows); what they see of others is still 0.

    `user`, `resource`, `groups` and `edge` are numbers of the register.
    """
    rows, address = empty(len(told)), told["address"]
    places = tables.places[address]
    for name in PLACE_COLUMNS:
        rows[name] = places[name]
    for name in _AS_TOLD:
        rows[name] = told[name]
    rows["row"] = told["number"] << _ADDRESS_BITS | address
    rows["event"] = told["event"].view(np.uint64)
    rows["event_time"] = told["time"]
    rows["reports"] = reporting
    rows["line"], rows["prefix"] = tables.line_key[address], tables.prefix_key[address]
    sent = told["agent"] != NOBODY
    rows["agent"][sent] = tables.agent_key[told["agent"][sent]]
    rows["offset"] = _offsets(rows, tables.zone[address], tables)
    return rows


def _offsets(rows: Batch, zone: np.ndarray, tables: Tables) -> np.ndarray:
    """Return how many minutes east of UTC each address's place is; see `engine.rows`."""
    offsets = offsets_by_sun(rows)
    named = np.flatnonzero(zone >= 0)
    hours = rows["event_time"][named] // HOUR_MS
    # Each zone and hour once.
    told, of = np.unique(hours * len(tables.zones) + zone[named], return_inverse=True)
    known = [zone_offset(tables.zones[one % len(tables.zones)], one // len(tables.zones)) for one in told.tolist()]
    found = np.array(known, np.float64)[of]
    some = ~np.isnan(found)
    offsets[named[some]] = found[some]
    return offsets


def keys_of(told: np.ndarray, tables: Tables) -> Keys:
    """Return by what events are counted."""
    user, login, address = told["user"], told["login"], told["address"]
    known, named = user != NOBODY, login != NOBODY
    found = np.zeros((3, len(told)), np.uint64)
    found[0, known] = tables.user_key64[user[known]]
    found[1, known], found[2, known] = tables.user_key[user[known]], found[0, known]
    found[1, named], found[2, named] = tables.login_key[login[named]], tables.login[login[named]]
    return Keys(found[0], tables.address_key64[address], tables.prefix_key64[address], found[1], found[2])
