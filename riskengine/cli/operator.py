"""Who runs a command."""

import getpass


def operator() -> str:
    """Return who runs this command, as the audit trail names it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user often has no name
        return "cli"
