"""The decision log: whole lines in order, for the owner alone, and a bad disk stops nothing."""

import asyncio
import fcntl
import logging
import stat
import threading
import time

from fakes import room_for

from millrace.engine.telemetry.journal import WAITING_MAX, Journal


def written(path, *records: bytes) -> Journal:
    async def write():
        journal = Journal(path)
        for record in records:
            journal.write(record)
        journal.flush()
        return journal

    return asyncio.run(write())


def test_records_are_appended_a_line_each_in_order(tmp_path):
    path = tmp_path / "new" / "decisions.jsonl"
    written(path, b"one", b"two")
    written(path, b"three")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_file_that_was_moved_away_is_made_anew(tmp_path):
    path = tmp_path / "d"

    async def rotate():
        journal = Journal(path)
        journal.write(b"one")
        journal.flush()
        path.rename(tmp_path / "d.1")
        journal.write(b"two")
        journal.flush()
        journal.flush()

    asyncio.run(rotate())
    assert (path.read_bytes(), (tmp_path / "d.1").read_bytes()) == (b"two\n", b"one\n")


def test_disk_that_refuses_is_said_once_and_counted(tmp_path, caplog):
    async def write():
        journal = Journal(tmp_path)  # a folder cannot be written
        for _ in range(3):
            journal.write(b"x")
            journal.flush()
        return journal

    with caplog.at_level(logging.ERROR, "millrace.journal"):
        journal = asyncio.run(write())
    assert journal.lost == 3
    assert len(caplog.records) == 1


def test_waiting_records_are_bounded_and_the_rest_is_counted(tmp_path):
    journal = written(tmp_path / "d", *[b"x"] * (WAITING_MAX + 5))
    assert journal.lost == 5
    assert (tmp_path / "d").stat().st_size == 2 * WAITING_MAX


def test_full_disk_leaves_no_half_record_and_what_comes_later_is_whole(tmp_path):
    path = tmp_path / "d"

    async def write():
        journal = Journal(path)
        journal.write(b"one")
        journal.flush()
        with room_for(14):
            for _ in range(3):
                journal.write(b"12345678")
            journal.flush()
        journal.write(b"two")
        journal.flush()
        return journal

    journal = asyncio.run(write())
    assert path.read_bytes() == b"one\n12345678\ntwo\n"
    assert journal.lost == 2


def test_half_a_line_of_a_crash_does_not_swallow_the_next_record(tmp_path, caplog):
    path = tmp_path / "d"
    path.write_bytes(b"one\nha")
    assert written(path, b"two", b"three").lost == 0
    written(path, b"four")
    assert caplog.records == []
    assert path.read_bytes() == b"one\nha\ntwo\nthree\nfour\n"


def test_record_that_a_neighbour_is_writing_is_not_taken_for_half_a_line_of_a_crash(tmp_path):
    path = tmp_path / "d"
    with path.open("ab", buffering=0) as neighbour:
        fcntl.flock(neighbour, fcntl.LOCK_SH)
        neighbour.write(b"one\ntw")

        def go_on():
            time.sleep(0.005)
            neighbour.write(b"o\n")
            fcntl.flock(neighbour, fcntl.LOCK_UN)

        thread = threading.Thread(target=go_on)
        thread.start()
        written(path, b"three")
        thread.join()
    assert path.read_bytes() == b"one\ntwo\nthree\n"


def test_neighbour_that_was_stopped_in_the_midst_of_a_write_holds_nobody_up(tmp_path):
    path = tmp_path / "d"
    with path.open("ab") as neighbour:
        fcntl.flock(neighbour, fcntl.LOCK_EX)
        assert written(path, b"one").lost == 0
    assert path.read_bytes() == b"one\n"
