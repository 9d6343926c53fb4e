"""The commit of a repository, read without git, compared with what git says."""

import shutil
import subprocess
from pathlib import Path

import pytest

from millrace.engine.store.commit import commit_of


def git(folder: Path, *arguments: str) -> str:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    (tmp_path / "policies").mkdir()
    return tmp_path


def test_commit_is_found_from_a_folder_below(repository):
    assert commit_of(repository / "policies") == git(repository, "rev-parse", "HEAD")


def test_packed_and_detached_heads_are_read_too(repository):
    head = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert commit_of(repository) == head
    git(repository, "checkout", "-q", "--detach")
    assert commit_of(repository) == head


def test_worktree_has_a_head_of_its_own(repository, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "tree"
    git(repository, "worktree", "add", "-q", "-b", "second", str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "second")
    assert commit_of(other) == git(other, "rev-parse", "HEAD")
    assert commit_of(other) != commit_of(repository)


def test_without_a_repository_or_a_commit_there_is_none(tmp_path):
    assert commit_of(tmp_path) == ""
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path) == ""
    (tmp_path / ".git/HEAD").write_bytes(b"\xff")
    assert commit_of(tmp_path) == ""
