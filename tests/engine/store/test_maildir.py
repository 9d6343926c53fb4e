"""A Maildir holds whole mails or none."""

from __future__ import annotations

import asyncio
import mailbox
import os
import tempfile

import pytest

from millrace.engine.errors import Unavailable
from millrace.engine.mail.address import Address
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Body, Message
from millrace.engine.mail.verdict import Reply
from millrace.engine.store.maildir import Maildir

BOB = Recipient(Address("bob", "b.example"))
EVE = Recipient(Address("eve", "b.example"))
ENVELOPE = Envelope("1", Sender(Address("ann", "a.example")), (BOB, EVE))
MAIL = Message.parse(b"Subject: x\r\n\r\n.hello\r\n")


def deliver(maildir: Maildir, message: Message = MAIL, envelope: Envelope = ENVELOPE):
    return asyncio.run(maildir.deliver(envelope, message))


def files(root, folder="new"):
    return sorted((root / folder).iterdir())


def test_mail_lies_in_new_with_its_envelope_on_top(tmp_path):
    assert deliver(Maildir(tmp_path / "m")).reply == Reply(250, "2.0.0", "Delivered")
    (path,) = files(tmp_path / "m")
    assert path.read_bytes() == (
        b"Return-Path: <ann@a.example>\nDelivered-To: bob@b.example\n"
        b"Delivered-To: eve@b.example\nSubject: x\n\n.hello\n"
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert files(tmp_path / "m", "tmp") == []


def test_other_programs_read_what_was_written(tmp_path):
    deliver(Maildir(tmp_path / "m"))
    (mail,) = mailbox.Maildir(tmp_path / "m")
    assert mail["subject"] == "x"
    assert mail.get_payload() == ".hello\n"


def test_null_sender_has_an_empty_return_path(tmp_path):
    deliver(Maildir(tmp_path), envelope=Envelope("1", Sender(None), (BOB,)))
    assert files(tmp_path)[0].read_bytes().startswith(b"Return-Path: <>\n")


def test_mails_of_the_same_instant_have_different_names(tmp_path):
    maildir = Maildir(tmp_path, now=lambda: 1_800_000_000.25)
    for _ in range(5):
        deliver(maildir)
    names = [path.name for path in files(tmp_path)]
    assert len(set(names)) == 5
    assert all(name.startswith("1800000000.M250000P") for name in names)


def test_line_end_across_two_pieces_is_still_one(tmp_path):
    class Pieces(Body):
        def chunks(self, size=0):
            yield from (b"a\r", b"\nb\r\n", b"c\r")

    deliver(Maildir(tmp_path), Message(Headers(), Pieces()))
    assert files(tmp_path)[0].read_bytes().endswith(b"\n\na\nb\nc\r")


def test_spooled_mail_is_written_whole(tmp_path):
    line = b"0123456789" * 100
    with tempfile.TemporaryFile() as spool:
        spool.write((line + b"\r\n") * 1000)
        spool.flush()
        deliver(Maildir(tmp_path), Message(Headers(), Body(spool=spool, size=spool.tell())))
    assert files(tmp_path)[0].read_bytes().count(line + b"\n") == 1000


def test_broken_off_mail_leaves_nothing_behind(tmp_path):
    class Broken(Body):
        def chunks(self, size=0):
            yield b"half a mail"
            raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match=r"maildir .*: No space left"):
        deliver(Maildir(tmp_path), Message(Headers(), Broken()))
    assert files(tmp_path) == files(tmp_path, "tmp") == []


def test_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "m").write_text("a file")
    with pytest.raises(Unavailable, match="maildir"):
        deliver(Maildir(tmp_path / "m"))


def test_mail_is_synced_before_it_is_shown(tmp_path, monkeypatch):
    steps = []
    real_sync, real_rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), real_sync(fd)))
    monkeypatch.setattr(os, "rename", lambda a, b: (steps.append("rename"), real_rename(a, b)))
    deliver(Maildir(tmp_path))
    assert steps == ["sync", "rename", "sync"]
