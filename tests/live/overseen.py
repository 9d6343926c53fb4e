"""A daemon that is asked and told by its own commands and pages, while it runs."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from typing import Any

from conftest import wait_for
from live.parties import MILLRACE, Millrace


class Overseen(Millrace):
    """Its commands find it by its port, which it chose itself."""

    def at(self) -> tuple[str, str]:
        """The option of commands."""
        return "--at", f"inet:{self.port('http')}@127.0.0.1"

    def tried(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that may well answer no."""
        command, env = [*MILLRACE, *arguments], self.environment
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )

    def told(self) -> dict[str, Any]:
        """What `millrace status` says."""
        found: dict[str, Any] = json.loads(self.command("status", "--json", *self.at()))
        return found

    def page(self, path: str, method: str = "GET") -> tuple[int, Any]:
        """A page's status, and its JSON or text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("http"), timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        kind = answer.headers["Content-Type"]
        return answer.status, json.loads(text) if kind == "application/json" else text

    def metric(self, name: str) -> float:
        """A figure of /metrics; 0 where it is not told."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.page("/metrics")[1], re.M)
        return float(found[1]) if found else 0.0

    def restarted(self) -> None:
        """A whole restart: until the new supervisor says ready."""
        seen = self.said().count("\nready\n")
        status, told = self.page("/restart", "POST")
        assert (status, told["result"]) == (202, "restarting")
        wait_for(lambda: self.said().count("\nready\n") > seen, "the new version", 60)
