"""The third party's filter of contrib, installed as its users would and used by its name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
EXAMPLE = CHECKOUT / "contrib" / "example_filter"
PIPELINE = """
[[filter]]
use = "greeting"
ours = ["mx.example.org"]
"""


@pytest.fixture(scope="module")
def python_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, as pip puts it there."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    pip += ["--no-build-isolation", "--target", str(target), str(EXAMPLE)]
    subprocess.run(pip, check=True)
    return target


def millrace(python_path: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(python_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", "from millrace.engine.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_its_own_tests_pass(python_path: Path) -> None:
    environment = {"PYTHONPATH": str(python_path), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, str(EXAMPLE / "tests")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_a_pipeline_finds_it_by_name_and_it_refuses(python_path: Path, tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "greet.toml").write_text(PIPELINE)
    (tmp_path / "mail.eml").write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    (tmp_path / "zone.json").write_text("{}")
    arguments = ["mail.eml", "--pipeline", "greet", "--helo", "MX.example.org", "--ip", "192.0.2.7"]
    done = millrace(python_path, tmp_path, "explain", *arguments, "--dns", "zone.json", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["facts"]["greeting"] == {"forged": True}
    assert (result["action"], result["reply"]) == ("reject", "550 5.7.1 That is my name")
