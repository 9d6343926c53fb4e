"""Bodies in memory and in a file are read alike, as often as wanted."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import CHUNK, Body, BodyWriter, Message

DATA = bytes(range(256)) * 1200  # 300 KiB


def written(data: bytes, limit: int, piece: int = 1000) -> Body:
    writer = BodyWriter(spool_above=limit)
    for at in range(0, len(data), piece):
        writer.write(data[at : at + piece])
    assert writer.size == len(data)
    return writer.finish()


@pytest.mark.parametrize("limit", [0, len(DATA) - 1, len(DATA), len(DATA) * 2])
def test_body_goes_to_a_file_above_its_limit(limit):
    body = written(DATA, limit)
    assert body.spooled == (len(DATA) > limit)
    assert (body.size, bytes(body)) == (len(DATA), DATA)


def test_spool_leaves_no_name_in_its_folder(tmp_path):
    writer = BodyWriter(spool_above=0, directory=str(tmp_path))
    writer.write(b"x")
    body = writer.finish()
    assert body.spooled
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [0, len(DATA)])
@pytest.mark.parametrize("size", [1000, CHUNK])
def test_chunks_are_the_whole_body_every_time(limit, size):
    body = written(DATA, limit)
    for _ in range(2):
        chunks = list(body.chunks(size))
        assert b"".join(chunks) == DATA
        assert max(map(len, chunks)) <= 4 * size


@pytest.mark.parametrize("limit", [0, len(DATA)])
def test_head_is_the_beginning_and_no_more(limit):
    body = written(DATA, limit)
    for count in (0, 1, CHUNK + 1, len(DATA), len(DATA) + 5):
        assert body.head(count) == DATA[:count]


def test_several_readers_do_not_disturb_each_other():
    body = written(DATA, 0)
    first, second = body.chunks(1000), body.chunks(1000)
    pairs = list(zip(first, second, strict=True))
    assert all(a == b for a, b in pairs)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: b"".join(body.chunks(777)), range(16))) == {DATA}


def test_empty_body_has_no_chunks():
    assert list(Body().chunks()) == []
    assert list(written(b"", 0).chunks()) == []
    assert bytes(Body()) == b""


def test_message_is_its_section_its_separator_and_its_body():
    message = Message(Headers([(b"A", b" 1")]), written(DATA, 0))
    assert bytes(message) == b"A: 1\r\n\r\n" + DATA
    assert message.size == 8 + len(DATA)
