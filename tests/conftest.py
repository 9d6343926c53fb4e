"""Fixtures that every test may use."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from suites import Suites, table

CHECKOUT = Path(__file__).resolve().parent.parent


def _shared() -> Path | None:
    for folder in (CHECKOUT.parent, *CHECKOUT.parents):
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The published suites and corpora that stand beside the checkout."""
    found = _shared()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the published suites (../shared/data) are missing, and CI must run them")
        pytest.skip("the published suites (../shared/data) are not beside this checkout")
    return found


@pytest.fixture(scope="session")
def open_checkout() -> None:
    """Skip, or fail in CI, where another user could not read the checkout."""
    closed = [each for each in CHECKOUT.parents if not each.stat().st_mode & stat.S_IXOTH]
    if closed:
        words = f"other users may not enter {closed[0]}, where this checkout is"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)


SUITES = pytest.StashKey[Suites]()


@pytest.fixture(scope="session")
def suites(request: pytest.FixtureRequest) -> Suites:
    """Where tests of published suites say what these gave; a table ends the run."""
    return request.config.stash.setdefault(SUITES, Suites())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what the published suites gave, quiet runs included."""
    found = config.stash.get(SUITES, None)
    if found is not None and found.rows:
        terminalreporter.section("published suites")
        for line in table(found.rows):
            terminalreporter.write_line(line)


def needs(program: str, package: str) -> str:
    """The path of a server's program; skips with a sentence, or fails where CI must run it."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        words = f"{program} is not installed (Debian: apt-get install {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    return found


def free_port() -> int:
    """A port that nobody has now, and that the kernel gives to no client (it begins at 32768).

    Not by `random`, which begins anew with each test.
    """
    for _ in range(1000):
        port = 10_000 + secrets.randbelow(12_000)
        if all(map(_is_free, (socket.SOCK_STREAM, socket.SOCK_DGRAM), (port, port))):
            return port
    raise AssertionError("no port is free")


def _is_free(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(type=kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_for(ready: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Poll until it holds; fails with a sentence."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of our own, on a free port."""
    program = needs("redis-server", "redis-server")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL) as server:
        try:
            wait_for(lambda: listens(port), "redis-server")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
