"""What sort of network is this: how far it hides people or is open to anyone, and what others did there."""

import math
from enum import IntEnum

import numpy as np

from riskengine.compiled import Row, compiled
from riskengine.geo import rounded
from riskengine.history.record import COUNTRY, MASKED, NETWORK, PLACE, PREFIX, TRUSTED
from riskengine.network import ANONYMISING, EXPOSED, Kind
from riskengine.signals.attempts import at_home, mostly_failing


class Shared(IntEnum):
    """What an address is that many of the organisation's users share, as far as their logins tell."""

    NONE = 0  # few share it, or its kind explains that many do
    CGNAT = 1  # a carrier's gateway
    WORKPLACE = 2  # the same people come day after day: an office, or its egress
    VENUE = 3  # many people come, each seldom


NONE, CGNAT, WORKPLACE, VENUE = map(int, Shared)
# What says that an address is open to anyone: a code of `public_evidence`.
PUBLIC_EVIDENCE = ("", "learned", "listed", "client")
_CARRIER = np.isin(np.arange(len(Kind)), (Kind.MOBILE, Kind.SATELLITE))
_PUBLIC = np.isin(np.arange(len(Kind)), (Kind.PUBLIC_WIFI, Kind.INFLIGHT))
# Masks and relays are shared because of what they are; behind rented servers an organisation may have its egress.
_MASK = np.isin(np.arange(len(Kind)), (Kind.VPN, Kind.TOR, Kind.RESIDENTIAL_PROXY, Kind.ABUSE, Kind.RELAY, Kind.CDN))
_UNKNOWN, _HOSTING, _VPN = int(Kind.UNKNOWN), int(Kind.HOSTING), int(Kind.VPN)
_PROXY, _PRIVATE = int(Kind.CORPORATE_PROXY), int(Kind.PRIVATE)


@compiled
def risky_network(item: Row, record: Row, seen: Row, policy: Row) -> float:
    """Return the risk of the network's kind, 0 to 1, by the policy; NaN where the kind is unknown.

    What the client says of its network counts where it makes matters worse, and never otherwise. The more often a user
    comes from behind a mask, the less it says; a prefix that they are trusted in (their own VPN) counts half.
    """
    if item.kind == _UNKNOWN and item.claimed == _UNKNOWN:
        return math.nan
    risk = policy.network_risk[item.kind]
    if ANONYMISING[item.kind]:
        risk *= masked_habit(item, record, seen, policy)
    if seen.status[PREFIX] == TRUSTED:
        risk *= 0.5
    return max(risk, policy.network_risk[item.claimed])


@compiled
def exposed(item: Row) -> bool:
    """Return whether strangers may share the network, or it hides who is behind it: by evidence or by the client."""
    return EXPOSED[item.kind] or EXPOSED[item.claimed]


@compiled
def sharing_class(item: Row, policy: Row) -> int:
    """Return a Shared code for an item's address: `venue_users` other known users came in the last full days.

    Counts do not tell a carrier's gateway from a venue, so the network's kind does. A workplace is where they came on
    `workplace_days` days each; until a new office has been used on so many days it looks like a venue.
    """
    kind = item.kind
    if kind == _PROXY:
        return WORKPLACE
    if item.line_regulars < max(policy.sharing_venue_users, 1):
        return NONE
    if _CARRIER[kind]:
        return CGNAT
    if _MASK[kind]:
        return NONE
    if item.line_user_days >= policy.sharing_workplace_days * item.line_regulars:
        return WORKPLACE
    return NONE if kind == _HOSTING else VENUE


@compiled
def shared_address(item: Row, policy: Row) -> float:
    """Return how surely strangers share this address, 0 to 1: the strongest of what `public_evidence` names.

    0 where it was seen and is none that many share, or a workplace or a carrier's gateway; NaN where nobody else was
    seen there and nothing else tells.
    """
    value = max(_learned(item, policy), _listed(item, policy), _admitted(item))
    unseen = item.line_regulars == 0 and item.line_attempts == 0
    return math.nan if value == 0 and unseen else value


@compiled
def public_evidence(item: Row, policy: Row) -> int:
    """Return the index into PUBLIC_EVIDENCE of what says most that strangers share the address; 0 for nothing."""
    learned, listed, admitted = _learned(item, policy), _listed(item, policy), _admitted(item)
    if max(learned, listed, admitted) == 0.0:
        return 0
    if admitted >= max(learned, listed):
        return 3
    return 2 if listed >= learned else 1


@compiled
def _learned(item: Row, policy: Row) -> float:
    """Return how many came there, 0 to 1, where it is a venue."""
    venue = item.line_regulars / max(2 * policy.sharing_venue_users, 1)
    return min(venue, 1.0) if sharing_class(item, policy) == VENUE else 0.0


@compiled
def _listed(item: Row, policy: Row) -> float:
    """Return how sure the database or the list of operators is, 0 to 1, that anybody may come, unless only the same
    people do."""
    if not _PUBLIC[item.kind] or sharing_class(item, policy) == WORKPLACE:
        return 0.0
    return rounded(float(item.listed_confidence), 1e6) if item.listed == item.kind else 1.0


@compiled
def _admitted(item: Row) -> float:
    """Return 1 where the client says that anybody may come: it is believed in this."""
    return 1.0 if _PUBLIC[item.claimed] else 0.0


@compiled
def bad_address(item: Row, seen: Row, policy: Row) -> float:
    """Return how bad the address was on earlier days, 0 to 1: users tried there in vain, where few others got in.

    Each user counts once a day. 0 for a user who is at home; NaN where nobody else was seen at the address.
    """
    if item.line_attempts == 0:
        return math.nan
    failing = mostly_failing(item.line_attempts, item.line_failures, policy.sharing_bad_failure_share)
    if not failing or item.line_failed_users < policy.sharing_fewest or at_home(seen):
        return 0.0
    return min(item.line_failed_users / max(policy.sharing_bad_failed_users, 1), 1.0)


@compiled
def masked_habit(item: Row, record: Row, seen: Row, policy: Row) -> float:
    """Return how unusual it is for this user to come from behind a mask: 1 never seen, towards 0 the more they do, and
    sooner so where it is a known kind of tunnel, or of an operator they are trusted with, than at a rented server."""
    share = record.news[MASKED] / (record.shown[MASKED] + policy.familiarity_logins)
    theirs = seen.status[NETWORK] == TRUSTED or item.kind == _VPN
    return 1.0 - (math.sqrt(share) if theirs else share)


@compiled
def colleague_bits(item: Row, policy: Row, bits: np.ndarray) -> None:
    """Fill `bits`, by attribute, with the log-odds in the user's favour because known colleagues come from there.

    They grow with the logarithm of their number, up to the policy's bits. Fewer than `fewest` say nothing, and nobody
    speaks for a network that strangers share, that hides who is behind it, or where others were tried in vain. A prefix
    must have been come to day after day, and not be a carrier's: few stolen accounts, or a café, make no workplace.
    """
    bits[:] = 0.0
    failing = mostly_failing(item.line_attempts, item.line_failures, policy.sharing_bad_failure_share)
    bad = failing and item.line_failed_users >= max(policy.sharing_fewest, 1)
    if exposed(item) or item.kind == _PRIVATE or bad:
        return
    daily = item.prefix_user_days >= policy.sharing_workplace_days * item.prefix_regulars
    if daily and not _CARRIER[item.kind] and sharing_class(item, policy) != VENUE:
        bits[PREFIX] = _said(item.prefix_regulars, policy.sharing_prefix_bits, policy)
    bits[NETWORK] = _said(item.network_regulars, policy.sharing_network_bits, policy)
    bits[PLACE] = _said(item.place_regulars, policy.sharing_place_bits, policy)
    bits[COUNTRY] = _said(item.country_regulars, policy.sharing_country_bits, policy)


@compiled
def _said(count: int, most: float, policy: Row) -> float:
    """Return the bits that so many colleagues are worth, `most` at most."""
    if count < max(policy.sharing_fewest, 1):
        return 0.0
    share = min(math.log2(1.0 + count) / math.log2(1.0 + max(policy.sharing_colleagues, 1)), 1.0)
    return rounded(most * share, 1e6)
