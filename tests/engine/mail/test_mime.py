"""MIME leaves as spans; Python's email package is the oracle for well-formed mail."""

from __future__ import annotations

import email
import email.message
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.engine.mail.message import Message
from millrace.engine.mail.mime import DEPTH_MAX, PARTS_MAX, Part, decode, text, walk


def leaves(raw: bytes) -> tuple[tuple[Part, ...], bytes]:
    message = Message.parse(raw.replace(b"\n", b"\r\n"))
    body = bytes(message.body)
    return walk(message.headers, body), body


def multipart(boundary: bytes, *parts: bytes, kind: bytes = b"mixed", close: bool = True) -> bytes:
    head = b'Content-Type: multipart/%b; boundary="%b"\n\n' % (kind, boundary)
    inner = b"".join(b"--" + boundary + b"\n" + part + b"\n" for part in parts)
    return head + inner + (b"--" + boundary + b"--\n" if close else b"")


def test_mail_without_mime_is_one_plain_leaf() -> None:
    (part,), body = leaves(b"Subject: x\n\nhello\n")
    assert (part.content_type, part.charset, decode(part, body)) == (
        "text/plain",
        "",
        b"hello\r\n",
    )


def test_two_parts_give_two_leaves_with_their_bytes() -> None:
    parts, body = leaves(multipart(b"b", b"\none", b"Content-Type: text/html\n\n<b>two"))
    assert [(p.content_type, decode(p, body)) for p in parts] == [
        ("text/plain", b"one"),
        ("text/html", b"<b>two"),
    ]


def test_missing_final_boundary_keeps_the_last_part() -> None:
    parts, body = leaves(multipart(b"b", b"\none", b"\ntwo", close=False))
    assert [decode(p, body) for p in parts] == [b"one", b"two\r\n"]


def test_text_after_the_final_boundary_is_no_part() -> None:
    parts, _ = leaves(multipart(b"b", b"\none") + b"epilogue\n--b\n\nmore\n")
    assert len(parts) == 1


def test_boundary_inside_a_line_does_not_divide() -> None:
    parts, body = leaves(multipart(b"b", b"\nsee --b\n--bb\n--b?\nend"))
    assert [decode(p, body) for p in parts] == [b"see --b\r\n--bb\r\n--b?\r\nend"]


def test_nested_multiparts_are_listed_flat_with_depth() -> None:
    inner = multipart(b"inner", b"\none", b"\ntwo", kind=b"alternative", close=False)
    parts, body = leaves(multipart(b"outer", inner, b"\nthree"))
    assert [(p.depth, decode(p, body).strip()) for p in parts] == [
        (2, b"one"),
        (2, b"two"),
        (1, b"three"),
    ]


def test_embedded_message_gives_its_leaves() -> None:
    parts, body = leaves(b"Content-Type: message/rfc822\n\nFrom x y\nSubject: in\n\ninner\n")
    assert [decode(p, body) for p in parts] == [b"inner\r\n"]


def test_parts_of_a_digest_are_messages_by_default() -> None:
    parts, body = leaves(multipart(b"b", b"\nSubject: a\n\nfirst", kind=b"digest"))
    assert [decode(p, body) for p in parts] == [b"first"]


def test_multipart_without_its_boundary_is_a_leaf() -> None:
    (part,), body = leaves(b"Content-Type: multipart/mixed; boundary=x\n\nbuy now\n")
    assert (part.content_type, decode(part, body)) == ("multipart/mixed", b"buy now\r\n")


def test_attachment_tells_its_name_in_every_spelling() -> None:
    spellings = [
        b'Content-Disposition: attachment; filename="r\xc3\xa9sum\xc3\xa9.pdf"',
        b"Content-Disposition: attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf",
        b"Content-Disposition: attachment; filename*0*=utf-8''r%C3%A9; filename*1*=sum%C3%A9.pdf",
        b'Content-Disposition: attachment; filename="=?utf-8?q?r=C3=A9sum=C3=A9=2Epdf?="',
        b'Content-Disposition: attachment\nContent-Type: a/b; name="=?utf-8?b?csOpc3Vtw6kucGRm?="',
    ]
    for spelling in spellings:
        (part,), _ = leaves(spelling + b"\n\nx")
        assert (part.filename, part.disposition) == ("résumé.pdf", "attachment"), spelling


@pytest.mark.parametrize(
    ("encoding", "data", "plain"),
    [
        (b"base64", b"aGVsbG8=\n", b"hello"),
        (b"BASE64", b"aGVs\nbG8", b"hello"),
        (b"base64", b"a G*V-s\nb!G8=", b"hello"),
        (b"base64", b"aGVsbG8gd", b"hello "),
        (b"base64", b"", b""),
        (b"base64", b"A", b""),
        (b"quoted-printable", b"a=3Db=\nc=XY=", b"a=bc=XY"),
        (b"8bit", b"\xff\xfe", b"\xff\xfe"),
        (b"x-unknown", b"as it is", b"as it is"),
    ],
)
def test_transfer_encodings_are_undone_as_far_as_they_go(encoding, data, plain) -> None:
    (part,), body = leaves(b"Content-Transfer-Encoding: " + encoding + b"\n\n" + data)
    assert decode(part, body) == plain


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable", b"7bit"])
def test_decoded_bytes_never_pass_the_limit(encoding: bytes) -> None:
    (part,), body = leaves(b"Content-Transfer-Encoding: " + encoding + b"\n\n" + b"QUFB\n" * 999)
    assert len(decode(part, body, 100)) == 100


def test_text_is_decoded_by_its_declared_charset() -> None:
    (part,), body = leaves(b"Content-Type: text/plain; charset=KOI8-R\n\n\xd0\xd2\xc9\xd7\xc5\xd4")
    assert text(part, body) == "привет"


def test_bombs_of_depth_and_number_are_bounded() -> None:
    deep = b"\nbottom"
    for level in range(DEPTH_MAX + 10):
        deep = multipart(b"b%d" % level, deep)
    parts, _ = leaves(deep)
    assert max(p.depth for p in parts) == DEPTH_MAX
    parts, _ = leaves(multipart(b"b", *[b"\nx"] * (PARTS_MAX * 2)))
    assert len(parts) < PARTS_MAX


@pytest.mark.parametrize("filler", [b"--b", b"\n--bx", b"\n--b\n--b", b"\n--b\n\n", b"\n--b\nA: b"])
def test_hostile_boundaries_take_bounded_time(filler: bytes) -> None:
    raw = multipart(b"b", b"Content-Type: multipart/mixed; boundary=b\n\n" + filler * 200_000)
    message = Message.parse(raw)
    body = bytes(message.body)
    before = time.process_time()
    walk(message.headers, body)
    assert time.process_time() - before < 1.0


PIECES = [b"--b", b"--", b"\r\n", b"\n", b"=", b";", b'"', b"\x00\xff", b"AAA"]
PIECES += [b"Content-Type: ", b"message/rfc822", b"multipart/digest; boundary=b"]
PIECES += [b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"charset=utf-16"]


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_no_bytes_make_the_walker_raise(pieces: list[bytes]) -> None:
    message = Message.parse(b'Content-Type: multipart/mixed; boundary="b"\r\n' + b"".join(pieces))
    body = bytes(message.body)
    for part in walk(message.headers, body):
        assert 0 <= part.start <= part.end <= len(body)
        assert isinstance(text(part, body), str)


def oracle(mail: email.message.Message) -> list[str]:
    """Leaf types as the standard library sees them; it opens every message/*, we only mails."""
    kind = mail.get_content_type()
    closed = mail.get_content_maintype() == "message" and kind != "message/rfc822"
    if closed or not mail.is_multipart():
        return [kind]
    payload = mail.get_payload()
    assert isinstance(payload, list)
    return [leaf for part in payload for leaf in oracle(part)]


@pytest.mark.data
def test_published_mails_have_the_leaves_that_python_sees(shared_data: Path) -> None:
    compared = 0
    for path in sorted((shared_data / "mime").glob("*/*")):
        raw = path.read_bytes()
        raw = raw.partition(b"\n")[2] if raw.startswith(b"From ") else raw
        message = Message.parse(raw)
        body = bytes(message.body)
        parts = walk(message.headers, body)
        for part in parts:
            text(part, body)
        mail = email.message_from_bytes(raw)
        if not any(part.defects for part in mail.walk()):
            compared += 1
            assert [p.content_type for p in parts] == oracle(mail), path.name
    assert compared > 500
