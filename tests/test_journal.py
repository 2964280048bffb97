"""The journal: what it took is there after any crash, in order, until it was saved."""

import errno
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskengine import journal as journal_module
from riskengine.errors import SealKeyError, StoreUnavailable
from riskengine.journal import CHUNK, Journal
from riskengine.seal import Keys, Seal

KEYS = Keys.generate()
SEAL = Seal(KEYS)


def drained(journal: Journal) -> list[bytes]:
    records: list[bytes] = []
    journal.drain(records.extend)
    return records


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def abandon(journal: Journal) -> Path:
    """Let go of a journal as a dying process does, and return its one file."""
    folder = journal._folder
    assert journal._current is not None
    os.close(journal._current.descriptor)
    return next(iter(folder.glob("*.journal")))


def refuse(records: list[bytes]) -> None:
    raise StoreUnavailable("not now")


def test_a_new_journal_is_empty_and_makes_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "journal", SEAL)

    assert journal.pending() == 0
    assert drained(journal) == []
    journal.append([])
    assert files(tmp_path / "new" / "journal") == []


def test_records_are_drained_in_order_and_then_gone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one", b"two"])
    journal.append([b"three", b""])

    assert journal.pending() == 4
    assert drained(journal) == [b"one", b"two", b"three", b""]
    assert journal.pending() == 0
    assert drained(journal) == []
    assert files(tmp_path) == []


def test_draining_says_how_many_were_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"x"] * (2 * CHUNK + 1))
    sizes: list[int] = []

    assert journal.drain(lambda records: sizes.append(len(records))) == 2 * CHUNK + 1
    assert sizes == [CHUNK, CHUNK, 1]


def test_the_folder_and_its_files_are_their_owners_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", SEAL)
    journal.append([b"x"])

    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert next((tmp_path / "journal").iterdir()).stat().st_mode & 0o777 == 0o600


def test_what_is_refused_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])

    with pytest.raises(StoreUnavailable, match="not now"):
        journal.drain(refuse)
    journal.append([b"two"])

    assert journal.pending() == 2
    assert drained(journal) == [b"one", b"two"]


def test_what_was_accepted_before_a_refusal_does_not_come_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"%d" % number for number in range(CHUNK + 10)])
    accepted: list[bytes] = []

    def accept_once(records: list[bytes]) -> None:
        if accepted:
            raise StoreUnavailable("not now")
        accepted.extend(records)

    with pytest.raises(StoreUnavailable):
        journal.drain(accept_once)

    assert journal.pending() == 10
    assert accepted + drained(journal) == [b"%d" % number for number in range(CHUNK + 10)]


def test_an_error_of_the_saver_is_not_taken_for_the_journals(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])

    def fail(records: list[bytes]) -> None:
        raise FileNotFoundError("elsewhere")

    with pytest.raises(FileNotFoundError):
        journal.drain(fail)
    assert drained(journal) == [b"one"]


def test_records_can_be_appended_while_others_are_drained(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])
    seen: list[bytes] = []

    def save(records: list[bytes]) -> None:
        journal.append([b"two"])
        seen.extend(records)

    journal.drain(save)

    assert seen == [b"one"]
    assert journal.pending() == 1
    assert drained(journal) == [b"two"]


def test_many_threads_append_and_drain_without_loss(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    seen: list[bytes] = []

    def append(worker: int) -> None:
        for number in range(20):
            journal.append([b"%d-%d" % (worker, number)])

    threads = [threading.Thread(target=append, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.drain(seen.extend)
    journal.drain(seen.extend)

    assert len(seen) == 80
    assert set(seen) == {b"%d-%d" % (worker, number) for worker in range(4) for number in range(20)}
    assert all(
        [record for record in seen if record.startswith(b"%d-" % worker)]
        == [b"%d-%d" % (worker, number) for number in range(20)]
        for worker in range(4)
    )


def test_a_journal_that_lives_keeps_its_files_to_itself(tmp_path: Path) -> None:
    alive = Journal(tmp_path, SEAL)
    alive.append([b"mine"])

    other = Journal(tmp_path, SEAL)

    assert other.pending() == 0
    assert drained(other) == []
    assert drained(alive) == [b"mine"]


def test_the_next_process_adopts_what_a_dead_one_left(tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from riskengine.journal import Journal
        from riskengine.seal import Keys, Seal
        journal = Journal(Path(sys.argv[1]), Seal(Keys.read(Path(sys.argv[2]))))
        journal.append([b"one", b"two"])
        os._exit(9)
    """)
    KEYS.write(tmp_path / "seal.json")
    folder = tmp_path / "journal"
    living = Journal(folder, SEAL)

    subprocess.run([sys.executable, "-c", program, folder, tmp_path / "seal.json"], check=False)

    assert Journal(folder, SEAL).pending() == 2
    assert drained(living) == []  # the first to look has it now


def test_a_living_process_adopts_when_it_drains(tmp_path: Path) -> None:
    living, dying = Journal(tmp_path, SEAL), Journal(tmp_path, SEAL)
    dying.append([b"old"])
    living.append([b"new"])
    abandon(dying)

    assert living.pending() == 1
    assert drained(living) == [b"old", b"new"]
    assert files(tmp_path) == []


def test_after_a_crash_between_saving_and_removing_records_come_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one", b"two"])
    saved: list[bytes] = []

    def save_and_die(records: list[bytes]) -> None:
        saved.extend(records)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.drain(save_and_die)
    journal.close()

    assert saved == [b"one", b"two"]
    assert drained(Journal(tmp_path, SEAL)) == [b"one", b"two"]


def test_a_closed_journal_leaves_its_records_and_takes_no_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])
    journal.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        journal.append([b"two"])
    assert drained(Journal(tmp_path, SEAL)) == [b"one"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(records=st.lists(st.binary(max_size=40), min_size=1, max_size=5), cut=st.integers(1, 60))
def test_a_file_cut_anywhere_gives_all_whole_records_and_counts_one_torn(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder, SEAL)
    journal.append(records)
    path = abandon(journal)
    frames = [8 + 33 + len(record) for record in records]
    kept = 20 + sum(frames) - min(cut, sum(frames))
    os.truncate(path, kept)
    whole = next(count for count in range(len(records), -1, -1) if 20 + sum(frames[:count]) <= kept)

    adopted = Journal(folder, SEAL)

    assert adopted.torn == (kept != 20 + sum(frames[:whole]))
    assert drained(adopted) == records[:whole]
    assert files(folder) == []


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(bytes(100), id="zeros"),
        pytest.param(b"\xff" * 100, id="a_length_beyond_the_end"),
        pytest.param(b"\x00", id="a_piece_of_a_length"),
        pytest.param((40).to_bytes(4) + b"sum!" + bytes(40), id="a_last_record_with_a_wrong_checksum"),
    ],
)
def test_what_a_crash_leaves_behind_the_last_record_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])
    path = abandon(journal)
    with path.open("ab") as file:
        file.write(tail)

    adopted = Journal(tmp_path, SEAL)

    assert (adopted.torn, adopted.damaged) == (1, 0)
    assert drained(adopted) == [b"one"]


@pytest.mark.parametrize("head", [b"", b"rkj1", b"rkj1" + bytes(15)])
def test_a_file_cut_short_at_birth_is_removed(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "1.journal").write_bytes(head)

    assert drained(Journal(tmp_path, SEAL)) == []
    assert files(tmp_path) == []


def test_a_file_that_is_no_journal_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "1.journal").write_text("somebody's notes, longer than a head")

    assert drained(Journal(tmp_path, SEAL)) == []
    assert files(tmp_path) == [".damaged"]


def test_a_damaged_record_is_counted_and_its_file_kept_while_the_others_are_saved(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one", b"two", b"three"])
    path = abandon(journal)
    content = bytearray(path.read_bytes())
    content[20 + 8 + 20] ^= 1
    path.write_bytes(content)

    adopted = Journal(tmp_path, SEAL)

    assert drained(adopted) == [b"two", b"three"]
    assert (adopted.torn, adopted.damaged) == (0, 1)
    assert files(tmp_path) == [".damaged"]


def test_records_that_changed_places_do_not_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one", b"two"])
    path = abandon(journal)
    content = path.read_bytes()
    frame = 8 + 33 + 3
    path.write_bytes(content[:20] + content[20 + frame :] + content[20 : 20 + frame])

    adopted = Journal(tmp_path, SEAL)

    assert drained(adopted) == []
    assert adopted.damaged == 2


def test_with_a_wrong_key_nothing_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])
    abandon(journal)
    wrong = Journal(tmp_path, Seal(Keys.generate()))

    with pytest.raises(SealKeyError):
        drained(wrong)
    assert wrong.pending() == 1
    wrong.close()

    assert drained(Journal(tmp_path, SEAL)) == [b"one"]


def test_a_newborn_file_that_another_process_took_and_removed_takes_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, other = Journal(tmp_path, SEAL), Journal(tmp_path, SEAL)
    lock, taken = journal_module._locked, list[int]()

    def locked(descriptor: int) -> bool:
        if not taken:
            taken.append(descriptor)
            drained(other)  # between birth and lock: it finds an orphan without a record, and removes it
        return lock(descriptor)

    monkeypatch.setattr(journal_module, "_locked", locked)
    journal.append([b"kept"])
    monkeypatch.undo()
    abandon(journal)

    assert drained(Journal(tmp_path, SEAL)) == [b"kept"]


def test_a_folder_that_cannot_be_made_is_the_journal_being_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreUnavailable, match="journal"):
        Journal(tmp_path / "file" / "journal", SEAL)


def test_a_full_disk_refuses_the_records_and_keeps_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])

    def half_written(descriptor: int, content: bytes, at: int) -> None:
        os.pwrite(descriptor, content[: len(content) // 2], at)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_write_all", half_written)
        with pytest.raises(StoreUnavailable, match="No space left"):
            journal.append([b"two", b"three"])
    journal.append([b"four"])

    assert journal.pending() == 2
    assert drained(journal) == [b"one", b"four"]


def test_a_full_disk_leaves_no_newborn_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, SEAL)

    def full(descriptor: int, content: bytes, at: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "_write_all", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            journal.append([b"one"])

    assert files(tmp_path) == []
    journal.append([b"two"])
    assert drained(journal) == [b"two"]


def test_after_a_failed_sync_a_new_file_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, SEAL)
    journal.append([b"one"])

    def unsynced(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", unsynced)
        with pytest.raises(StoreUnavailable, match="Input/output"):
            journal.append([b"two"])
    journal.append([b"three"])

    assert files(tmp_path) == [".journal", ".journal"]
    assert drained(journal) == [b"one", b"three"]


def test_a_read_only_folder_refuses_the_records(tmp_path: Path) -> None:
    """Where not even root can write: the folder was taken away."""
    journal = Journal(tmp_path / "journal", SEAL)
    (tmp_path / "journal").rmdir()

    with pytest.raises(StoreUnavailable, match="cannot be written"):
        journal.append([b"one"])
    assert journal.pending() == 0
