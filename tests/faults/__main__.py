"""`make faults`: the tests of faults as long and as often as the promises are meant (`--long`), or as CI runs them."""

import os
import sys
from pathlib import Path

import pytest


def main() -> int:
    """Run them; further arguments are pytest's."""
    given = sys.argv[1:]
    if "--long" in given:
        given.remove("--long")
        os.environ["TESTS_FAULTS_LONG"] = "1"
    return pytest.main([str(Path(__file__).parent), "-v", "--durations=0", *given])


if __name__ == "__main__":
    sys.exit(main())
