"""`riskengine purge`: what it counts, what it takes, what it says."""

import pytest

from tests.test_cli import Run


def test_a_purge_is_counted_before_and_audited(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("purge", "--dry-run") == 0
    counted = capsys.readouterr()
    assert "events emptied" in counted.out
    assert "Would be kept: what is personal for 180 days, decisions for 400 days." in counted.err

    assert run("purge") == 0

    assert "Kept: what is" in capsys.readouterr().err


def test_for_ever_is_written_out(run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKENGINE_PERSONAL_DAYS", "for ever")
    monkeypatch.setenv("RISKENGINE_RETENTION_DAYS", "for ever")

    assert run("purge") == 0

    assert "what is personal for ever" in capsys.readouterr().err
