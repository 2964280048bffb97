"""`python -m tests.quality.missed --seeds 0 naive`: what went wrong, a line a login, to argue with.

Without a label it lists the honest logins that were not allowed, with an attack's label the attacks that were.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from riskengine.batch import Decision
from riskengine.network import KINDS
from riskengine.policy.parse import parse
from riskengine.policy.policy import SIGNALS
from riskengine.policy.rule import MATURITY
from riskengine.settings import package_files
from tests.quality.__main__ import seeds_of
from tests.quality.attackers import LABELS
from tests.quality.parameters import of_seed
from tests.quality.population import LEGITIMATE
from tests.quality.runner import Run, prepare, run
from tests.quality.table import Measured


def lines(found: Run, label: str) -> Iterator[str]:
    """Yield a line for each login of a label that was decided the wrong way."""
    log, measured, at = found.prepared.log, Measured.of(found), found.prepared.at
    allowed = found.found.items["decision"][at] == Decision.ALLOW
    wrong = measured.honest & ~allowed if label == LEGITIMATE else measured.login & (measured.label == label) & allowed
    notes = zip(log.events, log.notes.values(), strict=True)
    traits = {event.user_id: note.traits for event, note in notes if note.label == LEGITIMATE}
    for number in np.flatnonzero(wrong).tolist():
        event, row = log.events[number], at[number]
        verdict = found.found.verdicts[row]
        points = {name: found.found.points[name][row] / 10 for name in SIGNALS if found.found.points[name][row]}
        told = " ".join(f"{name} {value:g}" for name, value in sorted(points.items(), key=lambda pair: -pair[1]))
        yield (
            f"{event.event_id} {event.user_id} {log.notes[event.event_id or ''].via or label}"
            f" on {KINDS[found.found.items['kind'][row]]}, {MATURITY[verdict['maturity']]}: {verdict['score'] / 10:g}"
            f" = {told or 'nothing'}; taken back {verdict['taken']:g}; rules {verdict['rules']:b};"
            f" {verdict['distance']:.0f} km in {verdict['gap'] / 60_000:.0f} min; {' '.join(traits[event.user_id])}"
        )


def main() -> None:
    """Print what went wrong in some seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality.missed", description=__doc__)
    parser.add_argument("label", nargs="?", default=LEGITIMATE, choices=(LEGITIMATE, *LABELS))
    parser.add_argument("--seeds", type=seeds_of, default=[0])
    parser.add_argument("--policy", type=Path, help="another policy than the one that ships")
    given = parser.parse_args()
    text = (given.policy or package_files("data") / "policy.toml").read_text(encoding="utf-8")
    for seed in given.seeds:
        for line in lines(run(prepare(of_seed(seed)), parse(text, "policy.toml")), given.label):
            print(line)


if __name__ == "__main__":
    main()
