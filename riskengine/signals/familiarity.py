"""Is this like the user? Log-odds of what a login shows: this user's habits against a stranger's chances.

Signals are 0 (usual) to 1 (quite unlike them), NaN unknown.

Freeman's model (NDSS 2016) in its additive form: each attribute adds how surprising it is, and takes back how hard it
is to borrow. A user's own rate of new things counts: who clears cookies daily surprises nobody with a new device.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from riskengine.batch import Located
from riskengine.event import DAY_MS
from riskengine.history.record import ATTRIBUTES, HABITS, Records, Seen, Status
from riskengine.network import ANONYMISING, EXPOSED, WIDE, Kind
from riskengine.policy.policy import Policy
from riskengine.signals.network import Shared, colleague_bits, exposed, masked_habit, sharing_class

# One operator of hot spots or of cabins is met in many countries; any other tells its own.
_EVERYWHERE = np.isin(np.arange(len(Kind)), (Kind.PUBLIC_WIFI, Kind.INFLIGHT))
IGNORED = 3  # step-ups in a row that nobody passed
CHANGING = 0.25  # from this share of new devices on a device tells nothing


@dataclass(frozen=True, slots=True)
class Credit:
    """What speaks for the login, in points that new things are excused by: columns, 0 and more."""

    device: np.ndarray
    prefix: np.ndarray
    network: np.ndarray
    agent: np.ndarray

    def total(self) -> np.ndarray:
        """Return the sum."""
        return self.device + self.prefix + self.network + self.agent


def new_rate(records: Records, name: str, policy: Policy) -> np.ndarray:
    """Return how often this user shows something new of an attribute: counted, on top of what is expected of anyone."""
    at = HABITS.index(name)
    news, shown = records["news"][:, at].astype(np.float64), records["shown"][:, at].astype(np.float64)
    return (news + getattr(policy.novelty, name)) / (shown + policy.familiarity.logins)


def trusted(seen: Seen, name: str, policy: Policy) -> np.ndarray:
    """Return where an attribute is trusted and was shown within the policy's memory."""
    return (seen.status[name] == Status.TRUSTED) & (seen.age[name] <= policy.familiarity.forget_days)


def changes_devices(records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return which users send no device id, or so often another that it tells nothing."""
    return (~seen.knows["device"] & ~seen.shows["device"]) | (new_rate(records, "device", policy) > CHANGING)


def own_km(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how far off a database may have put a login that comes as its user's do, in km; 0 for others.

    A trusted device (or trusted software, of a user who sends none or ever another) on a trusted line, or through a
    trusted carrier, may be anywhere: a thief is on neither, and databases know operators better than where a carrier's
    addresses are. Through any trusted operator of a trusted country it is off by `region_km` at most. Where strangers
    share the network, or it hides people, none of this holds.
    """
    own = {name: status == Status.TRUSTED for name, status in seen.status.items()}
    unsent = changes_devices(records, seen, policy) & (own["agent"] | ~seen.knows["agent"])
    carrier = seen.roams | WIDE[items["kind"]]
    anywhere = (own["prefix"] & ~carrier) | (own["network"] & carrier)
    region = np.where(own["network"] & own["country"], policy.travel.region_km, 0.0)
    holds = (own["device"] | unsent) & ~exposed(items)
    return np.where(holds, np.where(anywhere, np.inf, region), 0.0)


def _surprise(records: Records, seen: Seen, name: str, policy: Policy) -> np.ndarray:
    """Return the log-odds, in bits, of an attribute that the user is not trusted with; 0 where they are.

    Provisional never excuses: it is as new as any other. What founded the history says nothing as long as nothing is
    trusted. Short histories say little: `half` logins make half of it. NaN where nothing is known.
    """
    learned = records["learned"].astype(np.float64)
    bits = -np.log2(new_rate(records, name, policy)) * learned / (learned + policy.familiarity.half)
    founding = (seen.status[name] == Status.FOUNDING) & ~seen.trusts[name]
    bits = np.where(trusted(seen, name, policy), 0.0, np.where(founding, np.nan, bits))
    return np.where(seen.knows[name], bits, np.nan)


def _value(bits: np.ndarray, policy: Policy) -> np.ndarray:
    """Return bits as a signal, 0 to 1; a value beyond what is full says no more."""
    return np.clip(bits / policy.familiarity.full_bits, 0.0, 1.0)


def familiarity(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> dict[str, np.ndarray]:
    """Return the five signals of this family by name."""
    own = {name: _surprise(records, seen, name, policy) for name in ATTRIBUTES}
    relief = colleague_bits(items, policy)
    masked = np.where(ANONYMISING[items["kind"]], masked_habit(items, records, seen, policy), 1.0)
    country = _locatable(items, seen, "country", own["country"]) - relief["country"]
    network = _network(seen, own) - np.maximum(relief["prefix"], relief["network"])
    place = _locatable(items, seen, "place", own["place"]) - relief["place"]
    # Around something new what is inside it is new as a matter of course.
    theirs = (seen.status["network"] == Status.TRUSTED) & ~_EVERYWHERE[items["kind"]]
    country = np.where(theirs, country * policy.familiarity.operator_share, country)
    place = np.where(theirs, place * policy.familiarity.operator_share, place)
    abroad = (country > 0) & ~theirs
    network = np.where(abroad, network * policy.familiarity.implied_share, network)
    elsewhere = abroad | (~np.isnan(network) & (network > 0) & (seen.status["network"] < Status.TRUSTED))
    place = np.where(elsewhere, place * policy.familiarity.implied_share, place)
    # Which of its gateways a carrier uses says nothing of who is behind it.
    own_carrier = (WIDE[items["kind"]] | seen.roams) & (seen.status["network"] == Status.TRUSTED)
    network, place = np.where(own_carrier, network * 0.0, network), np.where(own_carrier, place * 0.0, place)
    place = np.where(WIDE[items["kind"]], place * policy.travel.wide_share, place)
    device, agent = _device(seen, own["device"]), _agent(seen, own["agent"], policy)
    return {
        "new_country": _value(country * masked * masked, policy),
        "new_place": _value(place * masked * masked, policy),
        "new_network": _value(network * masked * masked, policy),
        "new_device": _value(device, policy),
        "new_agent": _value(agent, policy),
    }


def _locatable(items: np.ndarray, seen: Seen, name: str, bits: np.ndarray) -> np.ndarray:
    """Return bits where the address tells the attribute, or ought to and does not; NaN where it can tell nothing."""
    missing = (items["located"] == Located.UNKNOWN) & seen.trusts[name]
    return np.where(seen.shows[name] | missing, bits, np.nan)


def _network(seen: Seen, own: dict[str, np.ndarray]) -> np.ndarray:
    """Return how new the network is: 0 in a trusted /24 or /48; of a trusted operator, how new the prefix is."""
    at_home = seen.status["prefix"] == Status.TRUSTED
    known = seen.status["network"] == Status.TRUSTED
    bits = np.where(known, own["prefix"], np.where(at_home, 0.0, own["network"]))
    shown = seen.shows["prefix"] | seen.shows["network"]
    return np.where(shown, bits, np.nan)


def _device(seen: Seen, bits: np.ndarray) -> np.ndarray:
    """Return how new the device is by its id, or that none was sent; NaN where no id was ever seen either way."""
    unsent = ~seen.shows["device"]
    usual = unsent & (seen.unsent["device"] >= Status.FOUNDING)
    return np.where(usual, np.where(seen.knows["device"], 0.0, np.nan), bits)


def _agent(seen: Seen, bits: np.ndarray, policy: Policy) -> np.ndarray:
    """Return how new the user-agent family is; 0 on a trusted device, little where the device is new as well."""
    unsent = ~seen.shows["agent"] & (seen.unsent["agent"] >= Status.FOUNDING)
    bits = np.where(unsent, 0.0, bits)
    bits = np.where(trusted(seen, "device", policy), np.minimum(bits, 0.0), bits)
    return np.where(seen.knows["device"], bits * policy.familiarity.implied_share, bits)


def credit(items: np.ndarray, records: Records, seen: Seen, contradiction: np.ndarray, policy: Policy) -> Credit:
    """Return what is taken back from what is new, because the login shows what a stranger would hardly have.

    Per attribute the log-odds that the user shows it against the chance that a stranger does, times `points_per_bit`.
    The surer the `contradiction` (0 to 1) of an impossible journey, the less a device vouches: it may have been stolen.
    A network that strangers share vouches for nobody.
    """
    chance, per_bit = policy.chance, policy.familiarity.points_per_bit
    device = _odds(records, seen, "device", np.full(len(items), chance.device), policy)
    unsent = (~seen.shows["device"]) & (seen.unsent["device"] == Status.TRUSTED) & ~seen.knows["device"]
    device = np.where(unsent, -np.log2(chance.absent), device)
    prefix = _odds(records, seen, "prefix", policy.networks.chance[items["kind"]], policy)
    network = _odds(records, seen, "network", np.full(len(items), chance.network), policy)
    shared = exposed(items) | (sharing_class(items, policy) == Shared.VENUE)
    prefix, network = np.where(shared, 0.0, prefix), np.where(shared, 0.0, network)
    agent = _odds(records, seen, "agent", np.full(len(items), chance.agent), policy)
    known = trusted(seen, "device", policy)
    return Credit(
        device=np.round(device * per_bit * (1.0 - contradiction), 3),
        prefix=np.round(prefix * per_bit, 3),
        network=np.where(prefix > 0, 0.0, np.round(network * per_bit, 3)),
        agent=np.where(known, 0.0, np.round(agent * per_bit, 3)),
    )


def _odds(records: Records, seen: Seen, name: str, chance: np.ndarray, policy: Policy) -> np.ndarray:
    """Return log2 of how much likelier this user than a stranger shows a trusted value; 0 and more."""
    likely = (1.0 - np.minimum(new_rate(records, name, policy), 1.0)) * seen.share[name]
    bits = np.log2(np.maximum(likely, 1e-9) / chance)
    return np.where(trusted(seen, name, policy), np.maximum(bits, 0.0), 0.0)


def relieved(
    values: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray | float], credit: Credit
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share, 0 to 1, that is left of the points of what is new after what speaks for the login, and how many
    points that takes away."""
    points = np.zeros(len(credit.device))
    for name in RELIEVED:
        points = points + np.where(np.isnan(values[name]), 0.0, values[name]) * weights[name]
    left = np.maximum(points - credit.total(), 0.0)
    return np.round(np.where(points > 0, left / np.maximum(points, 1e-9), 1.0), 6), np.round(points - left, 1)


# What a familiar device or network excuses: what is new, when it happens, and who else is there.
RELIEVED = (
    "new_country",
    "new_place",
    "new_network",
    "new_device",
    "new_agent",
    "shared_address",
    "unusual_hour",
    "idle_account",
    "timezone_mismatch",
    "missing_evidence",
)


def ignored_step_ups(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how far step-ups that were asked for lately, and that nobody passed, tell against a login that nothing
    vouches for: more the more there were (IGNORED make 1) and the later the last one was.

    What vouches is a device or a prefix that is trusted or founded the history; where the user sends none, or always
    another, software and network together.
    """
    age = np.maximum(items["time"] // DAY_MS - records["ignored_day"].astype(np.int64), 0)
    fresh = np.maximum(1.0 - age / policy.familiarity.ignored_days, 0.0)
    ignored = np.minimum(records["ignored"] / IGNORED, 1.0) * fresh
    own = {name: seen.status[name] >= Status.FOUNDING for name in ("network", "prefix", "device")}
    changing = changes_devices(records, seen, policy)
    software = (seen.status["agent"] >= Status.FOUNDING) | ~seen.knows["agent"]
    vouched = own["device"] | (own["prefix"] & ~EXPOSED[items["kind"]]) | (changing & software & own["network"])
    return np.where(records["learned"] + records["ignored"] == 0, np.nan, np.where(vouched, 0.0, ignored))
