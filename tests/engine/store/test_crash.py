"""A process that archives and delivers is killed at any moment: what it answered is there."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from millrace.engine.store.archive import Archive

ROUNDS = 6
# ten mails are under way at once; a number is printed when the archive has answered
WRITER = """
import asyncio, sys
from pathlib import Path
from millrace.engine.mail.address import Address
from millrace.engine.mail.edits import Edited
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.message import Message
from millrace.engine.store.archive import Archive
from millrace.engine.store.maildir import Maildir

folder, life = Path(sys.argv[1]), sys.argv[2]
sender, recipients = Sender(Address("a", "b.example")), (Recipient(Address("c", "d.example")),)

async def send(archive, maildir, who):
    for number in range(1_000_000):
        name = f"{life}x{who}x{number}"
        mail = Message.parse(f"Subject: {name}\\r\\n\\r\\n{name * 200}\\r\\n".encode())
        envelope = Envelope(name, sender, recipients)
        await archive.keep(Edited(envelope, mail), 1_800_000_000.0, 0)
        await maildir.deliver(envelope, mail)
        print(name, flush=True)

async def main():
    archive, maildir = Archive(folder / "archive"), Maildir(folder / "Maildir")
    await asyncio.gather(*(send(archive, maildir, who) for who in range(10)))

asyncio.run(main())
"""


def crashed(folder: Path, life: int, mails: int) -> list[str]:
    """Let it write until so many are answered, then SIGKILL; all that it answered."""
    command = [sys.executable, "-c", WRITER, str(folder), str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        answered = [writer.stdout.readline().strip() for _ in range(mails)]
        writer.kill()
        answered += writer.stdout.read().splitlines()
    return answered


def test_what_was_answered_is_there_whole_and_once_after_every_crash(tmp_path: Path) -> None:
    chance, answered = random.Random(), []
    for life in range(ROUNDS):
        answered += crashed(tmp_path, life, chance.randint(1, 60))
    archive = Archive(tmp_path / "archive")
    entries = Counter(entry.id for entry in archive.entries())
    assert [name for name in answered if not entries[name]] == []
    assert [name for name, count in entries.items() if count > 1] == []
    for entry in archive.entries():
        name = entry.id
        assert archive.content(entry.sha256) == f"Subject: {name}\r\n\r\n{name * 200}\r\n".encode()
    delivered = Counter(_subject(path) for path in (tmp_path / "Maildir/new").iterdir())
    assert [name for name in answered if delivered[name] != 1] == []


def _subject(path: Path) -> str:
    head, _, body = path.read_text().partition("\n\n")
    name = head.rpartition("Subject: ")[2]
    assert body == f"{name * 200}\n", path
    return name


def test_writing_is_what_makes_the_answer_true(tmp_path: Path) -> None:
    """The first line comes after the mail: an archive without it would be found out."""
    (first, *_) = crashed(tmp_path, 0, 1)
    assert [entry.id for entry in Archive(tmp_path / "archive").entries(first)] == [first]
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "archive" / "index.db").unlink()
    assert [entry.id for entry in Archive(tmp_path / "archive").entries(first)] == [first]
