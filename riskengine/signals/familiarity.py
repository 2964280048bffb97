"""Is this like the user? Log-odds of what a login shows: this user's habits against a stranger's chances.

Signals are 0 (usual) to 1 (quite unlike them), NaN unknown.

Freeman's model (NDSS 2016) in its additive form: each attribute adds how surprising it is, and takes back how hard it
is to borrow. A user's own rate of new things counts: who clears cookies daily surprises nobody with a new device.
"""

import math

import numpy as np

from riskengine.batch import Located
from riskengine.compiled import Row, compiled, signed
from riskengine.event import DAY_MS
from riskengine.geo import rounded
from riskengine.history.record import AGENT, COUNTRY, DEVICE, FOUNDING, NETWORK, PLACE, PREFIX, TRUSTED
from riskengine.network import ANONYMISING, EXPOSED, WIDE, Kind
from riskengine.signals.network import VENUE, colleague_bits, exposed, masked_habit, sharing_class

# One operator of hot spots or of cabins is met in many countries; any other tells its own.
_EVERYWHERE = np.isin(np.arange(len(Kind)), (Kind.PUBLIC_WIFI, Kind.INFLIGHT))
_NOWHERE = int(Located.UNKNOWN)
IGNORED = 3  # step-ups in a row that nobody passed
CHANGING = 0.25  # from this share of new devices on a device tells nothing
# What speaks for a login, in points that new things are excused by; all are 0 and more.
CREDIT = ("device", "prefix", "network", "agent")
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


@compiled
def new_rate(record: Row, at: int, policy: Row) -> float:
    """Return how often this user shows something new of an attribute: counted, on top of what is expected of anyone."""
    return (record.news[at] + policy.novelty[at]) / (record.shown[at] + policy.familiarity_logins)


@compiled
def trusted(seen: Row, at: int, policy: Row) -> bool:
    """Return whether an attribute is trusted and was shown within the policy's memory."""
    return seen.status[at] == TRUSTED and seen.age[at] <= policy.familiarity_forget_days


@compiled
def changes_devices(record: Row, seen: Row, policy: Row) -> bool:
    """Return whether a user sends no device id, or so often another that it tells nothing."""
    none = not seen.knows[DEVICE] and not seen.shows[DEVICE]
    return none or new_rate(record, DEVICE, policy) > CHANGING


@compiled
def own_km(item: Row, record: Row, seen: Row, policy: Row) -> float:
    """Return how far off a database may have put a login that comes as its user's do, in km; 0 for others.

    A trusted device (or trusted software, of a user who sends none or ever another) on a trusted line, or through a
    trusted carrier, may be anywhere: a thief is on neither, and databases know operators better than where a carrier's
    addresses are. Through any trusted operator of a trusted country it is off by `region_km` at most. Where strangers
    share the network, or it hides people, none of this holds.
    """
    software = seen.status[AGENT] == TRUSTED or not seen.knows[AGENT]
    named = seen.status[DEVICE] == TRUSTED or (software and changes_devices(record, seen, policy))
    if not named or exposed(item):
        return 0.0
    carrier = seen.roams or WIDE[item.kind]
    if seen.status[NETWORK if carrier else PREFIX] == TRUSTED:
        return math.inf
    theirs = seen.status[NETWORK] == TRUSTED and seen.status[COUNTRY] == TRUSTED
    return policy.travel_region_km if theirs else 0.0


@compiled
def _surprise(record: Row, seen: Row, at: int, policy: Row) -> float:
    """Return the log-odds, in bits, of an attribute that the user is not trusted with; 0 where they are.

    Provisional never excuses: it is as new as any other. What founded the history says nothing as long as nothing is
    trusted. Short histories say little: `half` logins make half of it. NaN where nothing is known.
    """
    if not seen.knows[at]:
        return math.nan
    if trusted(seen, at, policy):
        return 0.0
    if seen.status[at] == FOUNDING and not seen.trusts[at]:
        return math.nan
    return -math.log2(new_rate(record, at, policy)) * record.learned / (record.learned + policy.familiarity_half)


@compiled
def _value(bits: float, policy: Row) -> float:
    """Return bits as a signal, 0 to 1; a value beyond what is full says no more."""
    if math.isnan(bits):
        return math.nan
    return min(max(bits / policy.familiarity_full_bits, 0.0), 1.0)


@compiled
def familiarity(item: Row, record: Row, seen: Row, policy: Row) -> tuple[float, float, float, float, float]:
    """Return the five signals of this family: new_country, new_place, new_network, new_device, new_agent."""
    country, place, network = _whereabouts(item, record, seen, policy)
    masked = masked_habit(item, record, seen, policy) if ANONYMISING[item.kind] else 1.0
    return (
        _value(country * masked * masked, policy),
        _value(place * masked * masked, policy),
        _value(network * masked * masked, policy),
        _value(_device(record, seen, policy), policy),
        _value(_agent(record, seen, policy), policy),
    )


@compiled
def _whereabouts(item: Row, record: Row, seen: Row, policy: Row) -> tuple[float, float, float]:
    """Return how new country, place and network are, in bits.

    Around something new what is inside it is new as a matter of course. Which of its gateways a carrier uses says
    nothing of who is behind it.
    """
    relief = np.empty(AGENT + 1)
    colleague_bits(item, policy, relief)
    country = _locatable(item, record, seen, COUNTRY, policy) - relief[COUNTRY]
    network = _network(record, seen, policy) - max(relief[PREFIX], relief[NETWORK])
    place = _locatable(item, record, seen, PLACE, policy) - relief[PLACE]
    known, wide = seen.status[NETWORK] == TRUSTED, WIDE[item.kind]
    theirs = known and not _EVERYWHERE[item.kind]
    if theirs:
        country *= policy.familiarity_operator_share
        place *= policy.familiarity_operator_share
    abroad = country > 0 and not theirs
    if abroad:
        network *= policy.familiarity_implied_share
    if abroad or (network > 0 and not known):
        place *= policy.familiarity_implied_share
    if known and (wide or seen.roams):
        network, place = network * 0.0, place * 0.0
    return country, place * policy.travel_wide_share if wide else place, network


@compiled
def _locatable(item: Row, record: Row, seen: Row, at: int, policy: Row) -> float:
    """Return bits where the address tells the attribute, or ought to and does not; NaN where it can tell nothing."""
    missing = item.located == _NOWHERE and seen.trusts[at]
    return _surprise(record, seen, at, policy) if seen.shows[at] or missing else math.nan


@compiled
def _network(record: Row, seen: Row, policy: Row) -> float:
    """Return how new the network is: 0 in a trusted /24 or /48; of a trusted operator, how new the prefix is."""
    if not (seen.shows[PREFIX] or seen.shows[NETWORK]):
        return math.nan
    if seen.status[NETWORK] == TRUSTED:
        return _surprise(record, seen, PREFIX, policy)
    return 0.0 if seen.status[PREFIX] == TRUSTED else _surprise(record, seen, NETWORK, policy)


@compiled
def _device(record: Row, seen: Row, policy: Row) -> float:
    """Return how new the device is by its id, or that none was sent; NaN where no id was ever seen either way."""
    if not seen.shows[DEVICE] and seen.unsent[DEVICE] >= FOUNDING:
        return 0.0 if seen.knows[DEVICE] else math.nan
    return _surprise(record, seen, DEVICE, policy)


@compiled
def _agent(record: Row, seen: Row, policy: Row) -> float:
    """Return how new the user-agent family is; 0 on a trusted device, little where the device is new as well."""
    usual = not seen.shows[AGENT] and seen.unsent[AGENT] >= FOUNDING
    bits = 0.0 if usual else _surprise(record, seen, AGENT, policy)
    if trusted(seen, DEVICE, policy) and bits > 0.0:
        bits = 0.0
    return bits * policy.familiarity_implied_share if seen.knows[DEVICE] else bits


@compiled
def give_credit(item: Row, record: Row, seen: Row, contradiction: float, policy: Row, credit: np.ndarray) -> None:
    """Fill `credit`, in order of CREDIT, with what is taken back from what is new, because the login shows what a
    stranger would hardly have.

    Per attribute the log-odds that the user shows it against the chance that a stranger does, times `points_per_bit`.
    The surer the `contradiction` (0 to 1) of an impossible journey, the less a device vouches: it may have been stolen.
    A network that strangers share vouches for nobody.
    """
    per_bit = policy.familiarity_points_per_bit
    device = _odds(record, seen, DEVICE, policy.chance_device, policy)
    if not seen.shows[DEVICE] and seen.unsent[DEVICE] == TRUSTED and not seen.knows[DEVICE]:
        device = -math.log2(policy.chance_absent)
    prefix, network = 0.0, 0.0
    if not (exposed(item) or sharing_class(item, policy) == VENUE):
        prefix = _odds(record, seen, PREFIX, policy.network_chance[item.kind], policy)
        network = _odds(record, seen, NETWORK, policy.chance_network, policy)
    agent = 0.0 if trusted(seen, DEVICE, policy) else _odds(record, seen, AGENT, policy.chance_agent, policy)
    credit[0] = rounded(device * per_bit * (1.0 - contradiction), 1e3)
    credit[1] = rounded(prefix * per_bit, 1e3)
    credit[2] = 0.0 if prefix > 0 else rounded(network * per_bit, 1e3)
    credit[3] = rounded(agent * per_bit, 1e3)


@compiled
def _odds(record: Row, seen: Row, at: int, chance: float, policy: Row) -> float:
    """Return log2 of how much likelier this user than a stranger shows a trusted value; 0 and more."""
    if not trusted(seen, at, policy):
        return 0.0
    likely = (1.0 - min(new_rate(record, at, policy), 1.0)) * seen.share[at]
    return max(math.log2(max(likely, 1e-9) / chance), 0.0)


@compiled
def ignored_step_ups(item: Row, record: Row, seen: Row, policy: Row) -> float:
    """Return how far step-ups that were asked for lately, and that nobody passed, tell against a login that nothing
    vouches for: more the more there were (IGNORED make 1) and the later the last one was.

    What vouches is a device or a prefix that is trusted or founded the history; where the user sends none, or always
    another, software and network together.
    """
    if record.learned + record.ignored == 0:
        return math.nan
    software = seen.status[AGENT] >= FOUNDING or not seen.knows[AGENT]
    inside = seen.status[PREFIX] >= FOUNDING and not EXPOSED[item.kind]
    usual = software and seen.status[NETWORK] >= FOUNDING and changes_devices(record, seen, policy)
    if seen.status[DEVICE] >= FOUNDING or inside or usual:
        return 0.0
    age = max(item.time // DAY_MS - signed(record.ignored_day), 0)
    return min(record.ignored / IGNORED, 1.0) * max(1.0 - age / policy.familiarity_ignored_days, 0.0)
