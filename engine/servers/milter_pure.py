"""The milter on purepythonmilter 0.0.1: its session, our sockets and front end.

The library's own server takes TCP alone and the process's signals, so its connection
handler runs on our streams instead.  What its session gets wrong is mended here:

  - it answers an offer that it has not read: an MTA that offers less is turned away;
  - it keeps the edits of one mail for the next: they are cleared at MAIL and at ABORT;
  - its queue has no end: reading waits while it is long;
  - it turns header bytes into text: commands are read from their raw data by our codec;
  - it has no quarantine, tempfail or reply of several lines: our codec writes what we say.

It cannot do QUIT_NC, progress, or packets above 64 KiB, and it hangs up on an ESMTP
parameter with two "=".  Unmaintained since 2023: pinned, and a fallback only.

Fails: never outward.  What the library does not understand ends the connection, and the
MTA defers the mail.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from purepythonmilter.api.interfaces import AbstractMilterApp
from purepythonmilter.api.models import MilterServerConnectionID, RequestProtocolFlags
from purepythonmilter.protocol import responses
from purepythonmilter.protocol.definitions import MacroStage
from purepythonmilter.server.connectionhandler import MtaMilterConnectionHandler

from millrace.engine.errors import ProtocolError
from millrace.engine.net.stream import Stream
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers.milter import Bounds, MilterFrontEnd
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command, Negotiate, Terms, events, replies
from millrace.engine.wire.milter.codes import SYMBOL_STAGES
from millrace.engine.wire.milter.packets import Packets
from millrace.engine.wire.milter.terms import braced

_OFFER_OCTETS = 17  # length, command, and three numbers
_QUEUE_HIGH = 32  # commands that wait, above which we do not read on
_log = logging.getLogger("millrace.milter")
# a line for each packet, and at debug level only
logging.getLogger("purepythonmilter").setLevel(logging.WARNING)


async def serve(stream: Stream, serving: Serving, listener: str, bounds: Bounds) -> None:
    """Serve one connection until the MTA ends it."""
    front = MilterFrontEnd(serving, listener, bounds)
    flags = _flags(front.wants)
    try:
        first = await _offer(stream, flags)
        await _converse(stream, front, flags, first)
    except ProtocolError as error:
        _log.warning("%s: %s", listener, error)
    except (TimeoutError, ConnectionError):
        pass  # an MTA that is silent or gone needs no words
    except Exception:  # the wall around a connection
        _log.exception("%s: connection ended by an error of ours", listener)
    finally:
        front.abort()


async def _offer(stream: Stream, flags: RequestProtocolFlags) -> bytes:
    """What came up to the end of the offer; ProtocolError where it is too little for us."""
    data = b""
    while len(data) < _OFFER_OCTETS:
        piece = await stream.read()
        if not piece:
            raise ConnectionError("the MTA is gone")
        data += piece
    offer = Negotiate.parse(data[5:_OFFER_OCTETS])
    protocol, actions = flags.encode_to_flags_bitmask()
    if offer.version < 6 or protocol & ~offer.protocol or actions & ~offer.actions:
        raise ProtocolError(
            f"The MTA offers version {offer.version}, actions {offer.actions:#x}, steps"
            f" {offer.protocol:#x}; purepythonmilter takes 6, {actions:#x}, {protocol:#x} unasked"
        )
    return data


async def _converse(
    stream: Stream, front: MilterFrontEnd, flags: RequestProtocolFlags, first: bytes
) -> None:
    made: list[_App] = []

    def app_factory(*, session: Any) -> _App:  # noqa: ANN401 - the library is untyped to us
        made.append(_App(session, front, flags, stream))
        return made[0]

    pipe = _Pipe(stream, first)
    handler = MtaMilterConnectionHandler(
        connection_id=MilterServerConnectionID.generate(),
        reader=pipe,
        writer=pipe,
        app_factory=app_factory,
        server_on_close_cb=lambda _: None,
    )
    app = made[0]
    pipe.app = app
    reading = handler._keep_reading_packets_task  # noqa: SLF001 - no public way to wait for it
    stream.at_rest = True
    try:
        await asyncio.wait((reading,))
    finally:
        await app.end(reading)


class _Pipe:
    """Our stream, as the `StreamReader` and the `StreamWriter` that the library asks for."""

    def __init__(self, stream: Stream, first: bytes) -> None:
        self.app: _App | None = None
        self._stream = stream
        self._first = first
        self._ended = False

    async def read(self, _: int) -> bytes:
        first, self._first = self._first, b""
        if self.app is not None:
            await self.app.room()
        data = first or await self._read()
        self._ended = not data
        return data

    async def _read(self) -> bytes:
        try:
            return await self._stream.read()
        except (TimeoutError, ConnectionError):
            return b""

    def at_eof(self) -> bool:
        return self._ended

    def exception(self) -> None:
        return None

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    async def drain(self) -> None:
        await self._stream.drain()

    def can_write_eof(self) -> bool:
        return False  # our listener says farewell

    def is_closing(self) -> bool:
        return True


class _App(AbstractMilterApp):  # type: ignore[misc]
    """What the library calls for each command; the front end answers."""

    def __init__(
        self,
        session: Any,  # noqa: ANN401
        front: MilterFrontEnd,
        flags: RequestProtocolFlags,
        stream: Stream,
    ) -> None:
        self.protocol_flags = flags
        self.symbols = _symbols(front.wants)
        self._session = session
        self._front = front
        self._stream = stream
        protocol, actions = flags.encode_to_flags_bitmask()
        self._terms = Terms(6, actions, protocol)
        self._room = asyncio.Event()

    # --- the queue between reading and answering

    async def room(self) -> None:
        """Wait until the session has worked off most of what was read."""
        if self._session._incoming_command_queue.qsize() > _QUEUE_HIGH:  # noqa: SLF001
            self._room.clear()
            await self._room.wait()

    async def end(self, reading: asyncio.Task[Any]) -> None:
        """End both tasks of the connection."""
        answering = self._session._commands_consumer_task  # noqa: SLF001
        # its callback takes a cancelled task for one that has a result
        answering.remove_done_callback(self._session.commands_consumer_task_done)
        for task in (reading, answering):
            task.cancel()
        await asyncio.wait((reading, answering))

    # --- commands

    async def _hear(self, command: Any) -> Any:  # noqa: ANN401
        event = events.parse(ord(command.command_char), command.data_raw or b"")
        if self._session._incoming_command_queue.qsize() <= _QUEUE_HIGH // 2:  # noqa: SLF001
            self._room.set()
        if command.macros:
            macros = {name.strip("{}"): value for name, value in command.macros.items()}
            self._front.note(wire.Macros(event.command, macros))
        if self._front.note(event):
            messages: Sequence[wire.Message] = (Answer.CONTINUE,)
        else:
            messages = await self._front.take(event)
        return self._response(messages) if self._terms.replies_to(event.command) else None

    def _response(self, messages: Sequence[wire.Message]) -> Any:  # noqa: ANN401
        *edits, answer = messages
        edits = [edit for edit in edits if self._granted(edit)]
        (response,) = _packed(_PackedAnswer, answer, self._terms)
        for edit in edits:
            response.manipulations += _packed(_PackedEdit, edit, self._terms)
        return response

    def _granted(self, message: wire.Message) -> bool:
        return self._terms.may(replies.action_of(message) or 0)

    async def on_mail_from(self, command: Any) -> Any:  # noqa: ANN401
        self._forget()
        self._stream.at_rest = False
        return await self._hear(command)

    async def on_end_of_message(self, command: Any) -> Any:  # noqa: ANN401
        response = await self._hear(command)
        self._stream.at_rest = True
        return response

    async def on_abort(self, _: Any) -> None:  # noqa: ANN401
        self._forget()
        self._stream.at_rest = True
        self._front.abort()

    def _forget(self) -> None:
        # the session keeps them for the whole connection: the second mail would get the first's
        self._session._pending_manipulations.clear()  # noqa: SLF001
        self._session._manipulations_sent = False  # noqa: SLF001

    on_connect = on_helo = on_rcpt_to = on_data = on_unknown = _hear
    on_header = on_end_of_headers = on_body_chunk = _hear

    async def on_quit(self, _: Any) -> None:  # noqa: ANN401
        self._front.abort()

    async def on_mta_close_connection(self) -> None:
        self._front.abort()

    async def close_connection(self) -> None:
        """The library never calls it."""

    async def send_progress(self) -> None:
        """The library never calls it."""


# --- what the library asks the MTA for


def _flags(wants: wire.Wants) -> RequestProtocolFlags:
    def heard(command: Command) -> bool:
        return command in wants.events

    def answered(command: Command) -> bool:
        return command in wants.events and command in wants.replies

    return RequestProtocolFlags(
        call_connect=heard(Command.CONNECT),
        call_helo=heard(Command.HELO),
        call_mail_from=heard(Command.MAIL),
        call_rcpt_to=heard(Command.RCPT),
        call_headers=heard(Command.HEADER),
        call_end_of_headers=heard(Command.END_OF_HEADERS),
        call_body_chunk=heard(Command.BODY),
        reply_connect=answered(Command.CONNECT),
        reply_helo=answered(Command.HELO),
        reply_mail_from=answered(Command.MAIL),
        reply_rcpt_to=answered(Command.RCPT),
        reply_end_of_headers=answered(Command.END_OF_HEADERS),
        can_change_mail_from=True,
        can_add_headers=True,
        can_change_headers=True,
        can_change_body=True,
        can_add_recipients=True,
        can_add_recipients_with_esmtp_args=True,
        can_remove_recipients=True,
        can_quarantine=True,
        can_skip_body_chunks=False,
        headers_with_leading_space=True,
    )


def _symbols(wants: wire.Wants) -> dict[MacroStage, set[str]]:
    return {
        MacroStage(SYMBOL_STAGES[stage]): {braced(name) for name in names}
        for stage, names in wants.symbols.items()
    }


# --- what we say


class _PackedAnswer(responses.AbstractVerdict):  # type: ignore[misc]
    """An answer, written by our codec."""

    packet = b""

    def encode(self) -> bytes:
        return self.packet


class _PackedEdit(responses.AbstractManipulation):  # type: ignore[misc]
    """An edit, or a quarantine, written by our codec."""

    packet = b""

    def encode(self) -> bytes:
        return self.packet


def _packed(kind: Any, message: wire.Message, terms: Terms) -> list[Any]:  # noqa: ANN401
    made = []
    for command, payload in Packets().cut(replies.encode(message, terms)):
        part = kind()
        part.packet = bytes((command,)) + payload
        made.append(part)
    return made
