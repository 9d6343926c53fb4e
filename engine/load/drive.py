"""Many conversations in one loop, each on a connection of its own.

A `Talk` says what to send for what came; this file has the sockets and the time.  An
open loop (`Rate`) begins a mail when it is due, however many are under way, up to
`at_once`: beyond that, mails wait here, and the wait counts.  A closed loop begins the
next when one has ended.

Fails: never for a conversation, which is counted by the kind of its error; Unavailable
when the very first connection is refused.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Protocol

from millrace.engine.errors import ProtocolError, Unavailable
from millrace.engine.load.timing import Outcome, Rate
from millrace.engine.net.endpoint import Endpoint

CHUNK = 1 << 16
_BUSY = (errno.EAGAIN, errno.EWOULDBLOCK)  # a Unix socket whose queue is full
_AGAIN_S = 0.001


class Talk(Protocol):
    """One conversation, sans-IO; it is over when `verdict` is set."""

    verdict: str
    edits: int

    def opening(self) -> bytes: ...
    def receive(self, data: bytes) -> bytes: ...
    def farewell(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How to send: by `rate`, or (None) as fast as `at_once` under way allow.

    Ends after `mails`, where that is said, and after `seconds`; what is under way then is
    finished.  `patience` is how long, in seconds, a server may say nothing.
    """

    at_once: int = 10
    rate: Rate | None = None
    mails: int | None = None
    seconds: float | None = None
    patience: float = 60.0


class _Conversation:
    __slots__ = ("due", "heard", "out", "sent", "socket", "talk")

    def __init__(self, talk: Talk, sock: socket.socket, due: float, now: float) -> None:
        self.talk = talk
        self.socket = sock
        self.due = due
        self.sent = self.heard = now
        self.out = talk.opening()


class Drive:
    """Sends mails to one address; `talks` gives the conversation of the n-th mail."""

    def __init__(self, where: Endpoint, talks: Callable[[int], Talk], plan: Plan) -> None:
        self._where = where
        self._address = where.path if where.kind == "unix" else (where.host, where.port)
        self._talks = talks
        self._plan = plan
        self._again: Callable[[Talk, int], bytes | None] | None = None
        self._selector = selectors.DefaultSelector()
        self._number = 0
        self._reuse: dict[_Conversation, int] = {}

    def reusing(self, count: int, again: Callable[[Talk, int], bytes | None]) -> Drive:
        """Send `count` mails on one connection: `again` begins another on a talk."""
        self._left, self._again = count - 1, again
        return self

    def run(self) -> Outcome:
        """Send them all, and wait for the last."""
        self.outcome = Outcome()
        began, spent = time.perf_counter(), time.process_time()
        self._end = began + self._plan.seconds if self._plan.seconds is not None else None
        self._moments = self._due(began)
        self._next = next(self._moments, None)
        self._swept = began
        try:
            while self._next is not None or self._selector.get_map():
                self._turn()
        finally:
            for key in list(self._selector.get_map().values()):
                key.data.socket.close()
            self._selector.close()
        self.outcome.seconds = time.perf_counter() - began
        self.outcome.busy = (time.process_time() - spent) / max(self.outcome.seconds, 1e-9)
        return self.outcome

    def _due(self, began: float) -> Iterator[float]:
        """The moments at which mails are due; 0 means: as soon as there is room."""
        if self._plan.rate is not None:
            return (began + moment for moment in self._plan.rate.moments())
        return repeat(0.0) if self._plan.mails is None else repeat(0.0, self._plan.mails)

    # --- one turn of the loop

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._end is not None and now >= self._end:
            self._stop()
        wait = self._begin(now)
        if self._selector.get_map():
            for key, mask in self._selector.select(wait):
                self._go_on(key.data, mask)
        elif wait:
            time.sleep(min(wait, 1.0))
        if now - self._swept > min(self._plan.patience, 1.0):
            self._sweep(now)

    def _stop(self) -> None:
        if self._next is not None and self._plan.rate is not None:
            self.outcome.unsent += 1 + sum(1 for _ in self._moments)
        self._next, self._left = None, 0

    _left = 0  # further mails on one connection

    def _begin(self, now: float) -> float:
        """Begin what is due and has room; seconds until there is something to look at."""
        while self._next is not None and len(self._selector.get_map()) < self._plan.at_once:
            if self._next > now:
                return min(self._next - now, 1.0)
            if not self._open(self._next or now, now):
                return _AGAIN_S
            self._next = next(self._moments, None)
        return min(self._plan.patience, 1.0)

    def _open(self, due: float, now: float) -> bool:
        """Begin one; False when the server's queue is full, and it must wait."""
        sock = socket.socket(self._where.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if self._where.kind != "unix":
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        trouble = sock.connect_ex(self._address)
        if trouble not in (0, errno.EINPROGRESS):
            sock.close()
            if trouble in _BUSY:
                return False
            self._refused(trouble)
            return True
        conversation = _Conversation(self._talks(self._number), sock, due, now)
        self._number += 1
        if self._left:
            self._reuse[conversation] = self._left
        events = selectors.EVENT_READ
        if trouble or not self._flush(conversation):
            events |= selectors.EVENT_WRITE
        self._selector.register(sock, events, conversation)
        return True

    def _refused(self, trouble: int) -> None:
        words = os.strerror(trouble)
        if not self.outcome.answered and not self.outcome.errors:
            raise Unavailable(str(self._where), words)  # it was never there
        self.outcome.errors[words.lower()] += 1

    def _go_on(self, conversation: _Conversation, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE and self._flush(conversation):
                self._selector.modify(conversation.socket, selectors.EVENT_READ, conversation)
            if mask & selectors.EVENT_READ:
                self._read(conversation)
        except BlockingIOError:
            pass
        except OSError as error:
            self._close(conversation, "")
            self._refused(error.errno or 0)
        except ProtocolError as error:
            self._close(conversation, f"protocol: {error}")

    def _read(self, conversation: _Conversation) -> None:
        talk = conversation.talk
        data = conversation.socket.recv(CHUNK)
        conversation.out += talk.receive(data)
        conversation.heard = time.perf_counter()
        if talk.verdict:
            self._ended(conversation)
        elif conversation.out and not self._flush(conversation):
            events = selectors.EVENT_READ | selectors.EVENT_WRITE
            self._selector.modify(conversation.socket, events, conversation)

    def _flush(self, conversation: _Conversation) -> bool:
        """Send what the kernel takes; whether that was all."""
        if conversation.out:
            try:
                sent = conversation.socket.send(conversation.out)
            except BlockingIOError:
                sent = 0
            except (BrokenPipeError, ConnectionResetError):
                conversation.out = b""  # it hung up, perhaps behind an answer that is to be read
                return True
            conversation.out = conversation.out[sent:]
        return not conversation.out

    # --- how one ends

    def _ended(self, conversation: _Conversation) -> None:
        talk, now = conversation.talk, conversation.heard
        if talk.verdict == "hung up":
            self._close(conversation, "hung up")
            return
        outcome = self.outcome
        outcome.since_due.add(now - conversation.due)
        outcome.since_sent.add(now - conversation.sent)
        outcome.verdicts[talk.verdict] += 1
        outcome.edits += talk.edits
        talk.edits = 0
        if not self._goes_on(conversation, now):
            conversation.out = talk.farewell()
            self._flush(conversation)
            self._close(conversation, "")

    def _goes_on(self, conversation: _Conversation, now: float) -> bool:
        left = self._reuse.get(conversation, 0)
        if not left or self._again is None or self._next is None or self._next > now:
            return False
        out = self._again(conversation.talk, self._number)
        if out is None:
            return False
        self._reuse[conversation] = left - 1
        self._number += 1
        conversation.due, conversation.sent, conversation.out = self._next or now, now, out
        self._next = next(self._moments, None)
        self._flush(conversation)
        return True

    def _close(self, conversation: _Conversation, trouble: str) -> None:
        self._selector.unregister(conversation.socket)
        conversation.socket.close()
        self._reuse.pop(conversation, None)
        if trouble:
            self.outcome.errors[trouble] += 1

    def _sweep(self, now: float) -> None:
        """Give up on servers that say nothing."""
        self._swept = now
        for key in list(self._selector.get_map().values()):
            if now - key.data.heard > self._plan.patience:
                self._close(key.data, f"silent for {self._plan.patience:g} s")
