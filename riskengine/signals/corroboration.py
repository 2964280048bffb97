"""Does what the client says of itself agree with its address? What it says may add risk, and never removes any.

An address alone is easily borrowed: a proxy in the right street costs little. A client that tells more than its address
may contradict it. Saying nothing contradicts nothing, and is missed where this user's clients usually speak.
"""

import math

import numpy as np

from riskengine.compiled import Row, compiled
from riskengine.event import NETWORK_TYPES
from riskengine.geo import R99_PER_R67, distance_km
from riskengine.history.habits import ALL_CLAIMS, ELSEWHERE, UNATTENDED, own_offset, told
from riskengine.history.record import PLACE, PREFIX, TRUSTED
from riskengine.network import PLACELESS, WIDE, Kind

_DAY = 24 * 60
_MINUTES_PER_DEGREE = 4.0
_KM_PER_DEGREE = 111.195
# A browser that asks its own address for a position says tens of km. One that says more is not believed: whoever
# claims not to know where they are must not be able to be anywhere.
ACCURACY_MOST_KM = 100.0
# Servers that round down, or do not measure, say 0; nobody is nearer than this allows.
RTT_LEAST_MS = 1.0
_UNKNOWN, _BROADBAND = int(Kind.UNKNOWN), int(Kind.BROADBAND)


@compiled
def _share(item: Row, seen: Row, policy: Row) -> float:
    """Return how much a contradiction with the address's place or kind weighs: the chance that the database is right.

    That is half where the kind of network is known only roughly in place, and half again where the prefix is the
    user's own: it is likelier wrong in the database than borrowed.
    """
    rough = 0.5 if WIDE[item.kind] else 1.0
    own = 0.5 if seen.status[PREFIX] == TRUSTED else 1.0
    return rough * own * (1.0 - min(policy.network_gross_error[item.kind], 1.0))


@compiled
def _clock_gap(offset: float, other: float) -> float:
    """Return how many minutes `offset` is ahead of `other`, from -720 up to 720: there are 24 hours on a clock."""
    return (offset - other + _DAY / 2) % _DAY - _DAY / 2


@compiled
def _clock_of_address(item: Row) -> tuple[float, float]:
    """Return the offset at the address, NaN where it says nothing of its user, and the minutes that it may be out.

    A place at the rim of its 99 % disc lies further east or west, where the sun is earlier or later.
    """
    if ELSEWHERE[item.kind] or math.isnan(item.radius):
        return math.nan, math.nan
    across = max(math.cos(math.radians(item.latitude)), 0.1) * _KM_PER_DEGREE
    return item.offset, item.radius * R99_PER_R67 / across * _MINUTES_PER_DEGREE


@compiled
def _disagree(gap: float, slack: float, policy: Row) -> float:
    over = abs(gap) - slack - policy.corroboration_timezone_minutes
    span = policy.corroboration_timezone_full_minutes - policy.corroboration_timezone_minutes
    return _part(over, max(span, 1))


@compiled
def _part(over: float, full: float) -> float:
    """Return `over` as a part of `full`, 0 to 1; NaN stays NaN."""
    return math.nan if math.isnan(over) else min(max(over / full, 0.0), 1.0)


@compiled
def timezone_mismatch(item: Row, record: Row, seen: Row, policy: Row) -> float:
    """Return how far the client's clock is from the address's: 0 up to `timezone_minutes` apart, 1 from
    `timezone_full_minutes` on; NaN where either is unknown.

    How uncertain the place is counts in the address's favour. A clock as this user usually has it is worth half at
    most (a traveller's laptop keeps the time of home), and nothing in a prefix or at a place that is trusted (an
    office's exit abroad). Where the address stands for a gateway or for nowhere, only the user's usual clock is left to
    compare with: a tunnel's exit may be in the right country while the clock is not.
    """
    if math.isnan(item.client_offset):
        return math.nan
    address, slack = _clock_of_address(item)
    usual = own_offset(record)
    from_usual = _disagree(_clock_gap(item.client_offset, usual), 0.0, policy)
    if math.isnan(address):
        return from_usual
    own = seen.status[PREFIX] == TRUSTED or seen.status[PLACE] == TRUSTED
    least = 0.0 if own else 0.5
    share = 1.0 if math.isnan(usual) else least + (1.0 - least) * from_usual
    return _disagree(_clock_gap(item.client_offset, address), slack, policy) * share


@compiled
def position_mismatch(item: Row, seen: Row, policy: Row) -> float:
    """Return how far the client's position is from the address's: 0 where the discs of 99 % confidence come within
    `slack_km` of each other, 1 from `full_km` further on, less where the address is rough or the user's own; NaN where
    either is unknown or the address stands for a gateway."""
    if PLACELESS[item.kind]:
        return math.nan
    accuracy = min(item.client_accuracy, ACCURACY_MOST_KM)
    apart = claimed_km(item) - R99_PER_R67 * (item.radius + accuracy) - policy.corroboration_slack_km
    return _part(apart, policy.corroboration_full_km) * _share(item, seen, policy)


@compiled
def claimed_km(item: Row) -> float:
    """Return the distance in km from the address's place to the position the client claims, NaN unknown."""
    return distance_km(item.latitude, item.longitude, item.client_latitude, item.client_longitude)


@compiled
def rtt_mismatch(item: Row, seen: Row, policy: Row, edge: np.ndarray) -> float:
    """Return how far beyond the reach of light the address is from the edge that answered it: 1 from `full_km` on.

    Light in fibre goes `light_km_per_ms` there and back in a millisecond, so a short round trip refutes a far place; a
    long one proves nothing. `edge` is its latitude and longitude. NaN without a round trip, for an edge the policy does
    not know, and where the address stands for a gateway.
    """
    if PLACELESS[item.kind] or math.isnan(item.rtt):
        return math.nan
    reach = policy.corroboration_light_km_per_ms * max(item.rtt, RTT_LEAST_MS)
    beyond = edge_km(item, edge) - R99_PER_R67 * item.radius - reach
    return _part(beyond, policy.corroboration_full_km) * _share(item, seen, policy)


@compiled
def edge_km(item: Row, edge: np.ndarray) -> float:
    """Return the distance in km from the address's place to the edge that answered, NaN unknown."""
    return distance_km(item.latitude, item.longitude, edge[0], edge[1])


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


@compiled
def connection_mismatch(item: Row, seen: Row) -> float:
    """Return how far the connection the client claims contradicts the kind of its network.

    It weighs as much as the list is sure of the operator. An operator on no list is taken for broadband, as most are,
    but may be a carrier: that contradicts nothing, and is NaN, as are a kind unknown or a gateway, and no claim. The
    claim changes nothing else: no radius and no kind.
    """
    kind, listed = item.kind, item.listed
    presumed = kind == _BROADBAND and listed != _BROADBAND
    if item.claimed_type < 0 or kind == _UNKNOWN or PLACELESS[kind] or presumed:
        return math.nan
    sure = float(item.listed_confidence) if kind == listed else 1.0
    return _CONTRADICTS[item.claimed_type, kind] * sure * (0.5 if seen.status[PREFIX] == TRUSTED else 1.0)


@compiled
def missing_evidence(item: Row, record: Row, policy: Row) -> float:
    """Return which share of what this user's clients usually tell is not told this time; NaN where nothing is usual.

    Usual is what at least `usual_share` of at least `usual_logins` remembered logins told, of time zone, position,
    round trip and type of connection. A token is refreshed by a program, which tells nothing.
    """
    usual, said = _usual(record, policy), told(item)
    expected, missed = 0, 0
    for at in range(ALL_CLAIMS):
        expected += usual >> at & 1
        missed += (usual & ~said) >> at & 1
    if expected == 0 or item.action == UNATTENDED:
        return math.nan
    return missed / expected


@compiled
def _usual(record: Row, policy: Row) -> int:
    """Return as bits which of CLAIMS a user's clients usually tell."""
    bits = 0
    if record.claims_of >= max(policy.corroboration_usual_logins, 1):
        for at in range(ALL_CLAIMS):
            if record.claims[at] >= policy.corroboration_usual_share * record.claims_of:
                bits |= 1 << at
    return bits


@compiled
def tell(item: Row, record: Row, policy: Row, edge: np.ndarray, verdict: Row) -> None:
    """Write into a verdict what the sentences of these signals tell.

    `clock_ahead`: minutes (below 0: behind) the client's zone is ahead of the one it is compared with, NaN unknown;
    `clock_usual`: that is the user's usual one rather than the address's; `claimed_km` and `edge_km`: distances from
    the address's place; `missed`: bits of CLAIMS that are usual and were not told.
    """
    address, _ = _clock_of_address(item)
    verdict.clock_usual = math.isnan(address)
    verdict.clock_ahead = item.client_offset - (own_offset(record) if verdict.clock_usual else address)
    verdict.claimed_km, verdict.edge_km = claimed_km(item), edge_km(item, edge)
    verdict.missed = _usual(record, policy) & ~told(item)
