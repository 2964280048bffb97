"""`python -m tests.quality`: how the default policy serves populations it was not tuned to, beside plain rules.

Exit 1 says that a target of the table is missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from riskengine.policy.parse import parse
from riskengine.settings import package_files
from tests.quality.parameters import REPORTING_SEEDS, of_seed
from tests.quality.runner import prepare, run
from tests.quality.table import TARGETS, Figures, Share, figures, pooled

_PROCESSES = 2


def measure(policy: str, seed: int) -> Figures:
    """Return the figures of one seed under a policy given as text."""
    return figures(run(prepare(of_seed(seed)), parse(policy, "policy.toml")))


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--seeds", type=seeds_of, default=REPORTING_SEEDS, help="100-109, or 3,5 (100-109)")
    parser.add_argument("--policy", type=Path, help="another policy than the one that ships")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    policy = (given.policy or package_files("data") / "policy.toml").read_text(encoding="utf-8")
    with ProcessPoolExecutor(_PROCESSES) as processes:
        found = list(processes.map(partial(measure, policy), given.seeds))
    whole = pooled(found)
    if given.json:
        seeds = {seed: asdict(one) for seed, one in zip(given.seeds, found, strict=True)}
        print(json.dumps({"pooled": asdict(whole), "seeds": seeds}, indent=1))
    else:
        print("\n".join((*_targets(given.seeds, found, whole), "", *_friction(whole))))
    return 0 if all(target.met(whole.shares[target.name]) for target in TARGETS) else 1


def seeds_of(text: str) -> Sequence[int]:
    """Return the seeds that 100-109, or 3,5, names."""
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1) if last else [int(one) for one in text.split(",")]


def _targets(seeds: Sequence[int], found: Sequence[Figures], whole: Figures) -> list[str]:
    """Return the table: a row a figure, with its target, each seed's, all together, and the plain rules'."""
    lines = [f"{'%':26}{'target':>8}{'pooled':>8} " + "".join(f"{seed:>7}" for seed in seeds)]
    lines[0] += "".join(f"{rule:>22}" for rule in whole.plain)
    for target in TARGETS:
        share = whole.shares[target.name]
        row = f"{target.name:26}{'≥' if target.least else '≤'} {_percent(target.limit):>6}{_shown(share):>8}"
        row += " " if target.met(share) else "!"
        row += "".join(f"{_shown(one.shares[target.name]):>7}" for one in found)
        plain = (rule.get(target.name) for rule in whole.plain.values())
        lines.append(row + "".join(f"{_shown(one) if one else '':>22}" for one in plain))
    return lines


def _friction(whole: Figures) -> list[str]:
    """Return who the honest logins not allowed belong to, and how they were made."""
    lines = ["honest logins not allowed, by trait of the user and by way of connecting:"]
    for name, share in (*whole.traits.items(), *whole.via.items()):
        if share.of:
            lines.append(f"{name:26}{_shown(share):>8}  {share.count:,} of {share.of:,}")
    return lines


def _shown(share: Share) -> str:
    return "-" if share.value is None else _percent(share.value)


def _percent(value: float) -> str:
    """Return a share as per cent: 0.4, 97, 0.02."""
    return f"{value * 100:.2f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
