"""`millrace chaos` as an operator calls it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from live.parties import CLEAN, MILLRACE

pytestmark = pytest.mark.live
SETTINGS = 'profile = "development"\n[dns]\nzone = "zone.json"\n'


def chaos(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "millrace.toml").write_text(SETTINGS)
    (folder / "zone.json").write_text("{}")
    command = [*MILLRACE, "chaos", *arguments]
    return subprocess.run(command, cwd=folder, env=CLEAN, capture_output=True, text=True)


def test_a_killed_worker_is_drilled_on_what_init_would_write(tmp_path: Path) -> None:
    before = {"millrace.toml", "zone.json"}
    done = chaos(tmp_path, "worker-killed", "state-down", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.startswith("state-down      not run: the state is embedded"), done
    report = json.loads(done.stdout)
    assert report["broken"] == []
    assert report["taken_before"] > 0, report
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_list_says_what_can_not_be_drilled_here(tmp_path: Path) -> None:
    done = chaos(tmp_path, "--list")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker-killed   a worker gets SIGKILL\n" in done.stdout
    assert "dns-down        no name server is there (not here: all look-ups" in done.stdout


def test_a_misspelt_scenario_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    done = chaos(tmp_path, "worker-kiled")
    assert done.returncode == 2
    assert "worker-killed" in done.stderr
