"""A file that several processes make at once."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from millrace.engine import wal

SCHEMA = "create table if not exists t (a integer primary key) without rowid;"


def test_a_file_that_another_process_is_making_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.db"
    other_process = sqlite3.connect(path, isolation_level=None)
    other_process.execute("begin exclusive")
    monkeypatch.setattr(wal, "BUSY_S", 0.01)
    monkeypatch.setattr(time, "sleep", lambda _: other_process.execute("commit"))
    with contextlib.closing(wal.opened(path, SCHEMA)) as database:
        assert database.execute("select count(*) from t").fetchone() == (0,)
    other_process.close()


def test_a_file_that_stays_locked_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_process = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other_process.execute("begin exclusive")
    monkeypatch.setattr(wal, "BUSY_S", 0.01)
    monkeypatch.setattr(wal, "MADE_S", 0.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        wal.opened(tmp_path / "x.db", SCHEMA)
    other_process.close()


def test_a_file_is_in_wal_and_has_its_tables(tmp_path: Path) -> None:
    with contextlib.closing(wal.opened(tmp_path / "x.db", SCHEMA, "off")) as database:
        assert database.execute("pragma journal_mode").fetchone() == ("wal",)
        assert database.execute("pragma synchronous").fetchone() == (0,)
        assert database.execute("select count(*) from t").fetchone() == (0,)


def test_what_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"words" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        wal.opened(tmp_path / "x.db", SCHEMA)
