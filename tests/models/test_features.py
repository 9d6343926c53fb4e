"""Features: what counts, and what must not, since it gives a collection's labels away."""

from __future__ import annotations

import pytest

from millrace.engine.mail.message import Message
from millrace.models.features import SIZE, features
from millrace.models.text import read

HEAD = b"From: Ann Archer <ann@example.org>\r\nDate: x\r\nMessage-ID: <1@x>\r\nSubject: Lunch\r\n"


def signs(raw: bytes) -> set[str]:
    message = Message.parse(raw)
    return {name for name in features(message, read(message)).values() if isinstance(name, str)}


def indices(raw: bytes) -> set[int]:
    message = Message.parse(raw)
    return set(features(message, read(message)))


@pytest.mark.parametrize(
    "line",
    [
        b"Received: from spam.example by mx.example; Mon, 1 Jan 2001 00:00:00 +0000\r\n",
        b"Delivered-To: zzzz@example.com\r\n",
        b"Return-Path: <x@y.example>\r\n",
        b"List-Id: <ilug.linux.ie>\r\n",
        b"X-Mailer: Bulk 1.0\r\n",
        b"User-Agent: Mutt\r\n",
        b"To: somebody@else.example\r\n",
    ],
)
def test_headers_of_the_way_do_not_count(line: bytes) -> None:
    assert indices(line + HEAD + b"\r\nhi\r\n") == indices(HEAD + b"\r\nhi\r\n")


def test_the_date_itself_does_not_count() -> None:
    mail = HEAD + b"\r\nhi\r\n"
    assert indices(mail) == indices(mail.replace(b"Date: x", b"Date: Tue, 1 Jan 2030 00:00:00 Z"))


def test_mail_of_which_only_text_was_kept_has_no_signs_of_shape() -> None:
    assert signs(b"Subject: hello\r\n\r\nwords\r\n") == set()


@pytest.mark.parametrize(
    ("mail", "sign"),
    [
        (HEAD + b"Content-Type: text/html\r\n\r\n<p>x", "HTML without plain text"),
        (
            HEAD + b'Content-Type: text/html\r\n\r\n<a href="http://192.0.2.7/x">bank.example</a>',
            "link text says bank.example but leads to 192.0.2.7",
        ),
        (
            HEAD + b'Content-Type: text/html\r\n\r\n<a href="http://192.0.2.7/x">x</a>',
            "link to a bare IP address",
        ),
        (HEAD.replace(b"Ann Archer", b'"b@bank.example"'), "author's name is another address"),
        (HEAD.replace(b"ann@", b"ann12345@") + b"\r\nx", "digits in the author's address"),
        (HEAD.replace(b"Lunch", b"LUNCH FOR EVERYBODY") + b"\r\nx", "subject in capitals"),
        (HEAD.replace(b"Message-ID", b"X-Id") + b"\r\nx", "no Message-ID field"),
        (HEAD + b'Content-Type: a/b; name="x.exe"\r\n\r\nx', "attachment .exe"),
    ],
)
def test_signs_of_shape_are_named_in_words(mail: bytes, sign: str) -> None:
    assert sign in signs(mail)


def test_link_within_one_domain_is_not_forged() -> None:
    body = b'Content-Type: text/html\r\n\r\n<a href="http://www.bank.example/x">bank.example</a>'
    assert not any("link text says" in sign for sign in signs(HEAD + body))


def test_numbers_stay_within_the_table_and_the_same_mail_gives_the_same() -> None:
    mail = HEAD + "\r\nGrüße aus Köln, 免费\r\n".encode()
    assert indices(mail) == indices(mail)
    assert all(0 <= number < SIZE for number in indices(mail))
