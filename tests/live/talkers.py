"""Peers that say what they are told over a real socket, however wrong it is."""

from __future__ import annotations

import contextlib
import smtplib
import socket
from collections.abc import Iterable

from millrace.engine.mail.headers import parse
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, MilterClient

PATIENCE_S = 20.0


class MilterTalk:
    """The MTA's side of one milter connection, blocking."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = MilterClient()
        self._answers: list[object] = []
        try:
            self._greet()
        except OSError:
            self.close()
            raise

    def _greet(self) -> None:
        self._socket.sendall(self._client.open())
        self._read()
        self._answers.clear()
        self.say(wire.Connect("client.example", "inet", "192.0.2.7", 25))
        self.say(wire.Helo("client.example"))

    def _read(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise ConnectionError
        self._answers += self._client.receive(data)

    def say(self, event: wire.Event) -> object:
        """One event; the last message of the answer, if there is one."""
        self._socket.sendall(self._client.send(event))
        if not self._client.waits_for(event):
            return Answer.CONTINUE
        while not (self._answers and wire.final(self._answers[-1])):  # type: ignore[arg-type]
            self._read()
        answer = self._answers[-1]
        self._answers.clear()
        return answer

    def mail(self, raw: bytes, sender: str = "a@good.example") -> object:
        """One mail, its header section cut as an MTA cuts it; the last answer."""
        fields, at, _ = parse(raw)
        self.say(wire.MailFrom(f"<{sender}>", ()))
        self.say(wire.RcptTo("<ann@rcpt.example>", ()))
        for name, value in fields:
            self.say(wire.Header(name.replace(b"\0", b""), value.replace(b"\0", b"")))
        self.say(wire.EndOfHeaders())
        body = raw[at:]
        for start in range(0, len(body), 65535):
            self.say(wire.BodyChunk(body[start : start + 65535]))
        answer = self.say(wire.EndOfMessage(b""))
        if answer not in (Answer.ACCEPT, Answer.CONTINUE):
            self._socket.sendall(self._client.send(wire.Abort()))
        return answer

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def smtp_mail(smtp: smtplib.SMTP, raw: bytes) -> int:
    """One mail, octets as they are but for the dots; the code of the final answer."""
    smtp.ehlo_or_helo_if_needed()
    smtp.rset()
    smtp.mail("a@good.example")
    smtp.rcpt("ann@rcpt.example")
    code, _ = smtp.docmd("DATA")
    if code != 354:
        return code
    stuffed = raw.replace(b"\r\n.", b"\r\n..")
    stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
    smtp.send(stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n"))
    return smtp.getreply()[0]


def shout(port: int, pieces: Iterable[bytes]) -> bytes:
    """Say pieces, whatever comes; the answers, until the other side hangs up."""
    heard = b""
    peer = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    with peer, contextlib.suppress(ConnectionError):
        for piece in pieces:
            peer.sendall(piece)
        with contextlib.suppress(OSError):  # it has ended already
            peer.shutdown(socket.SHUT_WR)
        while data := peer.recv(1 << 16):
            heard += data
    return heard
