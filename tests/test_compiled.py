"""Machine code of the core: made once for its sources, kept between starts, and thrown away when nobody needs it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import grimp
import pytest

from riskengine.compiled import SOURCES, UNUSED_DAYS, digest, folder_for

PACKAGE = Path(__file__).parent.parent / "riskengine"
TINY = """
from riskengine.compiled import compiled, is_kept

@compiled
def twice(value: float) -> float:
    return 2 * value

print(is_kept(twice), twice(21.0), sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))
"""
# All that is compiled, after all that a live process or a replay calls, with what the cache did not have.
WHOLE = """
import gc, sys
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from riskengine.assess import is_ready, ready
from tests.doors import arrivals_of, default_policy, load_cases, memory_engine
from tests.fixtures_geo import write_world

print(is_ready())
world = write_world(Path(sys.argv[1]))
ready(default_policy())
memory_engine(world).rehearse()
made = [one for one in gc.get_objects() if isinstance(one, Dispatcher) and one.__module__.startswith("riskengine")]
before = sum(len(one.overloads) for one in made)
for case in load_cases()[:20]:
    memory_engine(world).run(arrivals_of([step.item for step in case.steps]))
print(sum(len(one.overloads) for one in made) - before, sum(sum(one.stats.cache_misses.values()) for one in made))
"""


def run(code: str, *arguments: object, cache: Path | None = None) -> list[str]:
    """Return the words that a Python process of its own prints; its machine code is kept below `cache`."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    if cache is not None:
        environment["XDG_CACHE_HOME"] = str(cache)
    command = [sys.executable, "-c" if "\n" in code else "-m", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module with one small function."""
    (tmp_path / "tiny.py").write_text(TINY)
    return f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport tiny"


def test_a_second_process_finds_what_the_first_one_compiled(tiny: str, tmp_path: Path) -> None:
    assert run(tiny, cache=tmp_path) == ["False", "42.0", "0", "1"]
    assert run(tiny, cache=tmp_path) == ["True", "42.0", "1", "0"]


def test_where_nothing_can_be_written_each_process_compiles_for_itself(tiny: str, tmp_path: Path) -> None:
    a_file = tmp_path / "tiny.py"

    assert run(tiny, cache=a_file) == run(tiny, cache=a_file) == ["False", "42.0", "0", "1"]


def test_a_process_that_is_ready_compiles_nothing_for_its_decisions(tmp_path: Path) -> None:
    # The tests' own start has compiled the core; this process has it from the cache, and needs nothing more.
    assert run(WHOLE, tmp_path) == ["True", "0", "0"]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package's sources."""
    return shutil.copytree(PACKAGE, tmp_path / "riskengine", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize("changed", ["geo.py", "signals/travel.py", "history/record.py", "compiled.py"])
def test_a_changed_source_is_compiled_anew(package: Path, changed: str) -> None:
    before = digest(package)
    (package / changed).write_text((package / changed).read_text() + "\n# changed\n")

    assert before == digest(PACKAGE)
    assert digest(package) != before


def test_what_is_not_part_of_the_core_changes_nothing(package: Path) -> None:
    (package / "live.py").write_text("")

    assert digest(package) == digest(PACKAGE)


def test_all_that_is_compiled_counts_with_all_that_it_is_made_of() -> None:
    graph = grimp.build_graph("riskengine")
    made = graph.find_modules_that_directly_import("riskengine.compiled")
    needed = made.union(*(graph.find_upstream_modules(module) for module in made)) & core_of(graph)

    assert {module.split(".")[1] for module in needed} <= set(SOURCES)
    assert "riskengine.signals.travel" in made


def core_of(graph: grimp.ImportGraph) -> set[str]:
    """Return the modules that assess stands on."""
    return {"riskengine.assess", *graph.find_upstream_modules("riskengine.assess")}


def test_old_machine_code_makes_room_for_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    now = time.time()
    for name, days in (("old", UNUSED_DAYS + 1), ("late", UNUSED_DAYS - 1)):
        folder = tmp_path / "riskengine" / name
        folder.mkdir(parents=True)
        (folder / "code").write_text("code")
        os.utime(folder, (now - days * 86_400,) * 2)

    folder_made = folder_for(PACKAGE)

    assert folder_made == tmp_path / "riskengine" / digest(PACKAGE)
    assert {path.name for path in (tmp_path / "riskengine").iterdir()} == {"late", digest(PACKAGE)}


def test_a_start_marks_its_machine_code_as_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = folder_for(PACKAGE)
    assert folder is not None
    os.utime(folder, (0, 0))

    assert folder_for(PACKAGE) == folder
    assert folder.stat().st_mtime > time.time() - 60


def test_nobody_without_a_home_keeps_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)

    assert folder_for(PACKAGE) is None
