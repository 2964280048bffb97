"""`riskengine block`: put up, listed and lifted from a terminal."""

import pytest

from tests.test_cli import Run, home, run

__all__ = ["home", "run"]
Capture = pytest.CaptureFixture[str]


def test_a_block_is_put_up_listed_and_lifted(run: Run, capsys: Capture) -> None:
    assert run("block", "add", "198.51.100.0/24", "--for", "24h", "--why", "ticket\u202e 4711") == 0
    made = capsys.readouterr()
    block_id = made.out.strip()
    assert "would have denied: 0 logins" in made.err

    assert run("block", "list") == 0
    listed = capsys.readouterr().out
    assert (block_id in listed, "in force" in listed, "ticket<U+202E> 4711" in listed) == (True, True, True)

    assert run("block", "lift", block_id) == 0
    capsys.readouterr()
    run("block", "list")
    assert block_id not in capsys.readouterr().out
    run("block", "list", "--all")
    assert "lifted" in capsys.readouterr().out
    run("audit", "list")
    assert "block.add" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(("add", "0.0.0.0/0", "--for", "1h", "--why", "x"), 2, "is wider than a /8", id="everybody"),
        pytest.param(("add", "x", "--for", "1h", "--why", "x"), 2, "/value must be an address", id="nonsense"),
        pytest.param(("add", "user:x", "--for", "1y", "--why", "x"), 2, "/for must be a length", id="span"),
        pytest.param(("lift", "0123456789"), 1, "there is no such block", id="unknown"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    run: Run, capsys: Capture, words: tuple[str, ...], code: int, told: str
) -> None:
    run("block", "list")
    capsys.readouterr()

    assert run("block", *words) == code
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
