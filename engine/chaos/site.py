"""The copy as it runs: processes of its own, which a drill may hurt.

Fails: `Unavailable` when it does not come up, with the last lines of what it said.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from millrace.engine import plans
from millrace.engine.chaos import copies
from millrace.engine.chaos.threaded import Faults
from millrace.engine.chaos.ways import Ways
from millrace.engine.errors import Unavailable
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.pipeline.spec import PipelineSpec
from millrace.engine.settings import Settings
from millrace.engine.store.archive import Archive

UP_S = 30.0
STOP_S = 40.0
PAGE_S = 5.0
_COMMAND = [sys.executable, "-c", "from millrace.engine.cli import main; main()"]
_SERIAL = re.compile(rb"Number (\d+)\.")


class Site:
    """One copy; a context manager that leaves no process behind."""

    def __init__(
        self,
        settings: Settings,
        pipeline: str,
        folder: Path,
        faults: Faults,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.spec: PipelineSpec = plans.load_spec(settings, pipeline)
        self.ways = Ways(settings, self.spec, faults, folder)
        self.doors = copies.Doors(*_free_ports(3))
        self.wounded: set[int] = set()  # processes that must be replaced before all is well
        copies.write(settings, pipeline, folder, self.doors, self.ways.reach)
        self._environment = {**_environment(), **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._usual = {"ready"}

    def __enter__(self) -> Self:
        with ExitStack() as undone:
            undone.callback(self._end)
            self.start()
            self.look()
            undone.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- its life

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        log = self.folder / "log"
        began = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            command = [*_COMMAND, "run", "--config", "millrace.toml"]
            self._process = subprocess.Popen(
                command, cwd=self.folder, stderr=out, env=self._environment, start_new_session=True
            )
        until = time.monotonic() + UP_S
        while b"\nready\n" not in log.read_bytes()[began:]:
            if self._process.poll() is not None or time.monotonic() > until:
                raise Unavailable("the copy", _tail(log))
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order, or by force."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    # --- what is done to its processes

    def kill(self) -> None:
        """SIGKILL to the supervisor."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hurt(self, number: signal.Signals) -> None:
        """Send one worker a signal from which it does not come back."""
        pid = self.page("/status")["workers"][0]["pid"]
        self.wounded.add(pid)
        os.kill(pid, number)

    # --- what is to be seen

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Where mail is sent to, by kind of door."""
        ports = {"milter": self.doors.milter, "smtp": self.doors.smtp}
        return {kind: Endpoint("inet", "127.0.0.1", port) for kind, port in ports.items()}

    def page(self, path: str) -> dict[str, Any]:
        """A page of its HTTP door; OSError when nobody answers."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.doors.http, timeout=PAGE_S)
        ) as talk:
            try:
                talk.request("GET", path)
                found: dict[str, Any] = json.loads(talk.getresponse().read())
            except (http.client.HTTPException, ValueError) as error:
                raise ConnectionError(str(error)) from error
        return found

    def look(self) -> None:
        """Take how it is now for usual: a service may be away that no drill has hurt.

        To be done once more when mails have flowed: some services are found away by them alone.
        """
        with contextlib.suppress(OSError):  # too busy to say
            self._usual.add(str(self.page("/readyz")["status"]))

    def well(self) -> bool:
        """As it was before, or better: all workers serve, services are as they were."""
        try:
            told = self.page("/status")
        except OSError:
            return False
        serving = {each["pid"] for each in told["workers"] if each["phase"] == "serving"}
        return (
            told["status"] in self._usual
            and len(serving) == len(told["workers"])
            and not serving & self.wounded
        )

    def records(self) -> list[dict[str, Any]]:
        """The decision records; a crash may have cut the last line of one life."""
        found = []
        path = self.folder / "decisions.jsonl"
        for line in path.read_bytes().splitlines() if path.exists() else ():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def archived(self) -> Counter[int]:
        """How often each mail is in the archive; every one is read whole."""
        archive = Archive(self.folder / "archive")
        contents = (archive.content(entry.sha256) for entry in archive.entries())
        return Counter(_serial(raw) for raw in contents)

    def delivered(self) -> Counter[int]:
        """How often each mail was delivered."""
        return Counter(_serial(p.read_bytes()) for p in (self.folder / "Maildir/new").glob("*"))


def _serial(raw: bytes) -> int:
    """The mail's number; -1 for one that is not whole."""
    found = _SERIAL.search(raw)
    return int(found[1]) if found else -1


def _environment() -> dict[str, str]:
    """Ours, without the settings that it may hold: the copy's file has them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in found]


def _tail(log: Path) -> str:
    return "did not come up: " + " / ".join(log.read_text("utf-8", "replace").splitlines()[-5:])
