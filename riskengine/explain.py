"""What decided, and what would have changed it: told from a stored answer alone, in sentences to read aloud."""

from collections.abc import Mapping, Sequence
from typing import Any


def decided(answer: Mapping[str, Any]) -> str:
    """Return what the policy decided; in observe mode what it would have."""
    return str(answer["would_be"] or answer["decision"])


def explain(answer: Mapping[str, Any]) -> list[str]:
    """Return what decided an event, and what would have changed it, from the full answer of POST /score.

    An answer that an earlier version stored does not hold what this takes, and gets no sentence.

    >>> answer = {"decision": "step_up", "would_be": None, "score": 52.5, "vouched": [], "source": "engine"}
    >>> answer |= {"signals": {"new_device": 1.0, "new_network": 0.3125}, "policy": {"step_up_at": 40.0}}
    >>> answer["reasons"] = [{"code": "new_device", "points": 40.0}, {"code": "new_network", "points": 12.5}]
    >>> for sentence in explain(answer):
    ...     print(sentence)
    The score of 52.5 reached the 40 from which a second factor is asked for.
    Without "new device" (40 points) it would have been allowed, at 12.5.
    """
    if "step_up_at" not in answer["policy"]:
        return []
    scored = [reason for reason in answer["reasons"] if reason["points"]]
    score, limit = float(answer["score"]), float(answer["policy"]["step_up_at"])
    if rules := _rules(answer):
        alone = "asked for a second factor" if score >= limit else "allowed it"
        return [*rules, f"The score of {score:g} alone would have {alone}: it asks from {limit:g} on."]
    if decided(answer) == "allow":
        return _allowed(score, limit, answer["vouched"])
    reached = f"The score of {score:g} reached the {limit:g} from which a second factor is asked for."
    return [reached, *_enough(score, limit, scored)]


def _rules(answer: Mapping[str, Any]) -> list[str]:
    """Return what decided, or had a part in it, besides the score."""
    found = [f"{reason['message']} ({reason['code']})." for reason in answer["reasons"] if not reason["points"]]
    if answer["signals"].get("user_at_risk"):
        found.append("A user at risk is always asked for a second factor, also after one was passed.")
    if answer["source"] == "fallback":
        found.append("It was answered without the store: of the score and the policy's fallback the stricter counts.")
    return found


def _allowed(score: float, limit: float, vouched: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why a score asked for nothing, and how much was missing."""
    if score >= limit:
        return [f"The score of {score:g} asks for a second factor, which had been given already."]
    found = [f"The score of {score:g} stayed {limit - score:.1f} below the {limit:g} that asks for a second factor."]
    taken = sum(float(one["points"]) for one in vouched)
    if taken:
        names = " and ".join(one["by"] for one in vouched)
        verdict = "asked for a second factor" if round(score + taken, 1) >= limit else "still been allowed"
        found.append(
            f"The trusted {names} took back {taken:.1f} points; without that the score of {score + taken:.1f} "
            f"would have {verdict}."
        )
    return found


def _enough(score: float, limit: float, scored: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which single reasons were needed, or else how many of the strongest."""
    single = [reason for reason in scored if round(score - reason["points"], 1) < limit]
    if single:
        return [
            f"Without {_quoted(one['code'])} ({one['points']:g} points) it would have been allowed, at "
            f"{round(score - one['points'], 1):g}."
            for one in single
        ]
    left, taken = score, []
    for reason in scored:
        left = round(left - reason["points"], 1)
        taken.append(_quoted(reason["code"]))
        if left < limit:
            break
    return [f"No single reason decided: only without {' and '.join(taken)} would it have been allowed."]


def _quoted(code: str) -> str:
    """Return the name of a reason as it stands in a sentence."""
    return '"' + code.replace("_", " ") + '"'
