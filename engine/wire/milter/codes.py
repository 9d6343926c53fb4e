"""The milter protocol's vocabulary: command bytes, action bits, protocol bits.

Sendmail's libmilter is the only specification; its header mfdef.h gives the numbers.
Versions 2 to 6; the names are ours where libmilter's are abbreviations.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

VERSION_LEAST, VERSION_BEST = 2, 6


class Command(IntEnum):
    """What an MTA says: the byte after a packet's length."""

    ABORT = ord("A")
    BODY = ord("B")
    CONNECT = ord("C")
    MACROS = ord("D")
    END_OF_MESSAGE = ord("E")
    HELO = ord("H")
    QUIT_NEW_CONNECTION = ord("K")
    HEADER = ord("L")
    MAIL = ord("M")
    END_OF_HEADERS = ord("N")
    NEGOTIATE = ord("O")
    QUIT = ord("Q")
    RCPT = ord("R")
    DATA = ord("T")
    UNKNOWN = ord("U")


class Act(IntFlag):
    """What a filter may ask for at the end of a message (SMFIF_*)."""

    ADD_HEADERS = 0x1
    REPLACE_BODY = 0x2
    ADD_RECIPIENT = 0x4
    REMOVE_RECIPIENT = 0x8
    CHANGE_HEADERS = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENT_WITH_OPTIONS = 0x80
    SET_SYMBOLS = 0x100


class Step(IntFlag):
    """How the conversation goes (SMFIP_*): NO_ is not sent, QUIET_ wants no reply."""

    NO_CONNECT = 0x1
    NO_HELO = 0x2
    NO_MAIL = 0x4
    NO_RCPT = 0x8
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADERS = 0x40
    QUIET_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    REJECTED_RECIPIENTS = 0x800
    QUIET_CONNECT = 0x1000
    QUIET_HELO = 0x2000
    QUIET_MAIL = 0x4000
    QUIET_RCPT = 0x8000
    QUIET_DATA = 0x10000
    QUIET_UNKNOWN = 0x20000
    QUIET_END_OF_HEADERS = 0x40000
    QUIET_BODY = 0x80000
    LEADING_SPACE = 0x100000
    CHUNK_256K = 0x10000000
    CHUNK_1M = 0x20000000


# the steps that a filter may decline, with the bit that declines it and the one that hushes it
OPTIONAL: dict[Command, tuple[Step, Step]] = {
    Command.CONNECT: (Step.NO_CONNECT, Step.QUIET_CONNECT),
    Command.HELO: (Step.NO_HELO, Step.QUIET_HELO),
    Command.MAIL: (Step.NO_MAIL, Step.QUIET_MAIL),
    Command.RCPT: (Step.NO_RCPT, Step.QUIET_RCPT),
    Command.DATA: (Step.NO_DATA, Step.QUIET_DATA),
    Command.HEADER: (Step.NO_HEADERS, Step.QUIET_HEADER),
    Command.END_OF_HEADERS: (Step.NO_END_OF_HEADERS, Step.QUIET_END_OF_HEADERS),
    Command.BODY: (Step.NO_BODY, Step.QUIET_BODY),
    Command.UNKNOWN: (Step.NO_UNKNOWN, Step.QUIET_UNKNOWN),
}
STEPS = frozenset(OPTIONAL)

# the stages for which a filter may name the macros that it needs (SMFIM_*)
SYMBOL_STAGES: dict[Command, int] = {
    Command.CONNECT: 0,
    Command.HELO: 1,
    Command.MAIL: 2,
    Command.RCPT: 3,
    Command.DATA: 4,
    Command.END_OF_MESSAGE: 5,
    Command.END_OF_HEADERS: 6,
}

CHUNK_64K, CHUNK_256K, CHUNK_1M = 0xFFFF, 0x3FFFF, 0xFFFFF
# Postfix sends a header field whole, up to its header_size_limit (100 KiB, and an operator may
# raise it), whatever chunk was agreed on: so one bound for all packets, the protocol's largest.
PACKET_MAX = CHUNK_1M + 4096
