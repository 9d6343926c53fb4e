"""The archive: what was kept is there, byte for byte, whatever happened in between."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import sqlite3
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import room_for

from millrace.engine.errors import Unavailable
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.ports import Receipt
from millrace.engine.store import archive as module
from millrace.engine.store.archive import Archive

NOW = 1_800_000_000.0
YEAR = 31557600.0


def mail(raw: bytes, queue_id: str = "A1") -> Edited:
    sender = Sender(Address("a", "b.example"))
    recipients = (Recipient(Address("c", "d.example")),)
    return Edited(Envelope(queue_id, sender, recipients), Message.parse(raw))


def keep(folder: Path, *mails: Edited, seconds: float = 0, roll_at: int = 1 << 20) -> list[Receipt]:
    async def go() -> list[Receipt]:
        archive = Archive(folder, roll_at)
        try:
            kept = [archive.keep(each, NOW, seconds) for each in mails]
            return list(await asyncio.gather(*kept))
        finally:
            await archive.close()

    return asyncio.run(go())


def segment(folder: Path) -> Path:
    (found,) = (folder / "segments").iterdir()
    return found


RAW = b"From: a@b.example\r\nSubject: x\r\n\r\nhello\r\n"


def test_a_kept_mail_comes_back_byte_for_byte(tmp_path: Path) -> None:
    (receipt,) = keep(tmp_path, mail(RAW))
    assert receipt.sha256 == hashlib.sha256(RAW).hexdigest()
    assert Archive(tmp_path).content(receipt.sha256) == RAW


def test_an_entry_tells_envelope_time_and_size(tmp_path: Path) -> None:
    keep(tmp_path, mail(RAW, "Q7"))
    (entry,) = Archive(tmp_path).entries()
    assert (entry.id, entry.sender, entry.recipients) == ("Q7", "a@b.example", ["c@d.example"])
    assert (entry.time, entry.size, entry.until) == (NOW, len(RAW), 0)


def test_the_same_content_is_kept_once_with_two_entries(tmp_path: Path) -> None:
    first, second = keep(tmp_path, mail(RAW, "A"), mail(RAW, "B"))
    assert (first.known, second.known) == (False, True)
    assert [entry.id for entry in Archive(tmp_path).entries()] == ["A", "B"]


def test_a_lost_index_is_made_again_from_the_segments(tmp_path: Path) -> None:
    (receipt,) = keep(tmp_path, mail(RAW))
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    archive = Archive(tmp_path)
    assert archive.opened.indexed == 2
    assert archive.content(receipt.sha256) == RAW


@pytest.mark.parametrize("lost", [1, 5, 20, 60])
def test_a_torn_end_is_cut_off_and_the_rest_stays(tmp_path: Path, lost: int) -> None:
    whole = mail(b"Subject: whole\r\n\r\n1\r\n", "W")
    keep(tmp_path, whole)
    size = segment(tmp_path).stat().st_size
    with segment(tmp_path).open("ab") as out:
        out.write(segment(tmp_path).read_bytes()[: size - lost])
    archive = Archive(tmp_path)
    assert archive.opened.torn > 0
    assert "W" in {entry.id for entry in archive.entries()}
    assert Archive(tmp_path).opened.torn == 0


def test_a_segment_that_is_being_written_is_not_cut(tmp_path: Path) -> None:
    async def go() -> int:
        archive = Archive(tmp_path)
        try:
            await archive.keep(mail(RAW), NOW, 0)
            with segment(tmp_path).open("ab") as out:
                out.write(b"MRS1 half a record")
            return Archive(tmp_path).opened.torn
        finally:
            await archive.close()

    assert asyncio.run(go()) == 0


def test_damaged_content_is_never_given_out(tmp_path: Path) -> None:
    (receipt,) = keep(tmp_path, mail(RAW * 50))
    data = bytearray(segment(tmp_path).read_bytes())
    data[60] ^= 0xFF
    segment(tmp_path).write_bytes(bytes(data))
    with pytest.raises(Unavailable):
        Archive(tmp_path).content(receipt.sha256)


def test_what_is_past_its_keeping_is_pruned_and_what_is_not_stays(tmp_path: Path) -> None:
    keep(tmp_path, mail(b"Subject: old\r\n\r\n", "OLD"), seconds=YEAR)
    keep(tmp_path, mail(b"Subject: new\r\n\r\n", "NEW"), seconds=3 * YEAR)
    archive = Archive(tmp_path)
    assert len(archive.prune(NOW + 2 * YEAR)) == 1
    assert [entry.id for entry in archive.entries()] == ["NEW"]


def test_content_that_a_later_mail_still_needs_is_not_pruned(tmp_path: Path) -> None:
    keep(tmp_path, mail(RAW, "OLD"), seconds=YEAR)
    (receipt,) = keep(tmp_path, mail(RAW, "NEW"), seconds=3 * YEAR)
    archive = Archive(tmp_path)
    archive.prune(NOW + 2 * YEAR)
    assert archive.content(receipt.sha256) == RAW


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    for number in range(3):
        keep(tmp_path, mail(b"Subject: %d\r\n\r\n" % number), roll_at=10)
    assert len(list((tmp_path / "segments").iterdir())) == 3


def test_a_disk_that_refuses_is_unavailable_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async def go() -> None:
        archive = Archive(tmp_path)
        await archive.keep(mail(RAW, "GOOD"), NOW, 0)
        monkeypatch.setattr(os, "fdatasync", refuse)
        try:
            await archive.keep(mail(b"Subject: y\r\n\r\n", "BAD"), NOW, 0)
        finally:
            await archive.close()

    with pytest.raises(Unavailable):
        asyncio.run(go())
    assert [entry.id for entry in Archive(tmp_path).entries()] == ["GOOD"]


def test_a_disk_that_runs_full_takes_a_mail_wholly_or_not_at_all(tmp_path: Path) -> None:
    large = mail(RAW + os.urandom(40_000), "large")

    async def go() -> None:
        archive = Archive(tmp_path)
        try:
            await archive.keep(mail(RAW, "small"), NOW, 0)
            for _ in range(3):
                with room_for(20_000), pytest.raises(Unavailable):
                    await archive.keep(large, NOW, 0)
            await archive.keep(mail(RAW + b"more\r\n", "later"), NOW, 0)
        finally:
            await archive.close()

    asyncio.run(go())
    archive = Archive(tmp_path)
    assert (archive.opened.torn, archive.opened.indexed) == (0, 0)
    assert [entry.id for entry in archive.entries()] == ["small", "later"]
    assert sum(path.stat().st_size for path in (tmp_path / "segments").iterdir()) < 2000
    assert len(list((tmp_path / "segments").iterdir())) == 2, "an empty segment was left"


# --- what others do to the folder meanwhile


def kept_around(folder: Path, between: Callable[[], object], *mails: Edited) -> None:
    """Keep the first mail, let something happen, keep the others."""

    async def go() -> None:
        archive = Archive(folder)
        try:
            await archive.keep(mails[0], NOW, 1)
            between()
            for each in mails[1:]:
                await archive.keep(each, NOW, 0)
        finally:
            await archive.close()

    asyncio.run(go())


def whole(folder: Path) -> list[str]:
    archive = Archive(folder)
    entries = list(archive.entries())
    assert all(archive.content(entry.sha256) for entry in entries)
    return [entry.id for entry in entries]


@pytest.mark.parametrize("again", [RAW, RAW + b"more\r\n"], ids=["the same", "another"])
@pytest.mark.parametrize("name", [".", "segments"])
def test_what_comes_after_the_folder_was_removed_is_kept(
    tmp_path: Path, name: str, again: bytes
) -> None:
    folder = tmp_path / "archive"
    kept_around(folder, lambda: shutil.rmtree(folder / name), mail(RAW, "A"), mail(again, "B"))
    archive = Archive(folder)
    (entry,) = archive.entries("B")
    assert archive.content(entry.sha256) == again


def test_what_comes_after_the_folder_was_moved_is_in_the_new_one(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "archive", tmp_path / "elsewhere"
    kept_around(folder, lambda: folder.rename(elsewhere), mail(RAW, "A"), mail(RAW, "B"))
    assert (whole(folder), whole(elsewhere)) == (["B"], ["A"])


def test_no_entry_is_lost_with_the_index_of_a_living_archive(tmp_path: Path) -> None:
    mails = [mail(RAW + name.encode(), name) for name in "ABC"]
    kept_around(tmp_path, lambda: without_index(tmp_path), *mails)
    assert sorted(whole(tmp_path)) == ["A", "B", "C"]


def without_index(folder: Path) -> None:
    for path in folder.glob("index.db*"):
        path.unlink()


def test_segment_that_goes_while_a_mail_is_written_keeps_no_mail(tmp_path: Path) -> None:
    async def go() -> None:
        archive = Archive(tmp_path / "archive")
        write = archive._writer.commit

        def commit(data: bytes) -> None:
            archive._writer.commit = write  # type: ignore[method-assign]
            shutil.rmtree(tmp_path / "archive")
            write(data)

        archive._writer.commit = commit  # type: ignore[method-assign]
        try:
            with pytest.raises(Unavailable, match="was taken away"):
                await archive.keep(mail(RAW, "A"), NOW, 0)
            await archive.keep(mail(RAW, "B"), NOW, 0)
        finally:
            await archive.close()

    asyncio.run(go())
    assert whole(tmp_path / "archive") == ["B"]


def test_segment_that_is_being_written_is_not_pruned(tmp_path: Path) -> None:
    pruned: list[list[str]] = []

    def prune() -> None:
        pruned.append(Archive(tmp_path).prune(NOW + YEAR))

    kept_around(tmp_path, prune, mail(RAW, "A"), mail(b"new\r\n", "B"))
    assert (whole(tmp_path), pruned) == (["A", "B"], [[]])


def test_content_that_is_pruned_while_a_mail_needs_it_is_kept_again(tmp_path: Path) -> None:
    keep(tmp_path, mail(RAW, "OLD"), seconds=1)

    async def go() -> None:
        archive, other = Archive(tmp_path), Archive(tmp_path)
        write = archive._writer.commit

        def commit(data: bytes) -> None:
            archive._writer.commit = write  # type: ignore[method-assign]
            write(data)
            assert len(other.prune(NOW + YEAR)) == 1

        archive._writer.commit = commit  # type: ignore[method-assign]
        await archive.keep(mail(RAW, "NEW"), NOW, 0)
        await archive.close()

    asyncio.run(go())
    assert whole(tmp_path) == ["NEW"]
    without_index(tmp_path)
    assert whole(tmp_path) == ["NEW"]


def test_content_whose_segment_is_gone_is_named(tmp_path: Path) -> None:
    (receipt,) = keep(tmp_path, mail(RAW))
    segment(tmp_path).unlink()
    with pytest.raises(Unavailable, match=f"{receipt.sha256}: .*No such file"):
        Archive(tmp_path).content(receipt.sha256)


def test_mail_whose_index_fails_is_not_found_later(tmp_path: Path, monkeypatch) -> None:
    keep(tmp_path, mail(RAW, "before"))

    def refuse(index: object, rows: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    async def go() -> None:
        archive = Archive(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(module, "_run", refuse)
            with pytest.raises(Unavailable, match="locked"):
                await archive.keep(mail(RAW + b"other", "again"), NOW, 0)
        assert [entry.id for entry in Archive(tmp_path).entries()] == ["before"]
        await archive.keep(mail(RAW + b"other", "again"), NOW, 0)
        await archive.close()

    asyncio.run(go())
    assert [entry.id for entry in Archive(tmp_path).entries()] == ["before", "again"]


def test_large_mail_takes_less_than_twice_its_size(tmp_path: Path) -> None:
    size = 8 << 20
    large = [mail(RAW + os.urandom(size), str(n)) for n in range(3)]

    async def go() -> int:
        archive = Archive(tmp_path)
        tracemalloc.start()
        try:
            await asyncio.gather(*[archive.keep(each, NOW, 0) for each in large])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            await archive.close()

    assert asyncio.run(go()) < 1.5 * size
    assert len(list(Archive(tmp_path).entries())) == 3


def test_damaged_index_is_told_and_the_archive_can_be_read(tmp_path: Path) -> None:
    (receipt,) = keep(tmp_path, mail(RAW), seconds=YEAR)
    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match=r"not a database; move index\.db\* away"):
        Archive(tmp_path)
    archive = Archive(tmp_path, looking=True)
    assert [entry.id for entry in archive.entries()] == ["A1"]
    assert archive.content(receipt.sha256) == RAW


def test_archive_on_a_full_disk_can_be_read_and_pruned(tmp_path: Path) -> None:
    (receipt,) = keep(tmp_path, mail(RAW), seconds=YEAR)
    with room_for(0):
        with pytest.raises(Unavailable):
            Archive(tmp_path)
        archive = Archive(tmp_path, looking=True)
        assert [entry.id for entry in archive.entries()] == ["A1"]
        assert archive.content(receipt.sha256) == RAW
        assert archive.prune(NOW) == []
        assert len(archive.prune(NOW + 2 * YEAR)) == 1
    assert list((tmp_path / "segments").iterdir()) == []
    archive = Archive(tmp_path)
    archive.prune(NOW + 2 * YEAR)
    assert list(archive.entries()) == []
