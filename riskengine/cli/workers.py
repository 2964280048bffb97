"""Several server processes on one address, and the parent that starts them, starts them again and stops them.

Each worker is a fresh interpreter: no connection, thread or random state comes from the parent. Each listens on a
socket of its own, and the kernel spreads connections over those that listen (SO_REUSEPORT; of 64 connections four
workers got 10 to 20 each, where on one shared socket one of them got 31 to 62): a worker gets none before it is ready
and none after it ended. The parent serves nothing; when it dies, its workers see their standard input end,
and stop.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress

import structlog
from prometheus_client.multiprocess import mark_process_dead

from riskengine.cli.address import held
from riskengine.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds before a worker that ended is started again
STEADY_SECONDS = 60.0  # one that lived for so long did not end because it cannot start
STOP_SECONDS = 40.0  # more than a worker needs to answer what waits; then, or after a second signal, it is ended
ABORT_SECONDS = 2.0
WORKER = "riskengine.cli.worker"
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_log = structlog.get_logger("riskengine.workers")


def supervise(settings: Settings, announce: Callable[[], None] | None = None) -> int:
    """Serve with `settings.workers` processes until a signal; return the exit code, 0 after a clean stop.

    `announce` is called when all are ready. A worker that ends before all were ready once ends the others too, and its
    exit code is returned; one that ends later is started again.
    """
    with tempfile.TemporaryDirectory(prefix="riskengine-metrics-") as folder, held(settings, socket.SO_REUSEPORT):
        return asyncio.run(_Supervisor(settings, folder, announce).run())


class _Supervisor:
    def __init__(self, settings: Settings, folder: str, announce: Callable[[], None] | None) -> None:
        self._settings, self._folder, self._announce = settings, folder, announce
        self._stopping = asyncio.Event()
        self._running: set[Process] = set()
        self._ready: set[Process] = set()
        self._missing = settings.workers  # how many were never ready
        self._code = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if self._settings.tls_cert is not None:
            loop.add_signal_handler(signal.SIGHUP, self._pass_on)
        await asyncio.gather(*(self._keep() for _ in range(self._settings.workers)))
        return self._code

    async def _keep(self) -> None:
        """Keep one worker running until all stop."""
        now = asyncio.get_running_loop().time
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = now()
            try:
                code = await self._serve_once()
            except OSError as error:  # the machine is out of processes or memory just now
                code = 1
                _log.error("worker not started", reason=error.strerror)
            if self._stopping.is_set() or self._missing:
                self._end(code)
                return
            pause = FIRST_PAUSE if now() - began > STEADY_SECONDS else min(2 * pause, LONGEST_PAUSE)
            _log.info("worker is started again", seconds=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _serve_once(self) -> int:
        """Run one worker from start to end; return its exit code, 0 also where it was stopped before it was ready."""
        worker = await self._start()
        assert worker.stdout is not None
        ready = bool(await worker.stdout.readline())
        if ready:
            self._ready.add(worker)
        if ready and self._missing:
            self._count_ready()
        code = await worker.wait()
        if not self._stopping.is_set():
            _log.error("worker ended", worker=worker.pid, code=code)
        self._running.discard(worker)
        self._ready.discard(worker)
        mark_process_dead(worker.pid, self._folder)  # type: ignore[no-untyped-call]
        return 0 if code == -signal.SIGTERM and not ready else code

    async def _start(self) -> Process:
        """Start a worker. What it is told comes by its standard input, where no other process can read it."""
        with held(self._settings, socket.SO_REUSEPORT) as listener:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", WORKER, str(listener.fileno())),
                stdin=PIPE,
                stdout=PIPE,
                pass_fds=(listener.fileno(),),
                env=os.environ | {METRICS_FOLDER: self._folder},
                start_new_session=True,  # Ctrl-C reaches the parent alone, which passes it on once
            )
        self._running.add(worker)
        assert worker.stdin is not None
        worker.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        if self._stopping.is_set():
            _send(worker, signal.SIGTERM)
        return worker

    def _count_ready(self) -> None:
        self._missing -= 1
        if not self._missing:
            _log.info("workers ready", workers=self._settings.workers)
            if self._announce is not None:
                self._announce()

    def _end(self, code: int) -> None:
        """Take in how a worker ended that is not started again; if it could not start at all, stop the others."""
        if not self._stopping.is_set():
            self._code = code if code > 0 else 1
            self._stop()
        elif code:
            self._code = self._code or 1

    def _stop(self) -> None:
        """Pass a signal on: what waits is answered first. A second one ends all at once."""
        seconds = ABORT_SECONDS if self._stopping.is_set() else STOP_SECONDS + self._settings.drain_seconds
        self._stopping.set()
        for worker in self._running:
            _send(worker, signal.SIGTERM)
        asyncio.get_running_loop().call_later(seconds, self._kill)

    def _pass_on(self) -> None:
        """Have the workers read their certificates anew; one that is not ready reads them anyway."""
        for worker in self._ready:
            _send(worker, signal.SIGHUP)

    def _kill(self) -> None:
        for worker in self._running:
            _log.error("worker does not stop", worker=worker.pid)
            _send(worker, signal.SIGKILL)


def _send(worker: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        worker.send_signal(number)
