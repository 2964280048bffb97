"""The logins of a log whose truth is known, and how many events are left out, for what reason."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from riskengine.evaluate.labels import Label
from riskengine.event import DAY_MS, Event
from riskengine.explain import decided
from riskengine.replay.lines import Line


class Login(NamedTuple):
    """One labelled login with a right password and what was decided; `score` in tenths, `occurred_at` ms since 1970.

    `demanded`: it would have been allowed but for what it entered.
    """

    user: str
    occurred_at: int
    label: str
    decision: str
    score: int
    maturity: str
    demanded: bool


@dataclass(slots=True)
class Sample:
    """What is measured, and what is not: each event left out is counted once, for the first reason in this order."""

    logins: list[Login] = field(default_factory=list)
    events: int = 0
    warming_up: int = 0
    failures: int = 0
    unknown_outcomes: int = 0
    unlabelled: int = 0
    unmatched_lines: list[int] = field(default_factory=list)
    data: Mapping[str, Any] | None = None


def draw(
    lines: Sequence[Line],
    answers: Iterable[tuple[int, Mapping[str, Any]]],
    labels: Mapping[str, Label],
    warm_up_days: int = 0,
) -> Sample:
    """Return the sample of a log: `lines` as gathered, and for each event decided its number there and its answer.

    Events of the first `warm_up_days` days since the first event teach but are not measured. Only `outcome: success`
    is a login: elsewhere nobody got past the password. `data` is what the places came from.
    """
    times = (line.item.occurred_at or 0 for line in lines if isinstance(line.item, Event))
    begin = min(times, default=0) + warm_up_days * DAY_MS
    sample, unmatched = Sample(), {key: label.line for key, label in labels.items()}
    for number, answer in answers:
        event = lines[number].item
        assert isinstance(event, Event)
        sample.data = sample.data or answer["data"]
        unmatched.pop(event.event_id or "", None)
        _count(sample, event, answer, labels.get(event.event_id or ""), begin)
    sample.unmatched_lines = sorted(unmatched.values())
    return sample


def _count(sample: Sample, event: Event, answer: Mapping[str, Any], label: Label | None, begin: int) -> None:
    """Measure an event, or count why not."""
    at = event.occurred_at or 0
    sample.events += 1
    if at < begin:
        sample.warming_up += 1
    elif event.outcome == "failure":
        sample.failures += 1
    elif event.outcome != "success":
        sample.unknown_outcomes += 1
    elif label is None:
        sample.unlabelled += 1
    else:
        decision, score = decided(answer), round(answer["score"] * 10)
        demanded = demanded_by_resource(answer)
        sample.logins.append(Login(event.user_id or "", at, label.name, decision, score, answer["maturity"], demanded))


def demanded_by_resource(answer: Mapping[str, Any]) -> bool:
    """Return whether a login was not allowed for what it entered alone: a demand of the policy, not a suspicion.

    So it is where the points of `sensitive_resource`, or rules about resources (their evidence holds `"resource":
    true`), are all that stands between it and an answer of allow. In doubt (another rule had a part too, if only to
    waive something) it is not: friction is rather told too high than too low.
    """
    rules = [reason for reason in answer["reasons"] if not reason["points"]]
    entered = [reason["points"] for reason in answer["reasons"] if reason["code"] == "sensitive_resource"]
    return (
        decided(answer) != "allow"
        and bool(rules or entered)
        and all(rule["evidence"].get("resource") is True for rule in rules)
        and not answer["signals"].get("user_at_risk")
        and answer["score"] - sum(entered) < answer["policy"]["step_up_at"]
    )
