"""A comparison in words: facts and sections, the same for the terminal and the page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from riskengine.compare.comparison import Comparison, Decider
from riskengine.compare.example import Example, Told
from riskengine.compare.tally import Tally
from riskengine.decision import DECISIONS
from riskengine.document.section import Entry, Listing, Section
from riskengine.document.share import NO_DATA, percent, share

MOST_ROWS = 20
_CHANGES = ("changed", "of events", "share", "stricter", "laxer")


@dataclass(frozen=True, slots=True)
class Reports:
    """How many reports counted in one run, and how many were refused: they answered no step-up of its own policy."""

    counted: int
    refused: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was compared: everything somebody needs to do it again. `logs` is empty where the store's own events were
    decided again; then `reports_before` is None, for what was stored is not counted anew."""

    logs: list[str]
    before: str
    after: str
    pseudonyms: bool
    reports_before: Reports | None
    reports_after: Reports
    undecided: int
    command: str


def facts(about: Provenance, found: Comparison) -> list[tuple[str, str]]:
    """Return what was compared, as names and sentences."""
    return [
        ("events", _events(about, found)),
        ("before", f"{about.before}: {_deciders(found.before.deciders)}"),
        ("after", f"{about.after}: {_deciders(found.after.deciders)}"),
        ("reports", _reports(about)),
        ("users", _users(about, found)),
        ("again", about.command),
    ]


def headline(found: Comparison) -> str:
    """Return the figure that everybody asks for first."""
    return (
        f"{found.changed:,} of {found.events:,} decisions change ({_percent(found.changed, found.events)}): "
        f"{found.stricter:,} to a stricter one, {found.laxer:,} to a laxer one."
    )


def sections(found: Comparison) -> list[Section | Listing]:
    """Return the figures as sections."""
    return [
        _changes(found),
        _reasons(found),
        _tallies("By group", "group", found.by_group, "A user of several groups counts in each."),
        _tallies("By kind of network", "network", found.by_network, "The kind as the second run sees it."),
        _tallies("By outcome", "outcome", found.by_outcome, "How the check of the password came out."),
        _affected(found),
        _examples(found),
    ]


def _changes(found: Comparison) -> Section:
    moved = {(change.before, change.after): change.events for change in found.changes}
    kept = {name: found.before.decisions[name] - _sum_from(moved, name) for name in DECISIONS}
    rows = [
        (f"before: {name}", *(f"{kept[name] if name == to else moved.get((name, to), 0):,}" for to in DECISIONS),
         f"{found.before.decisions[name]:,}")
        for name in DECISIONS
    ]  # fmt: skip
    rows.append(("after, all", *(f"{found.after.decisions[name]:,}" for name in DECISIONS), f"{found.events:,}"))
    asked = f"{found.before.step_ups_of_successes:,} to {found.after.step_ups_of_successes:,}"
    return Section(
        "What changes",
        ("decisions", *(f"after: {name}" for name in DECISIONS), "before, all"),
        rows,
        f"{headline(found)} Step-ups of right passwords go from {asked}; {found.rescored:,} scores differ.",
    )


def _sum_from(moved: Mapping[tuple[str, str], int], name: str) -> int:
    return sum(count for (before, _), count in moved.items() if before == name)


def _reasons(found: Comparison) -> Section:
    rows = [
        (code, *(f"{count:,}" for count in (one.stricter, one.laxer, one.gained, one.lost, one.before, one.after)))
        for code, one in found.by_reason.items()
    ]
    return Section(
        "By reason",
        ("reason", "stricter", "laxer", "gained", "lost", "had before", "has after"),
        rows[:MOST_ROWS],
        "A change counts at the first reason of its stricter answer, as stricter where that is the new one. Gained and "
        f"lost: changed decisions that have the reason only now, or only had it. {_cut(len(rows))}",
    )


def _tallies(heading: str, head: str, found: Mapping[str, Tally], note: str) -> Section:
    rows = [(name, *_measure(one.events, one.stricter, one.laxer)) for name, one in found.items()]
    return Section(heading, (head, *_CHANGES), rows[:MOST_ROWS], f"{note} {_cut(len(rows))}".strip())


def _affected(found: Comparison) -> Section:
    rows = [(one.user, *_measure(one.events, one.stricter, one.laxer)) for one in found.most_affected]
    told = f"{found.users_changed:,} of {found.users:,} users get another decision at least once"
    cut = f", the first {len(rows)} here" if found.users_changed > len(rows) else ""
    return Section("Users most affected", ("user", *_CHANGES), rows, f"{told}{cut}.")


def _examples(found: Comparison) -> Listing:
    entries = [
        _entry(f"{change.before} → {change.after}", example) for change in found.changes for example in change.examples
    ]
    return Listing(
        "Examples", entries, "Of each change the first events of different users, with what either answer rests on."
    )


def _entry(change: str, example: Example) -> Entry:
    user = example.user or "no account"
    where = [] if example.log is None else [f"{example.log} line {example.line}"]
    about = [example.occurred_at, *([example.place] if example.place else []), example.network, example.outcome, *where]
    told = [("event", ", ".join(about)), ("before", _told(example.before)), ("after", _told(example.after))]
    return Entry(f"{change}: {user}, {example.event_id}", told)


def _told(told: Told) -> str:
    reasons = "; ".join(f"{one['message']} ({one['code']}, {one['points']:g})" for one in told.reasons)
    limit = "" if told.step_up_at is None else f", asked from {told.step_up_at:g} on"
    return f"{told.decision} (score {told.score:g}{limit}). {reasons or 'No reasons'}."


def _measure(events: int, stricter: int, laxer: int) -> tuple[str, ...]:
    changed = stricter + laxer
    return f"{changed:,}", f"{events:,}", _percent(changed, events), f"{stricter:,}", f"{laxer:,}"


def _percent(count: int, of: int) -> str:
    return percent(share(count, of).value)


def _cut(rows: int) -> str:
    return f"The first {MOST_ROWS} of {rows:,}." if rows > MOST_ROWS else ""


def _events(about: Provenance, found: Comparison) -> str:
    where = ", ".join(about.logs) or "the store's own, from empty histories on"
    undecided = f"; {about.undecided:,} could not be decided again" if about.undecided else ""
    if found.first is None or found.last is None:
        return f"{where}: none{undecided}"
    return f"{where}: {found.events:,}, {found.first[:10]} to {found.last[:10]}{undecided}"


def _deciders(deciders: Sequence[Decider]) -> str:
    return "; ".join(_spelled(deciders)) or NO_DATA


def _spelled(deciders: Sequence[Decider]) -> Iterator[str]:
    for one in deciders:
        observing = ", observing: counted is what it would have answered" if one.mode == "observe" else ""
        fallback = ", without the store" if one.source == "fallback" else ""
        many = f" ({one.events:,} events)" if len(deciders) > 1 else ""
        yield f"policy {one.policy} {one.version}{observing}{fallback}, places by {one.data} of {one.data_date}{many}"


def _reports(about: Provenance) -> str:
    sides = (("before", about.reports_before), ("after", about.reports_after))
    told = [f"{name} {one.counted:,} counted and {one.refused:,} refused" for name, one in sides if one is not None]
    return f"{'; '.join(told)}, which answer no step-up of that run's own policy"


def _users(about: Provenance, found: Comparison) -> str:
    named = "by pseudonym (user_ref)" if about.pseudonyms else "by the names they have there; --pseudonyms hides them"
    return f"{found.users:,}, {named}"
