"""What is counted is counted once, whoever counts and however many workers there are, and all of it is on the page."""

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Never

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.parser import text_string_to_metric_families

from riskengine import metrics
from riskengine.api.health import gauge
from riskengine.errors import StoreUnavailable
from riskengine.event import DAY_MS, Event
from riskengine.journal import Journal
from riskengine.live import Live, now_ms
from riskengine.locate.locator import Locator
from riskengine.metrics import REGISTRY, STAGES, Binned, Stages, exposition, flush
from riskengine.store.memory import MemoryStore
from tests.doors import ADDRESSES, SEAL, engine_over
from tests.fixtures_geo import World

PAGE = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text()
ROWS = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.+) \|$", PAGE, re.MULTILINE)
HOME, AWAY = ADDRESSES["new_york"], ADDRESSES["tokyo"]


def value(name: str, **labels: str) -> float:
    """Return what a series has come to by now."""
    flush()
    return REGISTRY.get_sample_value(name, labels) or 0.0


def login(event_id: str, ip: str = HOME, **given: Any) -> Event:
    return Event("ana", ip, event_id=event_id, **given)


def play(live: Live, scene: Coroutine[Any, Any, Any]) -> None:
    """Run a scene between start and stop."""

    async def whole() -> None:
        await live.start()
        try:
            await scene
        finally:
            await live.stop()

    asyncio.run(whole())


class Gone(MemoryStore):
    """A store that does not answer."""

    def transaction(self) -> Never:
        raise StoreUnavailable("gone")


@pytest.fixture
def live(world: World, tmp_path: Path) -> Live:
    return Live(engine_over(MemoryStore(), world), Journal(tmp_path / "journal", SEAL))


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_has_a_row_for_each_metric_and_says_what_the_metric_says_of_itself() -> None:
    text = exposition()[0].decode()
    described = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    types = dict(re.findall(r"^# TYPE (\S+) (.+)$", text, re.MULTILINE))

    assert {name: (kind, said) for name, kind, _, said in ROWS} == {
        name: (types[name], said) for name, said in described.items()
    }


def test_the_page_names_the_labels(live: Live) -> None:
    play(live, live.score([login("labels"), login("away", ip=AWAY)], "default", True))
    metrics.answered("/page", 200).observe(0.1)
    flush()
    stated = {name.removesuffix("_total"): set(re.findall(r"`(\w+)`", labels)) for name, _, labels, _ in ROWS}

    for family in text_string_to_metric_families(exposition()[0].decode()):
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == stated[family.name], family.name


def test_the_page_names_the_stages() -> None:
    assert re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE, re.MULTILINE) == list(STAGES)


def test_the_alerts_speak_of_metrics_that_exist() -> None:
    alerts = "".join(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    named = set(re.findall(r"\b(?:riskengine|process)_\w+", alerts))
    known = {name for name, *_ in ROWS}

    assert len(re.findall("- alert:", alerts)) == 3
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= known
    assert named


# --- accumulating -------------------------------------------------------------------------------------------------


def test_observations_flushed_together_come_to_what_they_come_to_one_by_one() -> None:
    seen = [0.0005, 0.001, 0.0011, 0.3, 0.3, 9.0]
    one, other = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("seconds", "s", buckets=(0.001, 0.5, 1), registry=one)
    bins = Binned("seconds", "s", buckets=(0.001, 0.5, 1), registry=other).bins()
    for number in seen:
        plain.observe(number)
        bins.observe(number)
    bins.flush()
    bins.flush()

    expected, found = ([sample for family in each.collect() for sample in family.samples] for each in (one, other))
    assert [(sample.name, sample.labels) for sample in found] == [(sample.name, sample.labels) for sample in expected]
    assert [sample.value for sample in found] == pytest.approx([sample.value for sample in expected])


def test_nothing_is_lost_between_threads_that_count_and_one_that_flushes() -> None:
    registry = CollectorRegistry()
    counted = Counter("seen", "s", registry=registry)
    bins = Binned("seconds", "s", registry=registry).bins(counted)

    def observe() -> None:
        for _ in range(5_000):
            bins.observe(0.1)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        bins.flush()
    bins.flush()

    assert registry.get_sample_value("seen_total") == registry.get_sample_value("seconds_count") == 20_000
    assert registry.get_sample_value("seconds_sum") == pytest.approx(2_000)


def test_a_stage_that_comes_twice_takes_its_time_together() -> None:
    before = value("riskengine_stage_seconds_sum", stage="load")
    stages = Stages(10.0)
    stages.laps += [("load", 11.0), ("assess", 12.0), ("load", 15.0)]
    metrics.observe_batch(3, stages)

    assert value("riskengine_stage_seconds_sum", stage="load") - before == pytest.approx(4.0)


# --- what is counted ----------------------------------------------------------------------------------------------


def counts() -> dict[str, float]:
    """Return every counter and count there is, by its text."""
    flush()
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.startswith("riskengine") and sample.name.endswith(("_total", "_count"))
    }


def rises(live: Live, events: list[Event]) -> dict[str, float]:
    """Return what counts are raised by these events, and by how much."""
    before = counts()
    play(live, live.score(events, "default", True))
    return {name: number - before.get(name, 0) for name, number in counts().items() if number != before.get(name, 0)}


def test_a_batch_counts_its_decisions_its_reasons_and_each_of_its_stages(live: Live) -> None:
    found = rises(live, [login("a"), login("b", ip=AWAY)])

    assert found["riskengine_decisions_total[('decision', 'allow'), ('source', 'engine')]"] == 1
    assert found["riskengine_decisions_total[('decision', 'step_up'), ('source', 'engine')]"] == 1
    assert found["riskengine_reasons_total[('code', 'impossible_travel')]"] == 1
    assert found["riskengine_batch_items_count[]"] == 1
    stages = {stage for stage in STAGES if f"riskengine_stage_seconds_count[('stage', '{stage}')]" in found}
    assert stages == set(STAGES) - {"fallback"}


def test_the_same_event_again_and_a_preview_are_no_further_decisions(live: Live) -> None:
    async def scene() -> None:
        await live.score([login("a")], "default", True)
        before = value("riskengine_decisions_total", decision="allow", source="engine")
        await live.score([login("a")], "default", True)
        await live.preview([login("b")], "default", True)
        assert value("riskengine_decisions_total", decision="allow", source="engine") == before

    play(live, scene())


def test_what_lacks_something_is_counted_by_what_it_lacks(live: Live) -> None:
    found = rises(live, [login("a", occurred_at=now_ms() + DAY_MS // 2)])

    assert found["riskengine_degraded_total[('code', 'clock')]"] == 1


def test_a_store_that_fails_is_counted_and_what_it_did_not_decide_is_a_fallback(world: World, tmp_path: Path) -> None:
    live = Live(engine_over(Gone(), world), Journal(tmp_path / "journal", SEAL))
    found = rises(live, [login("a")])
    gauge(live, False, now_ms())

    assert found["riskengine_store_failures_total[]"] >= 1
    assert found["riskengine_decisions_total[('decision', 'step_up'), ('source', 'fallback')]"] == 1
    assert found["riskengine_degraded_total[('code', 'store')]"] == 1
    assert found["riskengine_stage_seconds_count[('stage', 'fallback')]"] == 1
    assert value("riskengine_journal_pending") == 1


def test_an_address_located_before_is_a_hit(world: World) -> None:
    locator = Locator.open(None, world.city, world.asn, world.anonymous)
    before = value("riskengine_located_addresses_total", cache="hit")
    missed = value("riskengine_located_addresses_total", cache="miss")
    locator.locate([HOME])
    locator.locate([HOME, AWAY])

    assert value("riskengine_located_addresses_total", cache="hit") - before == 1
    assert value("riskengine_located_addresses_total", cache="miss") - missed == 2


def test_the_gauges_say_how_things_are(live: Live) -> None:
    now = now_ms()
    gauge(live, False, now)
    not_started = value("riskengine_ready")

    async def scene() -> None:
        gauge(live, False, now)
        assert value("riskengine_ready") == 1
        gauge(live, True, now)
        assert value("riskengine_ready") == 0

    play(live, scene())
    assert not_started == 0
    assert value("riskengine_geolocation_age_days") == live.engine.locator.source(now).age_days(now)
    assert value("process_resident_memory_bytes") > 10_000_000
    assert value("process_cpu_seconds_total") > 0


# --- several workers ----------------------------------------------------------------------------------------------

WORKER = """
import sys
from riskengine.metrics import *
from riskengine.metrics import answered
share = int(sys.argv[1])
for _ in range(share):
    answered("/score", 200).observe(0.003)
count_decisions([{"decision": "allow", "source": "engine", "reasons": [{"code": "new_place"}], "degraded": []}] * share)
QUEUED.set(share); READY.set(share > 2); GEO_AGE.set(share); WORKERS.set(1)
flush()
print(exposition()[0].decode())
"""


def worker(folder: Path, share: int) -> tuple[int, dict[str, float]]:
    """Count in a process of its own; return its id, and every series as it saw them at its end."""
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", WORKER, str(share)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    text = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    series: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={label}" for name, label in sorted(sample.labels.items()))
            series[f"{sample.name} {labels}".strip()] = sample.value
    return process.pid, series


def test_any_worker_tells_the_sum_over_all_and_a_dead_one_still_counts(tmp_path: Path) -> None:
    first, alone = worker(tmp_path, 2)
    second, both = worker(tmp_path, 3)
    mark_process_dead(first, tmp_path)  # type: ignore[no-untyped-call]
    mark_process_dead(second, tmp_path)  # type: ignore[no-untyped-call]
    _, later = worker(tmp_path, 5)

    def row(name: str) -> list[float]:
        return [seen[name] for seen in (alone, both, later)]

    assert row("riskengine_requests_total route=/score,status=200") == [2, 5, 10]
    assert row("riskengine_request_seconds_count route=/score") == [2, 5, 10]
    assert row("riskengine_request_seconds_bucket le=0.005,route=/score") == [2, 5, 10]
    assert row("riskengine_request_seconds_sum route=/score") == pytest.approx([0.006, 0.015, 0.03])
    assert row("riskengine_decisions_total decision=allow,source=engine") == [2, 5, 10]
    assert row("riskengine_reasons_total code=new_place") == [2, 5, 10]
    assert row("riskengine_queue_items") == [2, 5, 5]
    assert row("riskengine_workers") == [1, 2, 1]
    assert row("riskengine_ready") == [0, 0, 1]
    assert row("riskengine_geolocation_age_days") == [2, 3, 5]
    assert both["process_cpu_seconds_total"] > alone["process_cpu_seconds_total"] > 0
    assert both["process_resident_memory_bytes"] > 1.5 * alone["process_resident_memory_bytes"]
    assert not any("pid=" in name for name in later)
