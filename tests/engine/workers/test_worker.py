"""What a worker tells of itself."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from millrace.engine.workers.worker import Usage


def test_a_worker_without_a_descriptor_to_spare_tells_what_it_last_knew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = Usage()
    before = usage.told()
    assert before["rss"] > 1 << 20
    assert before["descriptors"] > 2

    def none_left(*_: object, **__: object) -> NoReturn:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_text", none_left)
    after = usage.told()
    assert (after["rss"], after["descriptors"]) == (before["rss"], before["descriptors"])
    assert after["cpu"] >= before["cpu"]
