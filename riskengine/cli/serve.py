"""`riskengine serve`: one address, until it is told to stop."""

import asyncio
import resource
import socket
from collections.abc import Callable
from types import FrameType

import click
import structlog
import uvicorn
from fastapi import FastAPI

from riskengine.api.doorman import doorman
from riskengine.api.lane import Lane
from riskengine.api.proxies import Proxies
from riskengine.app import build, start_logging
from riskengine.cli.address import held
from riskengine.cli.shell import Shell
from riskengine.cli.tls import Secured, watch
from riskengine.cli.workers import supervise
from riskengine.settings import Settings

GRACE_SECONDS = 20
MOST_FILES = 65_536  # where the system sets no limit
_log = structlog.get_logger("riskengine.serve")


class Server(uvicorn.Server):
    """uvicorn, but a stop first turns /readyz to 503 for a while, and a clean stop exits with 0."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, settings: Settings, announce: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._served, self._drain_seconds, self._look_seconds = app, settings.drain_seconds, settings.reload_seconds
        self._watching: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second signal stops at once.

        uvicorn would raise the signal again at the end and so exit with 143, which a supervisor takes for a crash.
        """
        if self._served.state.draining:
            self.should_exit = self.force_exit = True
            return
        self._served.state.draining = True
        self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._stop)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if isinstance(self.config.ssl, Secured):
            self._watching = asyncio.create_task(watch(self.config.ssl, self._look_seconds, self._part))
        if self.started and sockets:
            _log.info("ready", address="{}:{}".format(*sockets[0].getsockname()[:2]))
            if self._announce is not None:
                self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, with what runs beside."""
        if self._watching is not None:
            self._watching.cancel()
        await super().shutdown(sockets)

    def _part(self) -> None:
        """End each connection after the answer that is under way: the certificate that it began with may be revoked."""
        for connection in list(self.server_state.connections):
            connection.shutdown()

    def _stop(self) -> None:
        self.should_exit = True


@click.command(
    short_help="Serve the HTTP interface.",
    epilog="Examples: riskengine serve --port 9000; RISKENGINE_WORKERS=4 riskengine serve",
)
@click.option("--host", metavar="IP", help="Address to bind.  [RISKENGINE_HOST, default 127.0.0.1]")
@click.option("--port", type=int, help="Port to bind.  [RISKENGINE_PORT, default 8000]")
@click.option("--workers", type=int, help="Server processes.  [RISKENGINE_WORKERS, default 1]")
@click.pass_obj
def serve(shell: Shell, host: str | None, port: int | None, workers: int | None) -> int:
    """Serve the HTTP interface until SIGTERM or Ctrl-C; what waits is answered first, then exit 0.

    The embedded database is created and migrated; a PostgreSQL one needs `riskengine db upgrade` before.
    """
    settings = shell.settings(host=host, port=port, workers=workers)
    start_logging(settings.log_format)
    _allow_connections()
    with held(settings) as listener:
        return launch(build(settings), settings, listener)


def launch(
    app: FastAPI, settings: Settings, listener: socket.socket, announce: Callable[[], None] | None = None
) -> int:
    """Serve `app` in this process, or in several after what they share was made with it here; return the exit code.

    `announce` is called when whoever serves is ready.
    """
    config = configured(app, settings)
    if settings.workers == 1:
        run(app, config, settings, listener, announce)
        return 0
    app.state.parts.close()
    listener.close()
    return supervise(settings, announce)


def _allow_connections() -> None:
    """Raise the limit of open files as far as the system lets us: each connection is one, and 1,024 is usual."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or soft < hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (MOST_FILES if hard == resource.RLIM_INFINITY else hard, hard))


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how `app` is served; SettingsError for TLS files that cannot be used."""
    parts = app.state.parts
    # A trace is of the ordinary way.
    lane = Lane(app.state.desk) if parts.tracing is None else None
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=doorman(parts.live.full, lane, proxies_of(settings), app.state.desk.door),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # its lines hold client addresses and whole paths
        server_header=False,
        proxy_headers=False,  # the doorman reads them
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=None if settings.tls_cert is None else lambda _config, _default: Secured(settings),
    )
    config.load()
    return config


def proxies_of(settings: Settings) -> Proxies:
    """Return the proxies that these settings trust."""
    return Proxies(settings.trusted_proxies, settings.forwarded_header, settings.certificate_header)


def run(
    app: FastAPI,
    config: uvicorn.Config,
    settings: Settings,
    listener: socket.socket,
    announce: Callable[[], None] | None = None,
) -> None:
    """Serve `app` on `listener` until a signal; call `announce` when it is ready; return after a clean stop."""
    Server(config, app, settings, announce).run([listener])
