"""`python -m riskengine` is `riskengine`."""

from riskengine.cli import main

main()
