"""The milter on asyncio: our codec, our stream.  The default runtime.

One task for each connection.  While a slow filter runs at the end of a message, the MTA
hears "progress", so that it does not give up on us.

Fails: never outward.  A peer that breaks the protocol, or an error of ours, ends this
connection; the MTA then does what its own default action says (defer, mostly).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from millrace.engine.errors import ProtocolError
from millrace.engine.net.stream import Stream
from millrace.engine.pipeline.eager import Begun
from millrace.engine.pipeline.transaction import Serving
from millrace.engine.servers.milter import Bounds, MilterFrontEnd
from millrace.engine.wire import milter as wire
from millrace.engine.wire.milter import Answer, Command

PROGRESS_S = 10.0  # Postfix waits milter_content_timeout, 300 s, for a word
_log = logging.getLogger("millrace.milter")


async def serve(stream: Stream, serving: Serving, listener: str, bounds: Bounds) -> None:
    """Serve one connection until the MTA ends it."""
    front = MilterFrontEnd(serving, listener, bounds)
    machine = wire.MilterServer(front.wants)
    try:
        await _converse(stream, machine, front)
    except ProtocolError as error:
        _log.warning("%s: %s", listener, error)
    except (TimeoutError, ConnectionError):
        pass  # an MTA that is silent or gone needs no words
    except Exception:  # the wall around a connection
        _log.exception("%s: connection ended by an error of ours", listener)
    finally:
        front.abort()


async def _converse(stream: Stream, machine: wire.MilterServer, front: MilterFrontEnd) -> None:
    stream.at_rest = True
    stream.begin()
    while data := await stream.read():
        heard = False
        for event in machine.receive(data):
            heard = True
            noted = front.note(event)  # most of a mail: no coroutine for each header field
            if noted and not machine.hushed:
                _acknowledge(stream, machine, event.command)
            elif not noted and not await _step(stream, machine, front, event):
                return
        await stream.drain()
        if heard:
            stream.begin()
        stream.at_rest = not machine.in_mail
        stream.acknowledge()  # most steps get no reply


def _acknowledge(stream: Stream, machine: wire.MilterServer, command: Command) -> None:
    if machine.awaits(command):  # never for macros
        stream.write(Answer.CONTINUE.packet)


async def _step(
    stream: Stream, machine: wire.MilterServer, front: MilterFrontEnd, event: wire.Event
) -> bool:
    """Take one event; False when the conversation is over."""
    command = event.command
    if isinstance(event, wire.Negotiate):
        stream.write(machine.answer())
        return True
    slow = command is Command.END_OF_MESSAGE
    messages = await (_with_progress(stream, front, event) if slow else front.take(event))
    if machine.awaits(command):
        stream.write(machine.send(*[m for m in messages if _granted(machine, m)]))
    if command is Command.QUIT:
        stream.hang_up()
        return False
    return True


async def _with_progress(
    stream: Stream, front: MilterFrontEnd, event: wire.Event
) -> Sequence[wire.Message]:
    begun = Begun(front.take(event))
    if begun.ended:
        return begun.value
    progress = _Progress(stream)
    try:
        return await begun
    finally:
        progress.stop()


class _Progress:
    """Tells the MTA every ten seconds that we are still at it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(PROGRESS_S, self._tell)

    def _tell(self) -> None:
        self._stream.write(Answer.PROGRESS.packet)
        self._timer = self._loop.call_later(PROGRESS_S, self._tell)

    def stop(self) -> None:
        """The answer is there."""
        self._timer.cancel()


def _granted(machine: wire.MilterServer, message: wire.Message) -> bool:
    """Whether the MTA takes this; what it does not is said in the log and left out."""
    needed = wire.action_of(message)
    if needed and not machine.terms.may(needed):
        _log.warning("the MTA does not let us %s", type(message).__name__)
        return False
    return True
