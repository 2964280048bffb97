"""Everything the README shows is run: its commands, its requests, its caller; and its words are all the words."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from riskengine.check import format_time
from riskengine.decision import BUILT_IN
from riskengine.live import now_ms
from riskengine.policy.odd import oddities
from riskengine.policy.parse import parse
from riskengine.policy.policy import SIGNALS
from tests.fixtures_geo import NEW_YORK, TOKYO, write_asn_db, write_city_db

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def block(kind: str, containing: str) -> str:
    """Return the one block of a kind that contains a text."""
    [found] = [body for name, body in BLOCKS if name == kind and containing in body]
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    """The README's public addresses, in city data small enough to make here: tests have no network."""
    city, asn = home / "city.mmdb", home / "asn.mmdb"
    write_city_db(city, {"128.59.0.0/16": NEW_YORK, "133.11.0.0/16": {**TOKYO, "city": "Chiyoda City"}})
    write_asn_db(
        asn, {"128.59.0.0/16": (14, "Columbia University"), "133.11.0.0/16": (2501, "The University of Tokyo")}
    )
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RISKENGINE_")}
    paths = f"{Path(sys.executable).parent}{os.pathsep}{mine['PATH']}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return mine | {
        "PATH": paths,
        "RISKENGINE_HOME": str(home),
        "RISKENGINE_GEOIP_CITY": str(city),
        "RISKENGINE_GEOIP_ASN": str(asn),
        "RISKENGINE_PORT": str(port),
        "RISKENGINE_DRAIN_SECONDS": "0",
    }


@pytest.fixture(scope="module")
def key(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """`make run` for real, as far as its own set-up goes; yield the first access key."""
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(["make", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    with server:
        until(lambda: _ready(int(environment["RISKENGINE_PORT"])), 60)
        yield (home / "keys" / "first-access-key").read_text().strip()
        server.terminate()  # make passes it on, and then says that it was terminated
        server.wait(30)
    assert '"stopped"' in (home / "server.log").read_text()


def _ready(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


def test_the_two_commands_are_the_makefiles() -> None:
    commands = [line.split("#")[0].strip() for line in block("sh", "make run").splitlines()]

    assert commands == ["make run", "make test"]
    assert README.index("make run") < 1200


def test_the_requests_get_the_answer_shown(key: str, environment: dict[str, str]) -> None:
    now = now_ms()
    script = block("sh", "curl -s").replace(":8000/", f":{environment['RISKENGINE_PORT']}/")
    script = script.replace("\ncurl", "\necho; curl")
    times = {"NOW": format_time(now), "TEN_MINUTES_AGO": format_time(now - 600_000), "KEY": key}
    run = subprocess.run(["bash", "-euc", script], env=environment | times, capture_output=True, timeout=30, check=True)
    first, second = (json.loads(line) for line in run.stdout.splitlines())
    shown = json.loads(block("json", "impossible_travel"))

    assert first["decision"] == "allow"
    assert second["step_up"].pop("challenge").startswith(shown["step_up"].pop("challenge").rstrip("…"))
    assert {name: second[name] for name in ("decision", "level", "maturity", "step_up", "source", "degraded")} == {
        name: shown[name] for name in ("decision", "level", "maturity", "step_up", "source", "degraded")
    }
    assert [reason["code"] for reason in second["reasons"]] == [reason["code"] for reason in shown["reasons"]]
    assert shown["reasons"][0]["message"].split(",")[0] == second["reasons"][0]["message"].split(",")[0]
    assert round(sum(reason["points"] for reason in shown["reasons"]), 1) == shown["score"]


@pytest.mark.parametrize(
    "body",
    [body for kind, body in BLOCKS if kind == "sh" and "riskengine " in body and "curl" not in body],
    ids=lambda body: body.split("\n")[0][:40],
)
def test_the_commands_run(body: str, tmp_path: Path, environment: dict[str, str]) -> None:
    shutil.copytree(ROOT / "data", tmp_path / "data", ignore=shutil.ignore_patterns("build", "*.npz"))
    mine = environment | {"RISKENGINE_HOME": str(tmp_path / "home")}
    run = subprocess.run(["bash", "-euc", body], cwd=tmp_path, env=mine, capture_output=True, timeout=60, check=False)

    assert run.returncode == 0, run.stderr.decode()
    assert b"Traceback" not in run.stderr


def test_the_comparison_says_what_is_shown(tmp_path: Path, environment: dict[str, str]) -> None:
    stricter, compare = block("sh", "--compare data/policy.toml").splitlines()[:2]
    (tmp_path / "data").symlink_to(ROOT / "data")
    mine = environment | {"RISKENGINE_HOME": str(tmp_path / "home")}
    for name in ("RISKENGINE_GEOIP_CITY", "RISKENGINE_GEOIP_ASN"):
        del mine[name]  # the tests' little world does not hold these addresses
    script = f"{stricter}\n{compare}"
    run = subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=mine, capture_output=True, timeout=60, check=True)

    assert block("text", "decisions change").strip() in run.stdout.decode()
    assert (tmp_path / "what-if.html").read_text().count("<svg") == 6


def test_the_policy_example_is_right_beside_the_shipped_policy() -> None:
    shipped = (ROOT / "data" / "policy.toml").read_text()
    policy = parse(shipped + block("toml", "[groups."))

    assert policy.groups["admins"].step_up is not None
    assert [rule.code for rule in policy.rules] == ["rule.payroll_from_abroad"]
    assert not oddities(policy)


def test_every_signal_and_reason_is_among_the_words() -> None:
    words = set(re.findall(r"`(\w+)`", README))

    assert {*SIGNALS, *BUILT_IN} <= words


# --- the caller ---------------------------------------------------------------------------------------------------


@pytest.fixture
def caller() -> dict[str, Any]:
    """The README's caller, as a module's names."""
    code = block("python", "def decide")
    assert len(code.splitlines()) <= 42
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - the README's own code is what is tested
    return names


@contextmanager
def server(answer: Callable[[socket.socket, bytes], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve on a port of this machine whatever `answer` does with a connection; yield the URL and the bodies got."""
    bodies: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_talk, args=(connection,), daemon=True).start()

    def _talk(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError):  # a caller whose time is up hangs up
            got = b""
            while b"\r\n\r\n" not in got or not got.split(b"\r\n\r\n", 1)[1].endswith(b"}"):
                got += connection.recv(65_536)
            bodies.append(got.split(b"\r\n\r\n", 1)[1])
            answer(connection, got)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/score", bodies
    finally:
        listener.close()


def _say(status: str, body: str) -> Callable[[socket.socket, bytes], None]:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return lambda connection, _: connection.sendall((head + body).encode())


def _hang(connection: socket.socket, _: bytes) -> None:
    time.sleep(2)


def _trickle(connection: socket.socket, _: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _beat in range(40):
        time.sleep(0.05)
        connection.sendall(b" ")


def _die(connection: socket.socket, _: bytes) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("answer", "expected", "tries"),
    [
        pytest.param(_say("200 OK", '{"decision": "deny"}'), "deny", 1, id="a_server_that_answers"),
        pytest.param(_hang, "step_up", 2, id="a_server_that_hangs"),
        pytest.param(_trickle, "step_up", 2, id="a_server_that_trickles"),
        pytest.param(_die, "step_up", 2, id="a_server_that_dies"),
        pytest.param(_say("503 Busy", "{}"), "step_up", 2, id="a_server_that_fails"),
        pytest.param(_say("200 OK", "nonsense"), "step_up", 2, id="a_server_that_speaks_nonsense"),
        pytest.param(_say("401 No", "{}"), "step_up", 1, id="a_key_that_is_wrong"),
    ],
)
def test_the_caller_always_decides_in_time(
    answer: Callable[[socket.socket, bytes], None], expected: str, tries: int, caller: dict[str, Any]
) -> None:
    with server(answer) as (url, bodies):
        caller["URL"] = url
        began = time.monotonic()
        decision = caller["decide"]({"user_id": "ana", "ip": "192.0.2.1"})
        took = time.monotonic() - began

    assert decision == expected
    assert took < 1.2, "the deadline is 500 ms; the rest is a shared machine's leeway, and well below a hang"
    assert len(bodies) == tries
    assert len({json.loads(body)["event_id"] for body in bodies}) == 1, "a retry is the same event"


def test_the_caller_decides_with_nobody_there(caller: dict[str, Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        caller["URL"] = f"http://127.0.0.1:{taken.getsockname()[1] + 1}/score"

    assert caller["decide"]({"user_id": "ana", "ip": "192.0.2.1"}) == "step_up"


def test_the_caller_talks_to_the_real_server(key: str, environment: dict[str, str], caller: dict[str, Any]) -> None:
    caller["URL"], caller["KEY"] = f"http://127.0.0.1:{environment['RISKENGINE_PORT']}/score", key

    assert caller["decide"]({"user_id": "ben", "ip": "128.59.105.24"}) == "allow"
