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


def test_file_that_was_taken_away_is_let_go_of_and_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "x.db"
    living = wal.Living(path, lambda: wal.opened(path, SCHEMA))
    first = living.current()
    assert living.current() is first
    first.execute("insert into t values (1)")
    path.parent.rename(tmp_path / "elsewhere")
    assert living.current().execute("select count(*) from t").fetchone() == (0,)
    assert path.exists()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        first.execute("select 1")
    living.close()


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_lock_of_another_process_is_waited_for_as_long_as_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with contextlib.closing(wal.opened(tmp_path / "x.db", SCHEMA)) as other:
        other.execute("begin immediate")
        mine = wal.opened(tmp_path / "x.db", SCHEMA, patience=0.0)
        monkeypatch.setattr(wal, "time", clock)
        with contextlib.closing(mine), pytest.raises(sqlite3.OperationalError, match="locked"):
            wal.begin(mine, 0.25)
    assert clock.now == pytest.approx(0.25, abs=0.01)
