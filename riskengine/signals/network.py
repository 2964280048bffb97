"""What sort of network is this: how far it hides people or is open to anyone, and what others did there."""

from enum import IntEnum

import numpy as np

from riskengine.history.record import HABITS, Records, Seen, Status
from riskengine.network import ANONYMISING, EXPOSED, Kind
from riskengine.policy.policy import Policy
from riskengine.signals.attempts import at_home, mostly_failing


class Shared(IntEnum):
    """What an address is that many of the organisation's users share, as far as their logins tell."""

    NONE = 0  # few share it, or its kind explains that many do
    CGNAT = 1  # a carrier's gateway
    WORKPLACE = 2  # the same people come day after day: an office, or its egress
    VENUE = 3  # many people come, each seldom


# What says that an address is open to anyone: a code of `public_evidence`.
PUBLIC_EVIDENCE = ("", "learned", "listed", "client")
_CARRIER = np.isin(np.arange(len(Kind)), (Kind.MOBILE, Kind.SATELLITE))
_PUBLIC = np.isin(np.arange(len(Kind)), (Kind.PUBLIC_WIFI, Kind.INFLIGHT))
# Masks and relays are shared because of what they are; behind rented servers an organisation may have its egress.
_MASK = np.isin(np.arange(len(Kind)), (Kind.VPN, Kind.TOR, Kind.RESIDENTIAL_PROXY, Kind.ABUSE, Kind.RELAY, Kind.CDN))


def risky_network(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return the risk of the network's kind, 0 to 1, by the policy; NaN where the kind is unknown.

    What the client says of its network counts where it makes matters worse, and never otherwise. The more often a user
    comes from behind a mask, the less it says; a prefix that they are trusted in (their own VPN) counts half.
    """
    risk = policy.networks.risk[items["kind"]]
    risk = np.where(ANONYMISING[items["kind"]], risk * masked_habit(items, records, seen, policy), risk)
    own = seen.status["prefix"] == Status.TRUSTED
    risk = np.where(own, risk * 0.5, risk)
    risk = np.maximum(risk, policy.networks.risk[items["claimed"]])
    unknown = (items["kind"] == Kind.UNKNOWN) & (items["claimed"] == Kind.UNKNOWN)
    return np.where(unknown, np.nan, risk)


def exposed(items: np.ndarray) -> np.ndarray:
    """Return whether strangers may share the network, or it hides who is behind it: by evidence or by the client."""
    return EXPOSED[items["kind"]] | EXPOSED[items["claimed"]]


def sharing_class(items: np.ndarray, policy: Policy) -> np.ndarray:
    """Return a Shared code (int8) for each item's address: `venue_users` other known users came in the last full days.

    Counts do not tell a carrier's gateway from a venue, so the network's kind does. A workplace is where they came on
    `workplace_days` days each; until a new office has been used on so many days it looks like a venue.
    """
    kind, rules = items["kind"], policy.sharing
    shared = items["line_regulars"] >= max(rules.venue_users, 1)
    daily = items["line_user_days"] >= rules.workplace_days * items["line_regulars"]
    found = np.where(daily, Shared.WORKPLACE, np.where(kind == Kind.HOSTING, Shared.NONE, Shared.VENUE))
    found = np.where(_CARRIER[kind], Shared.CGNAT, np.where(_MASK[kind], Shared.NONE, found))
    found = np.where(shared, found, Shared.NONE)
    return np.where(kind == Kind.CORPORATE_PROXY, Shared.WORKPLACE, found).astype(np.int8)


def shared_address(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how surely strangers share this address, 0 to 1: the strongest of what `public_evidence` names.

    0 where it was seen and is none that many share, or a workplace or a carrier's gateway; NaN where nobody else was
    seen there and nothing else tells.
    """
    value = np.maximum.reduce(list(_public(items, policy).values()))
    unseen = (items["line_regulars"] == 0) & (items["line_attempts"] == 0)
    return np.where((value == 0) & unseen, np.nan, value)


def public_evidence(items: np.ndarray, policy: Policy) -> np.ndarray:
    """Return the index into PUBLIC_EVIDENCE of what says most that strangers share the address; 0 for nothing."""
    values = np.array([np.zeros(len(items)), *_public(items, policy).values()])
    return np.where(values.any(axis=0), len(values) - 1 - np.argmax(values[::-1], axis=0), 0)


def _public(items: np.ndarray, policy: Policy) -> dict[str, np.ndarray]:
    """Return what each kind of evidence says, 0 to 1: who came there (`learned`), the database or the list of operators
    (`listed`, as far as the list is sure, and unless it is a workplace), and the client, who is believed in this."""
    kind, shared = items["kind"], sharing_class(items, policy)
    venue = items["line_regulars"] / max(2 * policy.sharing.venue_users, 1)
    sure = np.where(items["listed"] == kind, np.round(items["listed_confidence"].astype(np.float64), 6), 1.0)
    return {
        "learned": np.where(shared == Shared.VENUE, np.minimum(venue, 1.0), 0.0),
        "listed": np.where(_PUBLIC[kind] & (shared != Shared.WORKPLACE), sure, 0.0),
        "client": np.where(_PUBLIC[items["claimed"]], 1.0, 0.0),
    }


def bad_address(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how bad the address was on earlier days, 0 to 1: users tried there in vain, where few others got in.

    Each user counts once a day. 0 for a user who is at home; NaN where nobody else was seen at the address.
    """
    rules = policy.sharing
    failing = mostly_failing(items["line_attempts"], items["line_failures"], rules.bad_failure_share)
    users = items["line_failed_users"]
    value = np.minimum(users / max(rules.bad_failed_users, 1), 1.0)
    value = np.where(failing & (users >= rules.fewest) & ~at_home(seen), value, 0.0)
    return np.where(items["line_attempts"] == 0, np.nan, value)


def masked_habit(items: np.ndarray, records: Records, seen: Seen, policy: Policy) -> np.ndarray:
    """Return how unusual it is for this user to come from behind a mask: 1 never seen, towards 0 the more they do, and
    sooner so where it is a known kind of tunnel, or of an operator they are trusted with, than at a rented server."""
    at = HABITS.index("masked")
    news, shown = records["news"][:, at].astype(np.float64), records["shown"][:, at].astype(np.float64)
    share = news / (shown + policy.familiarity.logins)
    theirs = (seen.status["network"] == Status.TRUSTED) | (items["kind"] == Kind.VPN)
    return 1.0 - np.where(theirs, np.sqrt(share), share)


def colleague_bits(items: np.ndarray, policy: Policy) -> dict[str, np.ndarray]:
    """Return the log-odds in the user's favour, in bits, because known colleagues come from there, by attribute.

    They grow with the logarithm of their number, up to the policy's bits. Fewer than `fewest` say nothing, and nobody
    speaks for a network that strangers share, that hides who is behind it, or where others were tried in vain. A prefix
    must have been come to day after day, and not be a carrier's: few stolen accounts, or a café, make no workplace.
    """
    rules, kind = policy.sharing, items["kind"]
    failing = mostly_failing(items["line_attempts"], items["line_failures"], rules.bad_failure_share)
    bad = failing & (items["line_failed_users"] >= max(rules.fewest, 1))
    silent = exposed(items) | (kind == Kind.PRIVATE) | bad
    daily = items["prefix_user_days"] >= rules.workplace_days * items["prefix_regulars"]
    theirs = daily & ~_CARRIER[kind] & (sharing_class(items, policy) != Shared.VENUE)
    found = {}
    for name in ("prefix", "network", "place", "country"):
        count = items[f"{name}_regulars"].astype(np.float64)
        share = np.minimum(np.log2(1 + count) / np.log2(1 + max(rules.colleagues, 1)), 1.0)
        said = (count >= max(rules.fewest, 1)) & ~silent & (theirs | (name != "prefix"))
        found[name] = np.where(said, np.round(getattr(rules, f"{name}_bits") * share, 6), 0.0)
    return found
