"""Terms: what MTA and filter agreed on before the first mail.

The MTA offers a version, actions and protocol bits; the filter answers with those that
it takes.  `negotiate` makes the answer from what the engine wants, and never takes what
was not offered: Postfix and Sendmail hang up on a filter that does.

Gives:  `Terms`, which say what will be sent, what must be answered, what may be asked.
Fails:  ProtocolError where the MTA is too old, or lacks an action that is a must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct

from millrace.engine.errors import ProtocolError
from millrace.engine.wire.milter.codes import (
    CHUNK_1M,
    CHUNK_64K,
    CHUNK_256K,
    OPTIONAL,
    STEPS,
    SYMBOL_STAGES,
    VERSION_BEST,
    VERSION_LEAST,
    Act,
    Command,
    Step,
)
from millrace.engine.wire.milter.packets import LONG, packet

_OFFER = Struct(">III")
_STAGE_OF = {number: command for command, number in SYMBOL_STAGES.items()}
_NOT_SENT = {int(command): int(bits[0]) for command, bits in OPTIONAL.items()}
_NO_REPLY = {int(command): int(bits[1]) for command, bits in OPTIONAL.items()}
_LEADING_SPACE, _SKIP = int(Step.LEADING_SPACE), int(Step.SKIP)
_REJECTED_RECIPIENTS = int(Step.REJECTED_RECIPIENTS)
_CHUNK_256K, _CHUNK_1M = int(Step.CHUNK_256K), int(Step.CHUNK_1M)
_SET_SYMBOLS = int(Act.SET_SYMBOLS)
_NEVER_ANSWERED = frozenset(b"ADKQ")
_SINCE = {int(Command.UNKNOWN): 3, int(Command.DATA): 4}  # version that brought the command
_NONE = Act(0)
_NAMES_MAX = 4096  # bytes of macro names for one stage that we read from a filter


@dataclass(frozen=True, slots=True)
class Negotiate:
    """An offer (MTA) or an answer (filter); bits as plain numbers, unknown ones included.

    `symbols` are macro names by stage, without braces; only an answer carries them.
    """

    version: int
    actions: int
    protocol: int
    symbols: Mapping[Command, tuple[str, ...]] = field(default_factory=dict)

    command = Command.NEGOTIATE

    def encode(self) -> bytes:
        """The whole packet."""
        lists = b"".join(
            LONG.pack(SYMBOL_STAGES[stage]) + " ".join(map(braced, names)).encode("ascii") + b"\0"
            for stage, names in sorted(self.symbols.items())
        )
        head = _OFFER.pack(self.version, self.actions, self.protocol)
        return packet(Command.NEGOTIATE, head + lists)

    @staticmethod
    def parse(payload: bytes) -> Negotiate:
        """Read the payload of a packet; ProtocolError when it is cut short."""
        if len(payload) < _OFFER.size:
            raise ProtocolError("The milter negotiation is cut short")
        version, actions, protocol = _OFFER.unpack_from(payload)
        return Negotiate(version, actions, protocol, _symbols(payload[_OFFER.size :]))


@dataclass(frozen=True, slots=True, eq=False)  # one of its kind: what follows from it is kept
class Wants:
    """What the engine needs from the conversation; the rest is declined where it can be.

    `events` are the steps to hear of and `replies` those to which it may have an answer
    (the end of a message is always both).  `actions` are taken where offered; the mail
    cannot be served without those in `must`.  `symbols` are macro names without braces:
    when any are given, Postfix sends none at the stages that are left out.
    `chunk` is the largest body chunk to ask for, in bytes (64, 256 or 1024 KiB less one).
    """

    events: frozenset[Command] = STEPS
    replies: frozenset[Command] = STEPS
    actions: Act = _NONE
    must: Act = _NONE
    rejected_recipients: bool = False
    skip: bool = True
    leading_space: bool = True
    symbols: Mapping[Command, tuple[str, ...]] = field(default_factory=dict)
    chunk: int = CHUNK_64K


@dataclass(frozen=True, slots=True)
class Terms:
    """The agreement, as both sides read it."""

    version: int
    actions: int
    protocol: int
    symbols: Mapping[Command, tuple[str, ...]] = field(default_factory=dict)

    def sends(self, command: int) -> bool:
        """Whether the MTA will send this step at all."""
        if self.version < _SINCE.get(command, 0):
            return False
        return not self.protocol & _NOT_SENT.get(command, 0)

    def replies_to(self, command: int) -> bool:
        """Whether the MTA waits for an answer to this command, should it send it."""
        return command not in _NEVER_ANSWERED and not self.protocol & _NO_REPLY.get(command, 0)

    def may(self, action: int) -> bool:
        """Whether all of these actions were granted."""
        return not int(action) & ~self.actions  # flags themselves would be slow at it

    @property
    def leading_space(self) -> bool:
        """Whether header values travel with all that follows the colon.

        Where not, the MTA takes one blank away from a value and puts one before ours;
        the codec evens that out, so that a value is always what follows the colon.
        """
        return bool(self.protocol & _LEADING_SPACE)

    @property
    def skip(self) -> bool:
        """Whether a body chunk may be answered with Answer.SKIP."""
        return bool(self.protocol & _SKIP)

    @property
    def rejected_recipients(self) -> bool:
        """Whether RCPT comes for recipients that the MTA itself refused."""
        return bool(self.protocol & _REJECTED_RECIPIENTS)

    @property
    def chunk(self) -> int:
        """The largest body chunk in bytes, either way."""
        if self.protocol & _CHUNK_1M:
            return CHUNK_1M
        return CHUNK_256K if self.protocol & _CHUNK_256K else CHUNK_64K


def negotiate(offer: Negotiate, wants: Wants) -> Negotiate:
    """The filter's answer to an offer: a subset of it, in the best version both know."""
    if offer.version < VERSION_LEAST:
        raise ProtocolError(
            f"The MTA speaks milter version {offer.version}; {VERSION_LEAST} is the least"
        )
    if lacking := int(wants.must) & ~offer.actions:
        raise ProtocolError(f"The MTA does not let a filter {_in_words(lacking)}")
    symbols = wants.symbols if offer.actions & _SET_SYMBOLS else {}
    actions = (int(wants.actions) | int(wants.must)) & ~_SET_SYMBOLS & offer.actions
    actions |= _SET_SYMBOLS if symbols else 0
    protocol = _protocol(offer.protocol, wants)
    return Negotiate(min(offer.version, VERSION_BEST), actions, protocol, symbols)


def agreed(answer: Negotiate) -> Terms:
    """The terms that an answer settles."""
    return Terms(answer.version, answer.actions, answer.protocol, answer.symbols)


def accepted(offer: Negotiate, answer: Negotiate) -> Terms:
    """The same on the MTA's side; ProtocolError where the answer goes beyond the offer."""
    if not VERSION_LEAST <= answer.version <= offer.version:
        raise ProtocolError(
            f"The filter answers with milter version {answer.version} to {offer.version}"
        )
    if answer.actions & ~offer.actions:
        raise ProtocolError(f"The filter takes actions ({answer.actions:#x}) beyond the offer")
    kept = answer.protocol & offer.protocol  # Postfix and Sendmail drop what they did not offer
    return Terms(answer.version, answer.actions, kept, answer.symbols)


def braced(name: str) -> str:
    """A macro's name as it travels: one letter is bare, a longer name wears braces."""
    return name if len(name) == 1 else f"{{{name}}}"


def _protocol(offered: int, wants: Wants) -> int:
    # plain numbers: flag arithmetic costs 1 µs an operation, and this runs for each connection
    asked = _LEADING_SPACE if wants.leading_space else 0
    asked |= _REJECTED_RECIPIENTS if wants.rejected_recipients else 0
    asked |= _SKIP if wants.skip and Command.BODY in wants.events else 0
    for command, not_sent in _NOT_SENT.items():
        if command not in wants.events and offered & not_sent:
            asked |= not_sent
        elif command not in wants.events or command not in wants.replies:
            asked |= _NO_REPLY[command]
    return asked & offered | _chunk_bit(offered, wants.chunk)


def _chunk_bit(offered: int, chunk: int) -> int:
    if chunk >= CHUNK_1M and offered & _CHUNK_1M:
        return _CHUNK_1M
    return _CHUNK_256K & offered if chunk >= CHUNK_256K else 0


def _symbols(data: bytes) -> dict[Command, tuple[str, ...]]:
    found: dict[Command, tuple[str, ...]] = {}
    while data:
        names, end, rest = data[LONG.size :].partition(b"\0")
        if not end or len(names) > _NAMES_MAX:
            raise ProtocolError("A list of macro names in the milter negotiation is broken")
        stage = _STAGE_OF.get(LONG.unpack_from(data)[0])
        if stage is not None:  # Postfix passes over stages that it does not know, too
            listed = names.decode("ascii", "replace").split()
            found[stage] = tuple(name.strip("{}") for name in listed)
        data = rest
    return found


def _in_words(lacking: int) -> str:
    return ", ".join(str(act.name).lower().replace("_", " ") for act in Act if act & lacking)
