"""The body's hash: however the body is cut, whatever it holds."""

import base64
import hashlib

import dkim.canonicalization
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from millrace.engine.mail.message import Body, BodyWriter
from millrace.engine.mailauth.bodyhash import BodyHash, BodyHashing, hash_body, hashed, listeners

PIECES = [b"\r\n", b"\r", b"\n", b" ", b"\t", b"a", b"bc", b"  ", b" \r\n", b"\r\n\r\n"]
BODIES = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
KINDS = ["simple", "relaxed"]


def digest(kind, *chunks: bytes, length=None) -> bytes:
    wish = BodyHashing(kind, "sha256", length)
    return hash_body(chunks, [wish])[wish].digest


@pytest.mark.parametrize("kind", KINDS)
@given(BODIES)
@example(b"a\r\n \r\n\t\r\n")
@example(b"a \r b\r\r\n")
def test_any_cut_of_a_body_gives_the_same_digest(kind, body):
    whole = digest(kind, body)
    assert digest(kind, *(body[at : at + 1] for at in range(len(body)))) == whole
    for at in range(len(body) + 1):
        assert digest(kind, body[:at], b"", body[at:]) == whole


@pytest.mark.parametrize("kind", KINDS)
@given(BODIES)
@example(b"")
@example(b"\r\n\r\n")
@example(b"a \t b\r\n\r\n")
def test_wire_bodies_are_canonical_as_the_library_makes_them(kind, body):
    body = body.replace(b"\r", b"").replace(b"\n", b"\r\n")
    body += b"\r\n" if body.endswith((b" ", b"\t")) else b""  # the standard does not say
    policy = {"simple": dkim.canonicalization.Simple, "relaxed": dkim.canonicalization.Relaxed}
    canonical = policy[kind].canonicalize_body(body)
    assert digest(kind, body) == hashlib.sha256(canonical).digest()


@pytest.mark.parametrize(
    ("kind", "encoded"),
    [
        # RFC 6376 §3.4.3 and §3.4.4 print the digests of the empty body
        ("simple", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="),
        ("relaxed", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
    ],
)
def test_empty_body_has_the_digest_that_the_standard_prints(kind, encoded):
    assert base64.b64encode(digest(kind)).decode() == encoded


def test_only_the_first_octets_count_under_a_length():
    assert digest("simple", b"abc", b"def", length=4) == hashlib.sha256(b"abcd").digest()
    assert digest("simple", b"abc", length=0) == hashlib.sha256().digest()
    wish = BodyHashing("simple", "sha256", 4)
    assert hash_body([b"abcdef"], [wish])[wish].size == 8


def test_each_wish_is_hashed_in_one_pass():
    wishes = [BodyHashing("simple", "sha1"), BodyHashing("relaxed", "sha256", 1)]
    found = hash_body(iter([b"a  b\r\n"]), wishes)
    assert found[wishes[0]].digest == hashlib.sha1(b"a  b\r\n").digest()
    assert found[wishes[1]].digest == hashlib.sha256(b"a").digest()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("octets", [b" ", b"\t", b"\r", b"\r\n", b" \r", b" \r\n", b"\n", b"a"])
def test_no_octets_pile_up_between_pieces(kind, octets):
    running = BodyHash(BodyHashing(kind, "sha256"))
    for _ in range(50):
        running.update(octets * 1000)
        held = sum(len(getattr(running, name)) for name in ("_tail",))
        assert held <= (2 if kind == "relaxed" else 1)  # so each octet is looked at once


def heard(chunks: list[bytes], wish: BodyHashing) -> Body:
    writer = BodyWriter(listen=lambda: listeners([wish]))
    for chunk in chunks:
        writer.write(chunk)
    return writer.finish()


def test_a_large_body_is_hashed_while_it_arrives_and_not_read_again() -> None:
    wish = BodyHashing("relaxed", "sha256")
    chunks = [b"a  line \t\r\n" * 5000] * 30
    body = heard(chunks, wish)
    assert body.heard[wish] == hash_body([b"".join(chunks)], [wish])[wish]
    spoilt = Body(b"another body")  # whoever reads it again would get another hash
    spoilt.heard.update(body.heard)
    assert hashed(spoilt, [wish]) == {wish: body.heard[wish]}


def test_a_small_body_is_not_listened_to() -> None:
    assert heard([b"small\r\n"] * 10, BodyHashing("simple", "sha256")).heard == {}


def test_two_verifiers_hash_a_body_once() -> None:
    wish, other = BodyHashing("relaxed", "sha256"), BodyHashing("simple", "sha256")
    body = Body(b"a  b\r\n")
    first = hashed(body, [wish])
    assert set(body.heard) == {wish}
    assert hashed(body, [wish, other])[wish] is first[wish]
    assert set(body.heard) == {wish, other}
