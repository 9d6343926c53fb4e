"""One mail brought to an SMTP server.  Sans-IO, as `milter.MilterTalk`.

`receive` gives what to send next, until `verdict` is set: accept, reject, defer or
hung up.  Where the server offers XFORWARD or XCLIENT to us, it hears the mail's own
peer; elsewhere the client is who it is.

Fails: ProtocolError for what is no SMTP.
"""

from __future__ import annotations

from millrace.engine.load.mails import Mail
from millrace.engine.mail.address import Address
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp.client import Answered, SmtpClient


class SmtpTalk:
    """One connection with one mail on it."""

    __slots__ = ("_agreed", "_client", "_hello", "_mail", "edits", "standing", "verdict")

    def __init__(self, mail: Mail) -> None:
        self._client = SmtpClient()
        self._mail = mail
        self._hello = False
        self._agreed: list[Address] = []
        self.standing = False
        self.edits = 0
        self.verdict = ""

    def opening(self) -> bytes:
        """Nothing: the server speaks first."""
        return b""

    def receive(self, data: bytes) -> bytes:
        """Take what came, b"" when the server hung up; give what to send."""
        if not data:
            self.verdict = "hung up"
            return b""
        self._client.feed(data)
        while not self.verdict and (answered := self._client.answered()) is not None:
            self._answered(answered)
        return self._client.outgoing()

    def farewell(self) -> bytes:
        """What ends the connection."""
        self._client.quit()
        return b"" if self.verdict == "hung up" else self._client.outgoing()

    def _answered(self, answered: Answered) -> None:
        match answered.verb:
            case "":
                self.standing = answered.yes
                if answered.yes:
                    self._client.hello(self._mail.host)
                else:
                    self.verdict = _word(answered.reply)
            case "EHLO" if not answered.yes:
                self.verdict = _word(answered.reply)
            case "EHLO" | "XCLIENT" | "XFORWARD":
                self._introduce(answered.verb)
            case "RCPT":
                self._recipient(answered)
            case "DATA" if answered.yes:
                self._client.write(self._mail.raw)
                self._client.finish()
            case "." | "MAIL" | "DATA" if answered.verb == "." or not answered.yes:
                self.verdict = self.verdict or _word(answered.reply)

    def _introduce(self, verb: str) -> None:
        """Say whose mail it is, then begin it; after XCLIENT the greeting comes anew."""
        told = {"NAME": self._mail.host, "ADDR": self._mail.ip, "HELO": self._mail.host}
        offered = [word for word in ("XCLIENT", "XFORWARD") if word in self._client.extensions]
        if verb == "EHLO" and offered and not self._hello:
            self._hello = True
            known = self._client.extensions[offered[0]].upper().split()
            named = {name: value for name, value in told.items() if name in known}
            self._client.forwarded(named, offered[0])
            if offered[0] == "XCLIENT":
                self._client.hello(self._mail.host)
            return
        if verb != "XCLIENT":
            self._begin()

    def _begin(self) -> None:
        self._client.mail(Address.parse(self._mail.sender), size=len(self._mail.raw))
        for recipient in self._mail.recipients:
            address = Address.parse(recipient)
            if address is not None:
                self._client.rcpt(address)

    def _recipient(self, answered: Answered) -> None:
        if answered.recipient is None:
            return
        if answered.yes:
            self._agreed.append(answered.recipient)
        if str(answered.recipient) == str(Address.parse(self._mail.recipients[-1])):
            if self._agreed:
                self._client.data()
            else:
                self.verdict = _word(answered.reply)


def _word(reply: Reply) -> str:
    if reply.code < 400:
        return "accept"
    return "reject" if reply.code >= 500 else "defer"
