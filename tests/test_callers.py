"""The page for callers works as it stands: its commands and its Python, from top to bottom, against a real server."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from riskengine.access.caller import LEVELS, SCOPES
from riskengine.settings import Settings
from tests.fixtures_geo import World
from tests.served import Served, environment_of, serving, settings_of

PAGE = (Path(__file__).parent.parent / "docs" / "callers.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def served(tmp_path: Path, world: World) -> Iterator[Served]:
    with serving(settings_of(tmp_path / "home", world)) as running:
        yield running


def test_every_way_to_call_works_as_it_is_shown(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = served.settings.base_url
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = environment_of(served.settings) | {"PATH": paths}
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    said = io.StringIO()

    for kind, text in BLOCKS:
        block = text.replace("http://127.0.0.1:8000", url).replace("timeout=0.5", "timeout=20")
        if kind == "sh":
            subprocess.run(["bash", "-euc", block], cwd=tmp_path, env=environment, check=True, timeout=60)
        else:
            with redirect_stdout(said):
                exec(block, names)  # noqa: S102 - our own page

    lines = said.getvalue().splitlines()
    assert lines[0].startswith("300 (")
    assert len(lines) == 5
    assert all("allow" in line or "step_up" in line for line in lines)
    assert len(names["chains"]) == 64


def test_the_settings_and_scopes_that_are_named_exist() -> None:
    named = {name.lower() for name in re.findall(r"`RISKENGINE_(\w+)`", PAGE)}

    assert named <= Settings.model_fields.keys()
    assert {name for name in Settings.model_fields if name.startswith("outside_")} <= named
    assert all(f"`{word}`" in PAGE for word in (*SCOPES, *LEVELS[1:]))
