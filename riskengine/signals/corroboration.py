"""Does what the client says of itself agree with its address? What it says may add risk, and never removes any.

An address alone is easily borrowed: a proxy in the right street costs little. A client that tells more than its address
may contradict it. Saying nothing contradicts nothing, and is missed where this user's clients usually speak.
"""

from collections.abc import Mapping

import numpy as np

from riskengine.event import NETWORK_TYPES
from riskengine.geo import R99_PER_R67, distance_km
from riskengine.history.habits import ELSEWHERE, UNATTENDED, own_offset, told
from riskengine.history.record import CLAIMS, Records, Seen, Status
from riskengine.network import PLACELESS, WIDE, Kind
from riskengine.policy.policy import Policy

_DAY = 24 * 60
_MINUTES_PER_DEGREE = 4.0
_KM_PER_DEGREE = 111.195
# A browser that asks its own address for a position says tens of km. One that says more is not believed: whoever
# claims not to know where they are must not be able to be anywhere.
ACCURACY_MOST_KM = 100.0
# Servers that round down, or do not measure, say 0; nobody is nearer than this allows.
RTT_LEAST_MS = 1.0


def _share(items: np.ndarray, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how much a contradiction with the address's place or kind weighs: the chance that the database is right.

    That is half where the kind of network is known only roughly in place, and half again where the prefix is the
    user's own: it is likelier wrong in the database than borrowed.
    """
    rough = np.where(WIDE[items["kind"]], 0.5, 1.0)
    own = np.where(seen.status["prefix"] == Status.TRUSTED, 0.5, 1.0)
    return rough * own * (1.0 - np.minimum(policy.networks.gross_error[items["kind"]], 1.0))


def _clock_gap(offset: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how many minutes `offset` is ahead of `other`, from -720 up to 720: there are 24 hours on a clock."""
    return (offset - other + _DAY / 2) % _DAY - _DAY / 2


def _clock_of_address(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset at the address, NaN where it says nothing of its user, and the minutes that it may be out.

    A place at the rim of its 99 % disc lies further east or west, where the sun is earlier or later.
    """
    offset = np.where(ELSEWHERE[items["kind"]] | np.isnan(items["radius"]), np.nan, items["offset"])
    across = np.maximum(np.cos(np.radians(items["latitude"])), 0.1) * _KM_PER_DEGREE
    return offset, items["radius"] * R99_PER_R67 / across * _MINUTES_PER_DEGREE


def _disagree(gap: np.ndarray, slack: np.ndarray | float, policy: Policy) -> np.ndarray:
    rules = policy.corroboration
    over = np.abs(gap) - slack - rules.timezone_minutes
    return np.clip(over / max(rules.timezone_full_minutes - rules.timezone_minutes, 1), 0.0, 1.0)


def timezone_mismatch(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how far the client's clock is from the address's: 0 up to `timezone_minutes` apart, 1 from
    `timezone_full_minutes` on; NaN where either is unknown.

    How uncertain the place is counts in the address's favour. A clock as this user usually has it is worth half at
    most (a traveller's laptop keeps the time of home), and nothing in a prefix or at a place that is trusted (an
    office's exit abroad). Where the address stands for a gateway or for nowhere, only the user's usual clock is left to
    compare with: a tunnel's exit may be in the right country while the clock is not.
    """
    if np.isnan(items["client_offset"]).all():
        return np.full(len(items), np.nan)
    address, slack = _clock_of_address(items)
    usual = own_offset(records)
    from_usual = _disagree(_clock_gap(items["client_offset"], usual), 0.0, policy)
    from_address = _disagree(_clock_gap(items["client_offset"], address), slack, policy)
    own = (seen.status["prefix"] == Status.TRUSTED) | (seen.status["place"] == Status.TRUSTED)
    least = np.where(own, 0.0, 0.5)
    share = np.where(np.isnan(usual), 1.0, least + (1.0 - least) * from_usual)
    return np.where(np.isnan(address), from_usual, from_address * share)


def position_mismatch(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how far the client's position is from the address's: 0 where the discs of 99 % confidence come within
    `slack_km` of each other, 1 from `full_km` further on, less where the address is rough or the user's own; NaN where
    either is unknown or the address stands for a gateway."""
    if np.isnan(items["client_latitude"]).all():
        return np.full(len(items), np.nan)
    accuracy = np.minimum(items["client_accuracy"], ACCURACY_MOST_KM)
    rules = policy.corroboration
    apart = claimed_km(items) - R99_PER_R67 * (items["radius"] + accuracy) - rules.slack_km
    value = np.clip(apart / rules.full_km, 0.0, 1.0) * _share(items, seen, policy)
    return np.where(PLACELESS[items["kind"]], np.nan, value)


def claimed_km(items: np.ndarray) -> np.ndarray:
    """Return the distance in km from the address's place to the position the client claims, NaN unknown."""
    return distance_km(items["latitude"], items["longitude"], items["client_latitude"], items["client_longitude"])


def places_of(edges: Mapping[str, int], policy: Policy) -> np.ndarray:
    """Return latitude and longitude of each edge of a batch, as the policy knows it; NaN for others and for the last
    row, which stands for no edge."""
    nowhere = (np.nan, np.nan)
    return np.array([*(policy.corroboration.edges.get(name, nowhere) for name in edges), nowhere])


def rtt_mismatch(
    items: np.ndarray, records: Records, seen: Seen, policy: Policy, edges: np.ndarray
) -> np.ndarray:
    """Return how far beyond the reach of light the address is from the edge that answered it: 1 from `full_km` on.

    Light in fibre goes `light_km_per_ms` there and back in a millisecond, so a short round trip refutes a far place; a
    long one proves nothing. `edges` is what `places_of` makes of the batch's edges. NaN without a round trip, for an
    edge the policy does not know, and where the address stands for a gateway.
    """
    if np.isnan(items["rtt"]).all():
        return np.full(len(items), np.nan)
    rules = policy.corroboration
    reach = rules.light_km_per_ms * np.maximum(items["rtt"], RTT_LEAST_MS)
    beyond = edge_km(items, edges) - R99_PER_R67 * items["radius"] - reach
    value = np.clip(beyond / rules.full_km, 0.0, 1.0) * _share(items, seen, policy)
    return np.where(PLACELESS[items["kind"]], np.nan, value)


def edge_km(items: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the distance in km from the address's place to the edge that answered, NaN unknown."""
    there = edges[items["edge"]]
    return distance_km(items["latitude"], items["longitude"], there[:, 0], there[:, 1])


def _contradictions() -> np.ndarray:
    """Return how far a type of connection (row) contradicts a kind of network (column), 0 to 1.

    Wi-Fi may end in any line, a VPN may run over any; a dish or a mobile router may have a socket for a wire.
    """
    table = np.zeros((len(NETWORK_TYPES), len(Kind)))
    for claim, kind, value in (
        ("cellular", Kind.BROADBAND, 1.0),
        ("cellular", Kind.PUBLIC_WIFI, 0.5),
        ("wired", Kind.INFLIGHT, 1.0),
        ("wired", Kind.MOBILE, 0.5),
        ("satellite", Kind.BROADBAND, 1.0),
        ("satellite", Kind.MOBILE, 1.0),
    ):
        table[NETWORK_TYPES.index(claim), kind] = value
    return table


_CONTRADICTS = _contradictions()


def connection_mismatch(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how far the connection the client claims contradicts the kind of its network.

    It weighs as much as the list is sure of the operator. An operator on no list is taken for broadband, as most are,
    but may be a carrier: that contradicts nothing, and is NaN, as are a kind unknown or a gateway, and no claim. The
    claim changes nothing else: no radius and no kind.
    """
    if (items["claimed_type"] < 0).all():
        return np.full(len(items), np.nan)
    kind, listed = items["kind"], items["listed"]
    sure = np.where(kind == listed, items["listed_confidence"].astype(np.float64), 1.0)
    presumed = (kind == Kind.BROADBAND) & (listed != Kind.BROADBAND)
    unknown = (items["claimed_type"] < 0) | (kind == Kind.UNKNOWN) | PLACELESS[kind] | presumed
    own = np.where(seen.status["prefix"] == Status.TRUSTED, 0.5, 1.0)
    return np.where(unknown, np.nan, _CONTRADICTS[items["claimed_type"], kind] * sure * own)


def missing_evidence(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return which share of what this user's clients usually tell is not told this time; NaN where nothing is usual.

    Usual is what at least `usual_share` of at least `usual_logins` remembered logins told, of time zone, position,
    round trip and type of connection. A token is refreshed by a program, which tells nothing.
    """
    usual = _usual(records, policy)
    if not usual.any():
        return np.full(len(items), np.nan)
    expected = usual.sum(axis=1)
    missed = (usual & ~told(items)).sum(axis=1)
    unknown = (expected == 0) | (items["action"] == UNATTENDED)
    return np.where(unknown, np.nan, missed / np.maximum(expected, 1))


def _usual(records: Records, policy: Policy) -> np.ndarray:
    """Return which of CLAIMS each user's clients usually tell, as (n, len(CLAIMS)) booleans."""
    rules = policy.corroboration
    of = records["claims_of"].astype(np.int64)[:, None]
    return (of >= max(rules.usual_logins, 1)) & (records["claims"] >= rules.usual_share * of)


def facts(items: np.ndarray, records: Records, policy: Policy, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the sentences of these signals tell, as columns.

    `clock_ahead`: minutes (below 0: behind) the client's zone is ahead of the one it is compared with, NaN unknown;
    `clock_usual`: that is the user's usual one rather than the address's; `claimed_km` and `edge_km`: distances from
    the address's place; `missed`: bits of CLAIMS that are usual and were not told.
    """
    address, _ = _clock_of_address(items)
    usual = np.isnan(address)
    compared = np.where(usual, own_offset(records), address)
    bits = 1 << np.arange(len(CLAIMS))
    return {
        "clock_ahead": items["client_offset"] - compared,
        "clock_usual": usual,
        "claimed_km": claimed_km(items),
        "edge_km": edge_km(items, edges),
        "missed": ((_usual(records, policy) & ~told(items)) * bits).sum(axis=1),
    }
