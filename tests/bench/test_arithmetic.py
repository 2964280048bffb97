"""What the benchmark computes from what it sees: intervals, ratios, CPU time, memory, latency from a schedule."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from tests.bench.blocks import Sample, ratio, rows
from tests.bench.empty import ANSWER
from tests.bench.generator import parsed
from tests.bench.interval import middle, paired
from tests.bench.open_loop import measure
from tests.bench.people import history, requests
from tests.bench.process import cpu_seconds, family, own_bytes
from tests.bench.server import post
from tests.bench.stages import STAGES, Watch, resolve


def test_an_interval_holds_the_true_middle_as_often_as_it_says() -> None:
    random = Random(1)
    held = 0
    for _ in range(2000):
        found = middle([random.gauss(5.0, 1.0) for _ in range(20)])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 5.0 <= found.high

    assert 0.9 <= held / 2000 <= 0.98  # by steps of whole values, so a little more than it says


@pytest.mark.parametrize(
    ("count", "ends"),
    [
        pytest.param(1, (None, None), id="one_value_has_no_interval"),
        pytest.param(4, (None, None), id="four_values_hold_it_too_seldom"),
        pytest.param(5, (0.0, 4.0), id="five_values_hold_it_between_the_outermost"),
        pytest.param(20, (5.0, 14.0), id="twenty_values_hold_it_between_the_sixth_from_either_end"),
    ],
)
def test_an_interval_needs_enough_values(count: int, ends: tuple[float | None, float | None]) -> None:
    found = middle([float(number) for number in range(count)])

    assert (found.low, found.high) == ends


def test_a_block_that_was_slow_for_all_leaves_the_ratio_alone() -> None:
    slowness = [1.0, 0.3, 0.9, 0.5, 0.8]

    found = paired([600 * slow for slow in slowness], [1000 * slow for slow in slowness])

    assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.6, 0.6))


def test_ratios_compare_within_blocks_and_connections() -> None:
    samples = [
        Sample(server, connections, block, rate * block, 1.0, 2.0, 50.0, 5.0, block == 3, 0, 0.1)
        for block in (1, 2, 3)
        for connections, by_server in ((1, {"a": 10.0, "b": 5.0}), (64, {"a": 20.0, "b": 30.0}))
        for server, rate in by_server.items()
    ]

    assert ratio(samples, "b", "a", 1).value == 0.5
    assert ratio(samples, "b", "a", 64).value == 1.5
    assert [(row.server, row.connections, row.rate, row.not_200) for row in rows(samples)] == [
        ("a", 1, 20.0, 1),
        ("b", 1, 10.0, 1),
        ("a", 64, 40.0, 1),
        ("b", 64, 60.0, 1),
    ]


def test_what_wrk_saw_is_read_from_its_last_line() -> None:
    output = (
        "Running 2s test\n  1 threads\n"
        '{"requests": 500, "seconds": 2.0, "p50_ms": 1.5, "p99_ms": 9.25, "other_status": 3, "broken": 1}\n'
    )

    found = parsed(output, 0.5)

    assert (found.requests, found.p99_ms, found.other_status, found.generator_cores) == (500, 9.25, 3, 0.25)


def test_cpu_time_is_that_of_a_process_and_of_all_below_it() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n{burn}input()"
    before = cpu_seconds([os.getpid()])
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        end = time.monotonic() + 30
        while (spent := cpu_seconds([process.pid])) < 0.5 and time.monotonic() < end:
            time.sleep(0.02)
        of_us = cpu_seconds([os.getpid()])
        process.kill()

    assert spent >= 0.5  # neither of the two alone spends so much; Linux tells it in steps of 10 ms
    assert of_us - before >= 0.5
    assert process.pid not in family(os.getpid())


def test_a_process_whose_name_holds_brackets_is_read_all_the_same(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    for pid, parent, spent in ((7, 1, 10), (8, 7, 20), (9, 1, 40)):
        (tmp_path / str(pid)).mkdir()
        fields = f"S {parent} 0 0 0 0 0 0 0 0 0 {spent} 1 2 3 20 0"
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b (c) {fields}\n")

    assert cpu_seconds([7], tmp_path) == (10 + 20 + 2 * 6) / ticks
    assert family(7, tmp_path) == [7, 8]


def test_own_memory_is_without_mapped_files_but_with_what_was_written_over_them(tmp_path: Path) -> None:
    mapped = {
        "55d0-55d1 r-xp 00000000 fe:00 1234 /usr/bin/python": (500, 0),
        "55d1-55d2 rw-p 00001000 fe:00 1234 /usr/bin/python": (7, 20),
        "7f00-7f01 rw-p 00000000 00:00 0": (0, 3000),
        "7f01-7f02 rw-s 00000000 fe:00 99 /home/data/riskengine.db-shm": (0, 800),
        "7f02-7f03 r--p 00000000 fe:00 98 /home/geo/city.mmdb": (60000, 0),
        "7ffe-7fff rw-p 00000000 00:00 0 [stack]": (0, 100),
    }
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "smaps").write_text(
        "".join(
            f"{head}\nSize: 1 kB\nPrivate_Clean: {clean} kB\nPrivate_Dirty: {dirty} kB\n"
            for head, (clean, dirty) in mapped.items()
        )
    )

    assert own_bytes(5, tmp_path) == (20 + 3000 + 100) * 1024
    assert own_bytes(os.getpid()) > 1_000_000


@contextmanager
def slow_server(seconds: float, status: str = "200 OK") -> Iterator[int]:
    """Answer every request of one connection after so long; give the port."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):  # whoever has read enough may close first
            while connection.recv(65_536):
                time.sleep(seconds)
                connection.sendall(f"HTTP/1.1 {status}\r\nContent-Le".encode())
                time.sleep(0.001)  # an answer may come in parts
                connection.sendall(b"ngth: 2\r\n\r\n{}")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def test_latency_counts_from_the_schedule_whatever_the_answers_do() -> None:
    bodies = iter([b"POST /score HTTP/1.1\r\n\r\n"] * 6)
    with slow_server(0.03) as port:
        found = measure(port, rate=100.0, seconds=0.06, bodies=bodies, connections=1)

    # Six requests, 10 ms apart, each of which takes 30 ms: the last, due after 50 ms, is answered after 180 ms.
    assert (found.requests, found.not_200) == (6, 0)
    assert found.most_ms >= 130
    assert found.p50_ms >= 30 * 3 - 20


def test_an_open_loop_counts_answers_that_are_no_200() -> None:
    bodies = iter([b"POST /score HTTP/1.1\r\n\r\n"] * 2)
    with slow_server(0.0, "503 Service Unavailable") as port:
        assert measure(port, rate=10.0, seconds=0.2, bodies=bodies, connections=1).not_200 == 2


def test_a_request_that_is_refused_ends_the_run_before_it_begins() -> None:
    with slow_server(0.0, "401 Unauthorized") as port, pytest.raises(SystemExit, match="401"):
        post(port, "no key", {"user_id": "u1", "ip": "11.0.0.2"})


def test_the_empty_route_answers_with_every_member_there_is() -> None:
    assert ANSWER.model_fields_set == set(type(ANSWER).model_fields)


def test_a_stage_does_not_count_what_another_took_inside_it() -> None:
    watch = Watch()
    inner = watch.timed("inner", "inner", lambda: time.sleep(0.02))
    outer = watch.timed("outer", "outer", inner)

    outer()

    assert watch.seconds["inner"] >= 0.02
    assert watch.seconds["outer"] < watch.seconds["inner"]
    assert watch.calls == {"inner": 1, "outer": 1}


@pytest.mark.parametrize("name", [name for names in STAGES.values() for name in names])
def test_every_function_that_makes_a_stage_is_there(name: str) -> None:
    holder, last = resolve(name)

    assert callable(getattr(holder, last))


def test_a_function_that_is_no_more_is_named() -> None:
    with pytest.raises(SystemExit, match=r"Engine\.gone"):
        resolve("riskengine.engine.engine:Engine.gone")


def test_the_users_come_as_they_always_do_but_for_a_few_per_cent() -> None:
    usual = {body["user_id"]: body for body in history(500, 1_790_000_000_000)}
    source = requests(500, 1)
    drawn = [next(source) for _ in range(4000)]

    new = sum(body["device_id"] != usual[body["user_id"]]["device_id"] for body in drawn)
    moved = sum(body["ip"] != usual[body["user_id"]]["ip"] for body in drawn)
    failed = sum(body.get("outcome") == "failure" for body in drawn)
    assert 0.015 < new / 4000 < 0.035
    assert 0.008 < moved / 4000 < 0.025
    assert 0.004 < failed / 4000 < 0.02
