"""Faults of the services themselves, of the disk and of the clock."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import needs
from live.chaos.scene import Scene

from millrace.engine.chaos.scenarios import Scenario, Step
from millrace.engine.chaos.site import Site

pytestmark = pytest.mark.live
DISK = "24m"


def of_service(name: str, begin: Step, end: Step) -> Scenario:
    return Scenario(name, "", begin, end, service="real")


def test_redis_is_killed_and_comes_back_empty(scene: Scene) -> None:
    redis = scene.services.redis
    scene.drill(
        of_service("redis-killed", lambda _: redis.kill(), lambda _: redis.start() and None)
    )


def test_redis_stands_still_for_a_while(scene: Scene) -> None:
    def tell(number: signal.Signals) -> None:
        process = scene.services.redis.process
        assert process is not None
        os.kill(process.pid, number)

    scene.drill(
        of_service("redis-paused", lambda _: tell(signal.SIGSTOP), lambda _: tell(signal.SIGCONT))
    )


def test_redis_has_no_room_left(scene: Scene) -> None:
    def most(octets: str) -> None:
        scene.services.redis.says("config", "set", "maxmemory", octets)

    scene.drill(of_service("redis-full", lambda _: most("1"), lambda _: most("0")))


def test_name_servers_end_and_come_back(scene: Scene) -> None:
    names = scene.services.names
    scene.drill(of_service("dns-ended", lambda _: names.stop(), lambda _: names.start() and None))


def test_the_scanner_is_killed_in_the_midst_of_scans(scene: Scene) -> None:
    scene.virus = "defer"
    with_scanner = scene.services
    report = scene.drill(
        of_service(
            "clamd-killed",
            lambda _: with_scanner.kill_scanner(),
            lambda _: with_scanner.scan_again(),
        )
    )
    assert report.verdicts["defer"] > 0


@pytest.fixture
def small_disk(scene: Scene) -> Iterator[Path]:
    """The copy lives on a disk of its own."""
    scene.copy.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "drill", str(scene.copy)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own can be mounted by root only")
    yield scene.copy
    subprocess.run(["umount", "-l", str(scene.copy)], check=True)


def test_the_disk_has_no_room_left(scene: Scene, small_disk: Path) -> None:
    filler = small_disk / "filler"

    def fill(_: Site) -> None:
        with filler.open("wb", buffering=0) as out:
            while shutil.disk_usage(small_disk).free:
                out.write(bytes(min(shutil.disk_usage(small_disk).free, 1 << 16)) or b"\0")

    report = scene.drill(of_service("disk-full", fill, lambda _: filler.unlink()))
    assert report.verdicts["defer"] > 0


@pytest.mark.parametrize("jump", ["+1d", "-1h"])
def test_the_clock_jumps_forth_and_back(scene: Scene, tmp_path: Path, jump: str) -> None:
    program = needs("faketime", "faketime")
    told = subprocess.run(
        [program, "-m", "now", "env"], capture_output=True, text=True, check=True
    ).stdout
    library = next(line for line in told.splitlines() if line.startswith("LD_PRELOAD="))
    clock = tmp_path / "clock"
    clock.write_text("+0d\n")
    scene.environment = {
        "LD_PRELOAD": library.partition("=")[2],
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    report = scene.drill(
        of_service(f"clock{jump}", lambda _: clock.write_text(jump) and None, lambda _: None)
    )
    days = {str(record["time"])[:13] for record in report_records(scene)}
    assert len(days) > 1, "the clock did not jump"
    assert report.verdicts["accept"] > 0


def report_records(scene: Scene) -> list[dict[str, object]]:
    import json

    lines = (scene.copy / "decisions.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
