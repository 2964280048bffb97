"""Names of a log as the users they are."""

from pathlib import Path

import pytest

from riskengine.errors import InvalidInput
from riskengine.readers.read import Reading, make_reading, read
from tests.readers.told import told

OKTA = (
    '{"uuid":"u%d","published":"2026-05-11T06:00:00Z","eventType":"user.session.start","actor":{"id":"00u1",'
    '"alternateId":"Mira@example.org"},"client":{"ipAddress":"203.0.113.4"},"outcome":{"result":"SUCCESS"}}\n'
)
SSHD = "Mar  4 09:15:27 g sshd[1]: Accepted password for %s from 192.0.2.1 port 5 ssh2\n"


@pytest.fixture
def aliases(tmp_path: Path) -> str:
    path = tmp_path / "people.csv"
    path.write_text("name,user_id\nMIRA@example.org,u-1\ntove,u-2\n\n")
    return str(path)


def users(path: Path, reading: Reading) -> list[tuple[str, str | None]]:
    found = told(read([str(path)], year=2026, reading=reading))["want"]
    return [(one["user_id"], one.get("login")) for one in found]


def test_the_user_is_taken_from_another_field_and_named_by_the_aliases(tmp_path: Path, aliases: str) -> None:
    path = tmp_path / "log"
    path.write_text(OKTA % 1)

    assert users(path, make_reading(None, None, None)) == [("00u1", "mira@example.org")]
    assert users(path, make_reading(None, "actor.alternateId", None)) == [("Mira@example.org", "mira@example.org")]
    assert users(path, make_reading(None, "actor.nothing, actor.alternateId", aliases)) == [("u-1", "mira@example.org")]


def test_aliases_serve_every_format_and_keep_the_name(tmp_path: Path, aliases: str) -> None:
    path = tmp_path / "auth.log"
    path.write_text(SSHD % "tove" + SSHD % "runa")

    assert users(path, make_reading(None, None, aliases)) == [("u-2", "tove"), ("runa", None)]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param("tove,u-1\nTove,u-2\n", "line 2 gives a name to a second user", id="two_users"),
        pytest.param("tove\n", "line 1 must have two cells", id="one_cell"),
        pytest.param("tove,\n", "line 1 has a cell that must have 1 to 256 characters", id="empty_cell"),
        pytest.param('"tove,u-1\n', "line 1 is not CSV", id="open_quote"),
    ],
)
def test_a_wrong_alias_file_names_the_line(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(content)

    with pytest.raises(InvalidInput, match=why):
        make_reading(None, None, str(path))


def test_a_users_field_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="--user-field is no path"):
        make_reading(None, "actor..id", None)
    with pytest.raises(InvalidInput, match="--user-field is for logs read by a mapping, not for sshd"):
        read([], "sshd", reading=make_reading(None, "actor.id", None))
