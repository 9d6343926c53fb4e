"""What a mail says, within a budget that no sender can stretch."""

from __future__ import annotations

import base64
import time

from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.message import Message
from millrace.models.text import GTUBE, TEXT_MAX, Reading, read


def reading(raw: bytes) -> Reading:
    return read(Message.parse(raw.replace(b"\n", b"\r\n")))


def alternative(*parts: bytes) -> bytes:
    head = b'Content-Type: multipart/alternative; boundary="b"\n\n'
    return head + b"".join(b"--b\n" + part + b"\n" for part in parts) + b"--b--\n"


def test_plain_and_html_text_are_both_read() -> None:
    found = reading(alternative(b"\nplain words", b"Content-Type: text/html\n\n<p>rich words"))
    assert found.text.split() == [b"plain", b"words", b"rich", b"words"]
    assert found.kinds == {"text/plain", "text/html"}


def test_long_plain_part_cannot_hide_the_html_behind_it() -> None:
    found = reading(alternative(b"\n" + b"ham " * 50_000, b"Content-Type: text/html\n\n<p>rich"))
    assert b"rich" in found.text
    assert len(found.text) <= TEXT_MAX + 10


def test_attachments_give_their_type_and_not_their_text() -> None:
    part = b'Content-Type: text/plain\nContent-Disposition: attachment; filename="A.EXE"\n\nsecret'
    found = reading(alternative(b"\nhello", part, b"Content-Type: image/png\n\nx"))
    assert found.attachments == {".exe", "image/png"}
    assert b"secret" not in found.text


def test_text_without_a_charset_is_guessed_and_noted() -> None:
    russian = "Добрый день, предлагаем вам новые товары и услуги нашей компании. " * 4
    found = reading(b"Content-Type: text/plain\n\n" + russian.encode("cp1251"))
    assert "предлагаем" in found.text.decode()
    assert "8-bit text without a charset" in found.signs


def test_declared_charset_is_believed() -> None:
    found = reading(b"Content-Type: text/plain; charset=koi8-r\n\n" + "привет".encode("koi8-r"))
    assert found.text.decode().strip() == "привет"


def test_test_pattern_is_seen_through_base64() -> None:
    mail = b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b"see " + GTUBE)
    assert reading(mail).gtube
    assert not reading(b"Subject: x\n\nGTUBE").gtube


def test_bare_addresses_in_plain_text_are_links() -> None:
    found = reading(b"Subject: x\n\nsee https://shop.example/buy?x=1 now\n")
    assert [link.host for link in found.links] == ["shop.example"]


def test_multipart_without_its_boundary_is_read_as_text() -> None:
    assert b"buy" in reading(b"Content-Type: multipart/mixed; boundary=x\n\nbuy now\n").text


def test_thousand_html_parts_take_bounded_time() -> None:
    part = b"Content-Type: text/html\n\n" + b"<p><font x=1>a" * 70
    mail = alternative(*[part] * 990)
    before = time.process_time()
    reading(mail)
    assert time.process_time() - before < 1.0


@given(st.binary(max_size=200))
def test_no_body_makes_reading_raise(body: bytes) -> None:
    reading(b"Content-Type: text/html; charset=utf-16\n\n" + body)
