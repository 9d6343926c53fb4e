"""The milter protocol, versions 2 to 6, sans-IO, in both roles.

An MTA tells a filter what its peer says, step by step, and the filter answers each step
that it did not hush; at the end of a message it may ask for edits.  Sendmail's libmilter
is the specification, Postfix the other implementation that counts.

    codes     commands, actions, protocol bits      packets   lengths and bytes
    terms     offer, wants, what was agreed on      order     what may follow what
    events    MTA → filter                          replies   filter → MTA
    server    the filter's side                     client    the MTA's side
    fields    header values and texts, made safe

Fails: ProtocolError for the peer's faults, Bug for ours; nothing else, whatever arrives.
"""

from millrace.engine.wire.milter.client import POSTFIX, MilterClient
from millrace.engine.wire.milter.codes import (
    CHUNK_1M,
    CHUNK_64K,
    CHUNK_256K,
    STEPS,
    Act,
    Command,
    Step,
)
from millrace.engine.wire.milter.events import (
    Abort,
    BodyChunk,
    Connect,
    Data,
    EndOfHeaders,
    EndOfMessage,
    Event,
    Header,
    Helo,
    Macros,
    MailFrom,
    Quit,
    QuitNewConnection,
    RcptTo,
    Unknown,
)
from millrace.engine.wire.milter.fields import mta_value, wire_value
from millrace.engine.wire.milter.replies import Answer, Message, Quarantine, action_of, final
from millrace.engine.wire.milter.server import MilterServer
from millrace.engine.wire.milter.terms import Negotiate, Terms, Wants, agreed, negotiate

__all__ = [
    "CHUNK_1M",
    "CHUNK_64K",
    "CHUNK_256K",
    "POSTFIX",
    "STEPS",
    "Abort",
    "Act",
    "Answer",
    "BodyChunk",
    "Command",
    "Connect",
    "Data",
    "EndOfHeaders",
    "EndOfMessage",
    "Event",
    "Header",
    "Helo",
    "Macros",
    "MailFrom",
    "Message",
    "MilterClient",
    "MilterServer",
    "Negotiate",
    "Quarantine",
    "Quit",
    "QuitNewConnection",
    "RcptTo",
    "Step",
    "Terms",
    "Unknown",
    "Wants",
    "action_of",
    "agreed",
    "final",
    "mta_value",
    "negotiate",
    "wire_value",
]
