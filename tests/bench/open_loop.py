"""Latency when requests come on a schedule, whatever the answers do: no request waits unseen for a slow answer.

A caller that waits for its answer sends less while the server stands still, and so hides it. Here each request has its
time, and its latency is counted from that time, also where no connection was free to send it.

`select` is used because it wakes by the microsecond; event loops do by the millisecond, which would be measured.
"""

import gc
import select
import socket
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from tests.bench.interval import percentile

MOST_LATE_SECONDS = 10.0  # after the last request's time: what is not answered then is lost


@dataclass(frozen=True)
class Latency:
    """What an open loop saw, in ms from each request's time; `sent_late_ms` is how late the sender itself was (p99)."""

    rate: float
    requests: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    sent_late_ms: float
    not_200: int


class Caller:
    """One connection: at most one request at a time, written and read without waiting."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self.due = self.free_since = 0.0
        self.not_200 = 0

    def send(self, request: bytes, due: float) -> None:
        """Send a request whose time is `due`."""
        self.due = due
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Take in what has come; return whether the answer is whole. A connection that is closed ends the run."""
        self._read += self.socket.recv(65_536)
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not self._read:
            raise SystemExit("a server closed a connection of the open loop instead of answering")
        if not found or len(body) < content_length(head):
            return False
        self._read = b""
        self.not_200 += not head.startswith(b"HTTP/1.1 200 ")
        return True


def content_length(head: bytes) -> int:
    """Return how long the body after these header lines is.

    >>> content_length(b"HTTP/1.1 200 OK\\r\\ncontent-type: a\\r\\nContent-Length: 12")
    12
    """
    return int(head.lower().split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])


def requests(files: Sequence[Path], key: str) -> Iterator[bytes]:
    """Yield whole HTTP requests of these files, each with an event id of its own, for ever."""
    run = uuid.uuid4().hex[:16]
    lines = [line for file in files for line in file.read_text().splitlines()]
    for number, line in enumerate(cycle(lines)):
        body = f'{{"event_id":"{run}-{number:08x}",{line[1:]}'
        yield (
            f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
        ).encode()


def measure(port: int, rate: float, seconds: float, bodies: Iterator[bytes], connections: int = 64) -> Latency:
    """Send `rate` requests a second for so long, evenly; return how long their answers took."""
    count = max(int(rate * seconds), 1)
    ready = [next(bodies) for _ in range(count)]
    callers = [Caller(port) for _ in range(connections)]
    gc.disable()  # a collection would hold up the schedule
    try:
        began = time.perf_counter() + 0.01
        latencies, lates = scheduled([began + number / rate for number in range(count)], ready, callers)
    finally:
        gc.enable()
        for caller in callers:
            caller.socket.close()
    p50, p99, most = (percentile(latencies, share) * 1000 for share in (0.5, 0.99, 1.0))
    late = percentile(lates, 0.99) * 1000
    return Latency(rate, count, p50, p99, most, late, sum(caller.not_200 for caller in callers))


def scheduled(
    times: Sequence[float], ready: Sequence[bytes], callers: Sequence[Caller]
) -> tuple[list[float], list[float]]:
    """Send each request at its time, or as soon after as a connection is free.

    Return, in seconds, how long after its time each was answered, and by how much the sender itself was late: how long
    a request was not sent although it was due and a connection was free.
    """
    idle, busy = deque(callers), dict[int, Caller]()
    latencies: list[float] = []
    lates: list[float] = []
    sent = 0
    while len(latencies) < len(times):
        now = time.perf_counter()
        while sent < len(times) and times[sent] <= now and idle:
            caller = idle.popleft()
            caller.send(ready[sent], times[sent])
            lates.append(time.perf_counter() - max(times[sent], caller.free_since))
            busy[caller.socket.fileno()] = caller
            sent += 1
        if now > times[-1] + MOST_LATE_SECONDS:
            raise SystemExit(f"{len(times) - len(latencies)} requests of the open loop were not answered in time")
        pause = max(times[sent] - time.perf_counter(), 0.0) if sent < len(times) and idle else 1.0
        for number in select.select(list(busy), [], [], pause)[0]:
            caller = busy[number]
            if caller.answered():
                caller.free_since = time.perf_counter()
                latencies.append(caller.free_since - caller.due)
                idle.append(busy.pop(number))
    return latencies, lates
