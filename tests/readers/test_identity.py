"""Ids for lines without one."""

from hypothesis import given
from hypothesis import strategies as st

from riskengine.readers.identity import Identity


@given(st.lists(st.binary(max_size=2)))
def test_no_two_lines_of_a_log_share_an_id_and_every_reading_gives_the_same(lines: list[bytes]) -> None:
    first, again = Identity("csv"), Identity("csv")
    found = [first.of(line) for line in lines]

    assert len(set(found)) == len(lines)
    assert [again.of(line) for line in lines] == found


def test_formats_do_not_share_ids() -> None:
    assert Identity("csv").of(b"a")[4:] != Identity("sshd").of(b"a")[5:]


def test_memory_is_bounded_and_a_copy_far_away_is_the_same_line() -> None:
    ids = Identity("csv")
    first = ids.of(b"first")
    for number in range(65_536):
        ids.of(b"%d" % number)

    assert ids.of(b"first") == first
    assert len(ids._seen) == 65_536
