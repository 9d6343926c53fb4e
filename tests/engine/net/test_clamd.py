"""clamd: only an explicit OK means clean; all else is known or unavailable."""

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager

import pytest

from millrace.engine.errors import Unavailable
from millrace.engine.mail.message import BodyWriter, Headers, Message
from millrace.engine.net.clamd import ClamdScanner
from millrace.engine.ports import Scan

MAIL = Message.parse(b"A: 1\r\n\r\n" + b"x" * 200_000)
SHORT = Message.parse(b"A: 1\r\n\r\n" + b"x" * 9_000)
BOTH = pytest.mark.parametrize("mail", [SHORT, MAIL], ids=["from the loop", "from a lane"])


@contextmanager
def clamd(folder, reply: bytes | None, *, tcp: bool = False):
    """One conversation of a clamd that gives this reply; None hangs until the end."""
    kind = socket.AF_INET if tcp else socket.AF_UNIX
    where = ("127.0.0.1", 0) if tcp else str(folder / "clamd")
    got, over = [], threading.Event()
    with socket.socket(kind) as server:
        server.bind(where)
        server.listen()

        def talk():
            peer, _ = server.accept()
            with peer, peer.makefile("rb") as file:
                got.append(_read(file))
                if reply is None:
                    over.wait(10)
                else:
                    peer.sendall(reply)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        shown = f"127.0.0.1:{server.getsockname()[1]}" if tcp else where
        yield shown, got
        over.set()
        thread.join(10)


def _read(file) -> tuple[bytes, bytes]:
    command = b""
    while not command.endswith((b"\n", b"\0")):
        command += file.read(1)
    content = b""
    while b"INSTREAM" in command and (size := struct.unpack("!L", file.read(4))[0]):
        content += file.read(size)
    return command, content


def scanned(where: str, mail: Message = MAIL, timeout: float = 5.0) -> Scan:
    scanner = ClamdScanner(lanes=1)
    try:
        return asyncio.run(scanner.scan(mail, where, timeout))
    finally:
        scanner.close()


@BOTH
@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("reply", "found"),
    [(b"stream: OK\n", ""), (b"stream: Eicar-Test FOUND\n", "Eicar-Test"), (b"stream: OK\0", "")],
)
def test_answer_of_clamd_is_told_and_the_whole_mail_was_sent(tmp_path, mail, tcp, reply, found):
    if reply.endswith(b"\0") and tcp:
        return
    with clamd(tmp_path, reply.replace(b"\0", b"\n"), tcp=tcp) as (where, got):
        assert scanned(where, mail).found == found
    ((command, content),) = got
    assert b"INSTREAM" in command
    assert content == bytes(mail)


def test_spooled_mail_is_sent_from_its_file(tmp_path):
    writer = BodyWriter(spool_above=0)
    writer.write(b"y" * 300_000)
    mail = Message(Headers([(b"A", b" 1")]), writer.finish())
    with clamd(tmp_path, b"stream: OK\n") as (where, got):
        assert scanned(where, mail).found == ""
    assert got[0][1] == bytes(mail)


@BOTH
@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\n",
        b"INSTREAM size limit exceeded. ERROR\n",
        b"stream: Can't open file ERROR\n",
        b"stream: FOUND\n",
        b"garbage\n",
        b"stream: \xff\xfe FOUND\n",
        b"OK\n",
    ],
)
def test_answer_that_is_none_means_unavailable(tmp_path, mail, reply):
    with (
        clamd(tmp_path, reply) as (where, _),
        pytest.raises(Unavailable, match=rf"clamd {where}"),
    ):
        scanned(where, mail)


@BOTH
def test_silence_of_clamd_means_unavailable(tmp_path, mail):
    with clamd(tmp_path, None) as (where, _), pytest.raises(Unavailable, match="timed out"):
        scanned(where, mail, timeout=0.05)


@BOTH
@pytest.mark.parametrize("where", ["/nowhere/clamd", "127.0.0.1:1", "127.0.0.1:x", "nothing"])
def test_socket_that_is_not_there_means_unavailable(mail, where):
    with pytest.raises(Unavailable, match="clamd"):
        scanned(where, mail, timeout=1.0)


def test_version_tells_that_clamd_is_there(tmp_path):
    scanner = ClamdScanner(lanes=1)
    with clamd(tmp_path, b"ClamAV 1.4\n") as (where, got):
        assert asyncio.run(scanner.version(where, 5.0)) == "ClamAV 1.4"
    assert b"VERSION" in got[0][0]
    with pytest.raises(Unavailable):
        asyncio.run(scanner.version("/nowhere", 1.0))
    scanner.close()
