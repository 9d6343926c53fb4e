"""Which SMTP command may come now?

RFC 5321 §4.1.4 (order of commands), §3.1 (a refused visit may only quit), RFC 3207
§4.2 (TLS forgets what was said in clear).

Fails: `Order.admit` raises ProtocolError with the 503, 502 or 452 that is due.
"""

from __future__ import annotations

from millrace.engine.errors import ProtocolError
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire.smtp.events import (
    Connected,
    DataBegin,
    DataEnd,
    Hello,
    MailFrom,
    Question,
    RcptTo,
    XClient,
)

_BETWEEN_MAILS = ("MAIL", "XFORWARD", "XCLIENT")


class Order:
    """How far the conversation has come."""

    __slots__ = ("accepted", "greeted", "hello", "mail", "recipients_max", "tried", "unwelcome")

    def __init__(self, recipients_max: int) -> None:
        self.recipients_max = recipients_max
        self.greeted = False
        self.unwelcome = False
        self.hello: Hello | None = None
        self.forget_mail()

    def forget_mail(self) -> None:
        """No transaction is open (any longer)."""
        self.mail: MailFrom | None = None
        self.tried = 0
        self.accepted = 0

    def forget_visit(self) -> None:
        """The peer must say EHLO again."""
        self.hello = None
        self.forget_mail()

    def admit(self, verb: str) -> None:
        """Pass, or say why this command may not come now."""
        if self.unwelcome:
            raise _misplaced("Not today; say QUIT")
        if verb in _BETWEEN_MAILS and self.mail:
            raise _misplaced(f"{verb} within a transaction")
        if verb == "MAIL" and not self.hello:
            raise _misplaced("Say EHLO first")
        if verb in ("RCPT", "DATA") and not self.mail:
            raise _misplaced("Say MAIL first")
        if verb == "DATA" and not self.accepted:
            raise self._nobody()
        if verb == "RCPT" and self.tried >= self.recipients_max:
            # RFC 5321 §4.5.3.1.10: the client sends the rest in another transaction
            raise ProtocolError("too many recipients", "452 4.5.3 Too many recipients")

    def _nobody(self) -> ProtocolError:
        if not self.tried:
            return _misplaced("Say RCPT first")
        return ProtocolError("DATA for nobody", "554 5.5.1 No recipient was accepted")

    def turn(self, question: Question, reply: Reply) -> None:
        """Go on as the answer says."""
        yes = reply.code < 400
        match question:
            case Connected():
                self.greeted, self.unwelcome = True, not yes
            case XClient():
                self.unwelcome = not yes
                self.forget_visit()
            case Hello():
                self.hello = question if yes else self.hello
                self.forget_mail()
            case MailFrom():
                self.mail = question if yes else None
            case RcptTo():
                self.tried += 1
                self.accepted += yes
            case DataBegin() if not yes:
                self.forget_mail()
            case DataEnd():
                self.forget_mail()


def _misplaced(sentence: str) -> ProtocolError:
    return ProtocolError(sentence, f"503 5.5.1 {sentence}")
