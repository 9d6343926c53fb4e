"""Labelled mail is read from folders and archives, copies once."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from millrace.engine.errors import Misconfigured
from millrace.models.corpus import samples


def test_folder_and_archive_give_the_same_mails(corpus: Path, tmp_path: Path) -> None:
    packed = tmp_path / "corpus.tar.xz"
    with tarfile.open(packed, "w:xz") as archive:
        archive.add(corpus, arcname=".")
    folder = [(mail.spam, mail.digest) for mail in samples([corpus])]
    assert len(folder) == 160
    assert [(mail.spam, mail.digest) for mail in samples([packed])] == folder


def test_copies_with_the_same_letters_count_once(tmp_path: Path) -> None:
    (tmp_path / "ham").mkdir()
    (tmp_path / "ham" / "a.eml").write_bytes(b"Subject: x\n\nOrder 12 is here\n")
    (tmp_path / "ham" / "b.eml").write_bytes(b"Subject: y\n\norder 99\nis HERE!\n")
    assert len(list(samples([tmp_path]))) == 1


def test_mbox_line_is_dropped_before_parsing(tmp_path: Path) -> None:
    (tmp_path / "spam").mkdir()
    (tmp_path / "spam" / "a").write_bytes(b"From a@b Mon Jan 1\nSubject: real\n\nbody\n")
    (found,) = samples([tmp_path])
    assert found.message.headers.first(b"Subject") == b" real"


@pytest.mark.parametrize("content", [b"no archive at all", b""])
def test_broken_archive_is_the_operators_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar.xz").write_bytes(content)
    with pytest.raises(Misconfigured, match="cannot be read"):
        list(samples([tmp_path / "x.tar.xz"]))


def test_folder_without_labels_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"Subject: x\n\nx")
    with pytest.raises(Misconfigured, match="no labelled mail"):
        list(samples([tmp_path]))


def test_missing_path_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nowhere"):
        list(samples([tmp_path / "nowhere"]))
