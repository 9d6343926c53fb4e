"""Next hop by SMTP or LMTP: hand a mail over, all of it or none.

RFC 5321, RFC 2033 (LMTP).  The recipients are asked before the mail is sent: when one
of them is refused nothing is delivered, and its refusal is the answer.  So the mail is
never half there, and the sender is never left without word of the other half.  Only an
LMTP server can still split it, after the mail; then the strictest answer counts, since
a mail that comes twice is better than one that is lost.

Fails: Unavailable when the hop cannot be reached, is too slow, says 421, does not want
*us* (greeting, EHLO, TLS), or speaks no SMTP.  What it says about the mail is a value.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from millrace.engine.errors import ProtocolError, Unavailable
from millrace.engine.mail.envelope import Envelope
from millrace.engine.mail.message import Message
from millrace.engine.mail.verdict import Reply
from millrace.engine.net.endpoint import Endpoint
from millrace.engine.net.stream import Stream, connect
from millrace.engine.ports import Delivery
from millrace.engine.wire.smtp import Answered, SmtpClient


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait: for the connection, for a reply, for the reply to the whole mail.

    RFC 5321 §4.5.3.2 allows minutes; here our own client waits meanwhile.
    """

    connect: float = 10.0
    reply: float = 60.0
    mail: float = 120.0


class SmtpHop:
    """A port of engine.ports.NextHop; a connection for each mail.

    `name` is what we call ourselves; with `tls` nothing is sent in clear.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        *,
        lmtp: bool = False,
        patience: Patience | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.name = name
        self.lmtp = lmtp
        self.patience = patience or Patience()
        self.tls = tls

    def __str__(self) -> str:
        return f"{'lmtp' if self.lmtp else 'smtp'} {self.endpoint}"

    async def deliver(self, envelope: Envelope, message: Message) -> Delivery:
        """Hand the mail over; the reply is the hop's, 250 only when it took all recipients."""
        patience = self.patience
        stream = await connect(self.endpoint, timeout=patience.connect, idle=patience.reply)
        visit = _Visit(self, stream)
        try:
            await visit.open()
            delivery = await visit.transfer(envelope, message)
            visit.leave()
        except TimeoutError as error:
            raise self._away(f"silent for {stream.idle:g} s") from error
        except ConnectionError as error:
            raise self._away("the connection broke") from error
        except ProtocolError as error:
            if not error.reply:
                raise self._away(str(error)) from error
            return Delivery(Reply.parse(error.reply), {})
        finally:
            await stream.close()
        return delivery

    def _away(self, why: str) -> Unavailable:
        return Unavailable(str(self), why)


class _Visit:
    """One connection to the hop."""

    def __init__(self, hop: SmtpHop, stream: Stream) -> None:
        self._hop = hop
        self._stream = stream
        self._client = SmtpClient(lmtp=hop.lmtp)

    async def open(self) -> None:
        """Greeting, EHLO, and TLS if it is asked for."""
        self._must(await self._next())
        await self._hello()
        if self._hop.tls is not None:
            await self._encrypt(self._hop.tls)
            await self._hello()

    async def _hello(self) -> None:
        self._client.hello(self._hop.name)
        answered = await self._next()
        if not answered.yes and not self._hop.lmtp:
            self._client.helo(self._hop.name)
            answered = await self._next()
        self._must(answered)

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        self._client.starttls()
        self._must(await self._next())
        await self._stream.start_tls(context, server_name=self._hop.endpoint.host)
        self._client.tls_started()

    async def transfer(self, envelope: Envelope, message: Message) -> Delivery:
        """The transaction: all recipients, or none."""
        refused = await self._address(envelope, message.size)
        if refused:
            return _verdict(refused)
        self._client.data()
        answered = await self._next()
        if answered.reply.code != 354:
            return _verdict([answered])
        for chunk in message.chunks():
            self._client.write(chunk)
            await self._stream.send(self._client.outgoing())
        self._client.finish()
        self._stream.idle = self._hop.patience.mail
        answers = len(envelope.recipients) if self._hop.lmtp else 1
        return _verdict([await self._next() for _ in range(answers)])

    async def _address(self, envelope: Envelope, size: int) -> list[Answered]:
        sender = envelope.sender
        utf8 = any(option.upper() == "SMTPUTF8" for option in sender.options)
        utf8 = utf8 or any(not r.address.ascii for r in envelope.recipients)
        self._client.mail(sender.address, size=size, utf8=utf8)
        for recipient in envelope.recipients:
            self._client.rcpt(recipient.address)
        answers = [await self._next() for _ in range(1 + len(envelope.recipients))]
        if not answers[0].yes:
            return answers[:1]
        return [answered for answered in answers if not answered.yes]

    def leave(self) -> None:
        """QUIT, without waiting for the answer."""
        self._client.quit()
        self._stream.write(self._client.outgoing())

    def _must(self, answered: Answered) -> None:
        # what it says about us is no word about the mail: the sender may try again
        if not answered.yes:
            raise Unavailable(str(self._hop), str(answered.reply))

    async def _next(self) -> Answered:
        while (answered := self._client.answered()) is None:
            await self._stream.send(self._client.outgoing())
            data = await self._stream.read()
            if not data:
                raise ConnectionError
            self._client.feed(data)
        if answered.reply.code == 421:
            raise Unavailable(str(self._hop), str(answered.reply))
        return answered


def _verdict(answers: list[Answered]) -> Delivery:
    """The strictest answer for the mail, and each recipient's own."""
    worst = max(answers, key=lambda answered: answered.reply.code)
    return Delivery(_passed_on(worst), _by_recipient(answers))


def _by_recipient(answers: list[Answered]) -> Mapping[str, Reply]:
    return {str(a.recipient): _passed_on(a) for a in answers if a.recipient is not None}


def _passed_on(answered: Answered) -> Reply:
    reply = answered.reply
    enhanced = reply.enhanced or f"{reply.code // 100}.0.0"
    text = reply.text if answered.recipient is None else f"<{answered.recipient}>: {reply.text}"
    return Reply(reply.code, enhanced, text)
