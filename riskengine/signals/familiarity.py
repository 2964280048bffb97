"""Is this like the user? New places, countries, networks, devices: 0 trusted, 1 quite unlike them, NaN unknown."""

import numpy as np

from riskengine.batch import Located
from riskengine.history.record import Records, Seen, Status
from riskengine.policy import Policy


def surprise(records: Records, policy: Policy) -> np.ndarray:
    """Return how much something never seen says, 0 to 1: the longer a history, the more.

    By default one remembered login makes it 0.67, ten make it 0.95.
    """
    learned = records["learned"].astype(np.float64)
    return learned / (learned + policy.familiarity.half)


def _new(records: Records, seen: Seen, name: str, policy: Policy) -> np.ndarray:
    """Return how new what an item shows of one attribute is.

    Trusted is 0. Provisional never excuses: it is as new as any other. What founded the history says nothing as long
    as nothing is trusted. Missing where the user is trusted by it is evidence by itself.
    """
    value = surprise(records, policy)
    founding = (seen.status[name] == Status.FOUNDING) & ~seen.trusts[name]
    value = np.where(seen.status[name] == Status.TRUSTED, 0.0, np.where(founding, np.nan, value))
    missing = np.where(seen.trusts[name], surprise(records, policy) * policy.familiarity.absent, np.nan)
    value = np.where(seen.shows[name], value, missing)
    return np.where(seen.knows[name], value, np.nan)


def _beside_device(value: np.ndarray, seen: Seen, policy: Policy) -> np.ndarray:
    """Return a value made smaller where the user sits at a device they are trusted on."""
    trusted = seen.status["device"] == Status.TRUSTED
    return np.where(trusted, value * policy.familiarity.trusted_device_share, value)


def new_place(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how new the place is; NaN where the address can have none (private, a gateway, no data)."""
    tells = seen.shows["place"] | (items["located"] == Located.UNKNOWN)
    value = np.where(tells, _new(records, seen, "place", policy), np.nan)
    return _beside_device(value, seen, policy)


def new_country(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how new the country is; NaN where the address can have none."""
    tells = seen.shows["country"] | (items["located"] == Located.UNKNOWN)
    value = np.where(tells, _new(records, seen, "country", policy), np.nan)
    return _beside_device(value, seen, policy)


def new_network(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how new the network is: 0 in a trusted /24 or /48, less than 1 in another of a trusted operator."""
    prefix, network = _new(records, seen, "prefix", policy), _new(records, seen, "network", policy)
    nearby = (seen.status["network"] == Status.TRUSTED) & (seen.status["prefix"] != Status.TRUSTED)
    value = np.where(nearby, prefix * policy.familiarity.same_country_share, prefix)
    # A network seen before but not yet trusted does not make its next prefix alarming on its own.
    value = np.where(np.isnan(network) & seen.shows["network"], np.nan, value)
    return _beside_device(value, seen, policy)


def new_device(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how new the device is by its id; by the user-agent family where no id was ever sent."""
    by_id = _new(records, seen, "device", policy)
    by_agent = _new(records, seen, "agent", policy)
    never_sent = ~seen.knows["device"] & ~seen.shows["device"]
    return np.where(never_sent, by_agent, by_id)


def new_agent(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how new the user-agent family is beside a device id; 0 on a trusted device."""
    by_id = seen.knows["device"] | seen.shows["device"]
    value = np.where(by_id, _new(records, seen, "agent", policy), np.nan)
    return np.where(seen.status["device"] == Status.TRUSTED, np.minimum(value, 0.0), value)


def ignored_step_ups(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return 1 where step-ups were asked for lately, nobody passed them, and this login too comes from elsewhere.

    Elsewhere is a place (where none is known, a prefix) or a device that neither is trusted nor founded the history.
    """
    day = items["time"] // 86_400_000
    lately = (records["ignored"] > 0) & (day - records["ignored_day"] <= policy.familiarity.ignored_days)
    unknown = {name: seen.shows[name] & (seen.status[name] < Status.FOUNDING) for name in ("place", "prefix", "device")}
    strange = unknown["device"] | np.where(seen.shows["place"], unknown["place"], unknown["prefix"])
    return np.where(records["learned"] + records["ignored"] == 0, np.nan, np.where(lately & strange, 1.0, 0.0))
