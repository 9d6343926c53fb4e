"""What a crash left is swept at the start and said; what lives is left alone."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from pathlib import Path

import msgspec
import pytest

from millrace.engine.app import plans_of
from millrace.engine.settings import load
from millrace.engine.store.archive import Entry
from millrace.engine.store.segments import packed
from millrace.engine.workers.sweeping import sweep

SETTINGS = """
[[listener]]
kind = "smtp"
address = "inet:0@127.0.0.1"
deliver = "maildir:Maildir"
[dns]
zone = "zone.json"
"""


def swept(folder: Path, caplog: pytest.LogCaptureFixture, *, heir: bool = False) -> list[str]:
    """What a start says."""
    (folder / "millrace.toml").write_text(SETTINGS)
    (folder / "zone.json").write_text("{}")
    (folder / "pipelines").mkdir(exist_ok=True)
    (folder / "pipelines" / "inbound.toml").write_text(
        'policy = "default"\n[[filter]]\nuse = "archive"\n'
    )
    settings = load(folder / "millrace.toml")
    caplog.clear()
    with caplog.at_level(logging.INFO, "millrace.sweep"):
        sweep(settings, plans_of(settings).values(), heir=heir)
    return [record.getMessage() for record in caplog.records]


def dead() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    return gone.pid


def half_written(folder: Path, pid: int) -> Path:
    tmp = folder / "Maildir" / "tmp"
    tmp.mkdir(parents=True, exist_ok=True)
    path = tmp / f"1800000000.M5P{pid}Q0.{socket.gethostname()}"
    path.write_text("half")
    return path


def test_a_clean_start_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert swept(tmp_path, caplog) == []
    assert swept(tmp_path, caplog) == []


def test_half_written_mails_of_the_dead_go_and_those_of_the_living_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone, ours = half_written(tmp_path, dead()), half_written(tmp_path, os.getpid())
    other = gone.with_name("somebody-elses")
    other.write_text("x")
    (said,) = swept(tmp_path, caplog)
    assert said.endswith("Maildir: 1 half written mails of a crash were removed")
    assert (gone.exists(), ours.exists(), other.exists()) == (False, True, True)


def test_the_torn_end_of_a_segment_is_cut_off_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segments = tmp_path / "archive" / "segments"
    segments.mkdir(parents=True)
    (segments / "0000000001-1-1.seg").write_bytes(b"MRS1B torn")
    (said,) = swept(tmp_path, caplog)
    assert said.endswith("0 records were indexed, 10 octets of a torn one cut off")
    assert swept(tmp_path, caplog) == []


def test_what_the_version_before_has_not_indexed_yet_tells_of_no_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    segments = tmp_path / "archive" / "segments"
    segments.mkdir(parents=True)
    entry = Entry(id="Q7", time=1.0, sender="", recipients=[], sha256="", size=0, until=0)
    record = b"".join(packed(b"E", msgspec.json.encode(entry)))
    (segments / "0000000001-1-1.seg").write_bytes(record)
    assert swept(tmp_path, caplog, heir=True) == []
    (segments / "0000000001-1-2.seg").write_bytes(record)
    (said,) = swept(tmp_path, caplog)
    assert "after a crash 1 records were indexed" in said


def test_an_archive_that_cannot_be_opened_stops_no_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "archive").write_text("a file")
    (said,) = swept(tmp_path, caplog)
    assert "archive" in said
