"""The address to serve on."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from riskengine.errors import SettingsError
from riskengine.settings import Settings


@contextmanager
def held(settings: Settings, *options: int) -> Iterator[socket.socket]:
    """Hold the address of the settings, so that a taken one is found out before anything is made or printed.

    `options` are further socket options: with SO_REUSEPORT the address can be held several times.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    with listener:
        for option in (socket.SO_REUSEADDR, *options):
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise SettingsError(
                f"RISKENGINE_HOST {settings.host} with RISKENGINE_PORT {settings.port} cannot be bound: "
                f"{error.strerror}."
            ) from error
        yield listener
