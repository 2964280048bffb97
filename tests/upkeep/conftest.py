"""The command line's fixtures."""

from tests.test_cli import home, run

__all__ = ["home", "run"]
