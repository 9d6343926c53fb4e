"""The way from a command to the daemon that runs: its HTTP listener.

Fails: `Unavailable` when nobody answers there, `Misconfigured` when the settings name no
address at which somebody could.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import click

from millrace.engine.cli.options import read
from millrace.engine.errors import Fault, Misconfigured, Unavailable
from millrace.engine.net.endpoint import Endpoint

F = TypeVar("F", bound=Callable[..., Any])
PATIENCE_S = 90.0  # a restart is rehearsed first


def at_option(command: F) -> F:
    """Add --at; the command gets it as `at`."""
    return click.option(
        "--at", metavar="ADDRESS", help="The daemon's HTTP, such as inet:9980@127.0.0.1."
    )(command)


def endpoint(at: str | None, config: Path | None, overrides: tuple[str, ...]) -> Endpoint:
    """Where the daemon answers: as told, or as the settings say."""
    found = Endpoint.parse(at or read(config, overrides).http.address or "inet:0@127.0.0.1")
    if found.kind != "unix" and not found.port:
        hint = "Give it with --at; the daemon printed `listening http ADDRESS` when it started."
        raise Misconfigured(Fault("the settings name no fixed http.address", hint))
    return found


def ask(where: Endpoint, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """One page: its status and its JSON."""
    connection = _Connection(where)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unavailable(f"millrace at {where}", _words(error)) from None
    finally:
        connection.close()


def page(where: Endpoint, path: str) -> tuple[int, str]:
    """One page that is text: its status and its words."""
    connection = _Connection(where)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"millrace at {where}", _words(error)) from None
    finally:
        connection.close()


def ask_reload(where: Endpoint, who: str, why: str) -> tuple[int, dict[str, Any]]:
    """Let the daemon reload; who wants it, and why, goes into its history."""
    return ask(where, "POST", "/reload?" + urlencode({"who": who, "why": why}))


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or "no answer"


class _Connection(http.client.HTTPConnection):
    """HTTP over whatever an endpoint is."""

    def __init__(self, where: Endpoint) -> None:
        super().__init__(where.host or "localhost", where.port or 80, timeout=PATIENCE_S)
        self._where = where

    def connect(self) -> None:
        self.sock = socket.socket(self._where.family, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        where = self._where
        self.sock.connect(where.path if where.kind == "unix" else (where.host, where.port))
