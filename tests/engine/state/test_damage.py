"""Stores that answer what no store of ours would."""

from __future__ import annotations

import asyncio
import gc
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import InvalidResponse

from millrace.engine import wal
from millrace.engine.errors import Unavailable
from millrace.engine.operations.counter import Count
from millrace.engine.operations.window import CountInWindow
from millrace.engine.options import Seconds
from millrace.engine.state.embedded import EmbeddedState
from millrace.engine.state.exchange import Direct
from millrace.engine.state.opening import open_state
from millrace.engine.state.redis import RedisState
from millrace.engine.state.settings import State


@pytest.mark.parametrize("row", [b"garbage", b"\xff", b"", b"[]", b'{"start":"x"}', b"{}", 5])
def test_a_row_that_cannot_be_read_counts_as_none(tmp_path: Path, row: object) -> None:
    asked, other = CountInWindow("k", 3600, 10), CountInWindow("other", 3600, 10)

    async def go() -> list[float]:
        state = EmbeddedState(tmp_path / "state.db", now=lambda: 1_800_000_000.0)
        await state.ask(asked)
        with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
            database.execute("update entry set row = ?", (row,))
        found = [await asyncio.wait_for(state.ask(each), 5) for each in (asked, asked, other)]
        await state.close()
        return [allowance.left for allowance in found]

    assert asyncio.run(go()) == [9, 8, 9]


def test_a_state_file_that_was_taken_away_is_made_anew(tmp_path: Path) -> None:
    one = Count("k", 3600)

    async def go() -> list[float]:
        mine, others = EmbeddedState(tmp_path / "state.db"), EmbeddedState(tmp_path / "state.db")
        found = [await mine.ask(one), await others.ask(one)]
        await asyncio.to_thread(shutil.rmtree, tmp_path)
        found += [await mine.ask(one), await others.ask(one)]
        await mine.ping()
        await mine.close()
        await others.close()
        return found

    assert asyncio.run(go()) == [1, 2, 1, 2]


def test_a_state_file_that_is_locked_is_waited_for_no_longer_than_its_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, patience = tmp_path / "state.db", []

    def begin(_: sqlite3.Connection, seconds: float) -> None:
        patience.append(seconds)
        raise sqlite3.OperationalError("database is locked")

    async def go() -> None:
        settings = State(url=f"embedded:{path}", timeout=Seconds(0.2))
        state = open_state(settings, lambda each: each)
        try:
            with pytest.raises(Unavailable, match="locked"):
                await state.ask(Count("k", 3600))
        finally:
            await state.close()

    monkeypatch.setattr(wal, "begin", begin)
    asyncio.run(go())
    assert patience == [0.2]


class Says:
    """A server that replies the same to everybody, late."""

    def __init__(self, reply: Any, late: float = 0.0) -> None:
        self.reply, self.late = reply, late

    async def commands(self, commands: Any) -> list[Any]:
        await asyncio.sleep(self.late)
        return [self.reply for _ in commands]

    async def close(self) -> None:
        return None


@pytest.mark.parametrize("reply", [None, 5, [], {}, "hello", ["a", "b", "c"]])
def test_a_reply_of_the_wrong_kind_is_unavailable_and_no_error_of_ours(reply: Any) -> None:
    async def go() -> list[Any]:
        told: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        state = RedisState(Says(reply), "here")
        both = (state.ask(CountInWindow("k", 60, 1)), state.ask(CountInWindow("l", 60, 1)))
        for error in await asyncio.gather(*both, return_exceptions=True):
            assert isinstance(error, Unavailable)
            assert "that no script of ours gives" in error.detail
        await state.close()
        gc.collect()  # tells of errors that nobody took
        return told

    assert asyncio.run(go()) == []


def test_a_reply_that_is_no_text_is_a_wrong_reply() -> None:
    class Connection:
        async def connect(self) -> None:
            return None

        async def send_packed_command(self, packed: Any) -> None:
            return None

        async def read_response(self) -> str:
            return b"\xff".decode()

        async def disconnect(self, nowait: bool = False) -> None:
            return None

    class Pool:
        def make_connection(self) -> Connection:
            return Connection()

    with pytest.raises(InvalidResponse, match="no text"):
        asyncio.run(Direct(Pool(), 1.0).commands([("PING",)]))  # type: ignore[arg-type]
