"""Golden milter conversations: bytes in, events out, and the bytes of the replies."""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from millrace.engine.errors import ProtocolError
from millrace.engine.mail import edits
from millrace.engine.mail.address import Address
from millrace.engine.mail.verdict import Reply
from millrace.engine.wire import milter

FOLDER = Path(__file__).resolve().parents[3] / "transcripts" / "milter"
WORDS = vars(edits) | vars(milter) | {"Reply": Reply, "Address": Address}


@dataclass
class Conversation:
    wants: milter.Wants
    said: list[bytes] = field(default_factory=list)  # packets, one for each C:
    heard: list[list] = field(default_factory=list)  # events for each of them
    replies: list[tuple[bytes, object]] = field(default_factory=list)
    answer: bytes = b""
    trouble: str = ""


def framed(text: str) -> bytes:
    data = ast.literal_eval(f"b'{text}'")
    return len(data).to_bytes(4, "big") + data


def read(path: Path) -> Conversation:
    talk = Conversation(milter.Wants())
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, rest = line.partition(": ") if line[:2] in ("C:", "S:") else line.partition(" ")
        if mark == "wants:":
            talk.wants = eval(rest, WORDS)
        elif mark == "C":
            talk.said.append(framed(rest))
            talk.heard.append([])
        elif mark == "!" and rest.startswith("ProtocolError: "):
            talk.trouble = rest.removeprefix("ProtocolError: ")
        elif mark == "!":
            talk.heard[-1].append(eval(rest, WORDS))
        elif mark == "S" and not talk.answer:
            talk.answer = framed(rest)
        elif mark == "S":
            found = re.fullmatch(r"(.*?) = (\w.*)", rest)
            talk.replies.append((framed(found[1]), eval(found[2], WORDS)))
    return talk


def gather(codec, pieces):
    """All events of some pieces of bytes, and the sentence of the error that ended them."""
    events = []
    for piece in pieces:
        try:
            events.extend(codec.receive(piece))
        except ProtocolError as error:
            return events, str(error)
    return events, ""


def typed(events):
    return [(type(event), event) for event in events]


ALL = sorted(FOLDER.glob("*.txt"))


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def talk(request):
    return read(request.param)


def test_there_are_conversations_to_follow():
    assert len(ALL) >= 6


def test_each_packet_gives_its_events_and_no_others(talk):
    server = milter.MilterServer(talk.wants)
    for packet, expected in zip(talk.said, talk.heard, strict=True):
        events, trouble = gather(server, [packet])
        assert typed(events) == typed(expected)
        assert trouble == ("" if expected else talk.trouble)


def test_replies_are_the_golden_bytes(talk):
    server = milter.MilterServer(talk.wants)
    list(server.receive(talk.said[0]))
    assert server.answer() == talk.answer
    for packet, message in talk.replies:
        assert server.send(message) == packet


def test_the_client_reads_what_the_server_said(talk):
    server, client = milter.MilterServer(talk.wants), milter.MilterClient(talk.heard[0][0])
    list(server.receive(client.open()))
    list(client.receive(talk.answer))
    for packet, message in talk.replies:
        (read_back,) = client.receive(packet)
        assert type(read_back) is type(message)
        assert server.send(read_back) == packet


def test_a_cut_at_any_place_changes_nothing(talk):
    whole = b"".join(talk.said)
    expected = [event for events in talk.heard for event in events], talk.trouble
    for at in range(len(whole) + 1):
        pieces = [whole[:at], memoryview(whole)[at:]]
        assert gather(milter.MilterServer(talk.wants), pieces) == expected


def test_byte_by_byte_changes_nothing(talk):
    whole = b"".join(talk.said)
    expected = [event for events in talk.heard for event in events], talk.trouble
    single = [bytearray(whole[at : at + 1]) for at in range(len(whole))]
    assert gather(milter.MilterServer(talk.wants), single) == expected
