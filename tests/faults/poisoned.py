"""The program with a defect put in: the engine breaks over the events of one user.

No request can break it that we know of, or the defect would be mended. So it is put where such a defect would lie, in
the scoring core, and met as one would be met: by an event over HTTP, in a batch with others.
"""

from typing import Any

import numpy as np

from riskengine.assess import assess
from riskengine.cli import main
from riskengine.engine import segment
from riskengine.seal import Keys, Seal
from riskengine.settings import Settings

POISONED = "poisoned"


def put_in() -> None:
    """Let the assessment of a batch that holds the poisoned device family raise, as an overflow in a column would."""

    def broken(batch: Any, *given: Any) -> Any:
        if (batch["device"] == device).any():
            raise FloatingPointError(POISONED)
        return assess(batch, *given)

    seal = Seal(Keys.read(Settings().key_file))
    device = np.uint32(seal.key32("default", "device", POISONED))
    vars(segment)["assess"] = broken


if __name__ == "__main__":
    put_in()
    main()
