"""Live tests need root (Postfix's own users) and the servers of contrib/install-servers."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from live.parties import clamd


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "/live/" in str(item.path):
            item.add_marker(pytest.mark.live)


@pytest.fixture(scope="session")
def root() -> None:
    """Skip, or fail in CI, where the tests may not start an MTA."""
    if os.getuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("live tests start a Postfix of their own, which needs root")
        pytest.skip("live tests start a Postfix of their own, which needs root")


@pytest.fixture(scope="session")
def new_folder() -> Iterator[Callable[[str], Path]]:
    """Makes folders that the servers' own users may enter, unlike those of pytest."""
    outer = Path(tempfile.mkdtemp(prefix="millrace-live-"))
    outer.chmod(0o755)
    numbers = itertools.count()

    def made(name: str) -> Path:
        folder = outer / f"{name}-{next(numbers)}"
        folder.mkdir(mode=0o755)
        return folder

    yield made
    shutil.rmtree(outer, ignore_errors=True)


@pytest.fixture(scope="session")
def clamd_socket(new_folder: Callable[[str], Path]) -> Iterator[Path]:
    """A running clamd that knows EICAR."""
    process, socket = clamd(new_folder("clamd"))
    yield socket
    process.terminate()
    process.wait()
