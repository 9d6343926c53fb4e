"""Mails of a load: made up, from a folder, from an mbox."""

from __future__ import annotations

import pytest

from millrace.engine.errors import Misconfigured
from millrace.engine.load.mails import made, read

RAW = b"From: <a@a.example>\nSubject: one\n\nbody\n"


def test_made_mails_come_from_as_many_strangers_as_asked_for():
    load = made(500)
    mails = [load(number) for number in range(1500)]
    assert len({mail.sender for mail in mails}) == 500
    assert len({mail.recipients for mail in mails}) == 500
    assert len({mail.ip for mail in mails}) == 500


def test_the_same_number_is_the_same_mail():
    assert made(10)(3) == made(10)(3)


def test_a_made_mail_is_about_as_large_as_asked_for():
    assert 20_000 < len(made(1, octets=20_000)(0).raw) < 21_000


def test_mails_of_a_folder_come_in_turn_with_line_ends_of_the_wire(tmp_path):
    (tmp_path / "1.eml").write_bytes(RAW)
    (tmp_path / "2.eml").write_bytes(RAW.replace(b"one", b"two"))
    mails = read(tmp_path, "a@a.example", "r@r.example", "192.0.2.1")
    assert [b"one" in mails(n).raw for n in range(3)] == [True, False, True]
    assert b"\r\n\r\nbody\r\n" in mails(0).raw


def test_mails_of_an_mbox_come_in_turn(tmp_path):
    path = tmp_path / "box"
    path.write_bytes(b"From a Mon Nov 16 10:00:00 2026\n" + RAW + b"\nFrom b Mon Nov 16\n" + RAW)
    assert read(path, "a@a.example", "r@r.example", "192.0.2.1")(1).raw.startswith(b"From: <a@")


def test_a_folder_without_mails_is_said(tmp_path):
    with pytest.raises(Misconfigured, match="no mails"):
        read(tmp_path, "a@a.example", "r@r.example", "192.0.2.1")
