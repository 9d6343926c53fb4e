"""The wheel, installed into an empty environment, is the whole program."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUPTOOLS = 77  # pyproject.toml asks for it
DATA = [
    "millrace/engine/py.typed",
    "millrace/engine/cli/templates/millrace.toml",
    "millrace/pipelines/inbound.toml",
    "millrace/policies/default.toml",
    "millrace/policies/default.test.toml",
    "millrace/models/shipped/default/manifest.json",
    "millrace/models/_words.abi3.so",
    "millrace/filters/spf.py",
]


def called(*arguments: str, cwd: Path, **more: str) -> str:
    quiet = {k: v for k, v in os.environ.items() if not k.startswith(("MILLRACE_", "PYTHON"))}
    done = subprocess.run(
        arguments, cwd=cwd, env=quiet | more, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    return built(tmp_path_factory)


def built(tmp_path_factory, **environment: str) -> Path:
    """Built from a copy of what the checkout holds, so that nothing is left behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = called("git", "ls-files", "-zco", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to((ROOT / name).readlink())
        elif (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
    new_enough = int(importlib.metadata.version("setuptools").split(".")[0]) >= SETUPTOOLS
    more = ["--no-isolation"] if new_enough else []  # else pip brings a newer one
    build = ("-m", "build", "--wheel", *more, "--outdir", str(out))
    called(sys.executable, *build, cwd=source, **environment)
    (made,) = out.glob("*.whl")
    return made


def test_wheel_holds_every_file_under_one_name(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in DATA if name not in names] == []
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"millrace"}
    assert [name for name in names if "test_" in name and name.endswith(".py")] == []


def test_one_wheel_serves_every_python_that_we_do(wheel):
    assert "-cp311-abi3-" in wheel.name


def test_without_a_compiler_only_what_is_written_in_c_is_left_out(wheel, tmp_path_factory):
    plain = built(tmp_path_factory, CC=shutil.which("false"))
    whole, rest = (set(zipfile.ZipFile(each).namelist()) for each in (wheel, plain))
    assert whole - rest == {"millrace/models/_words.abi3.so"}


def test_installed_program_runs_from_an_empty_environment(wheel, tmp_path):
    home, work = tmp_path / "env", tmp_path / "work"
    work.mkdir()
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (site,) = home.glob("lib/python*/site-packages")
    pip = ("-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "-q")
    called(sys.executable, *pip, str(wheel), cwd=work)
    # the libraries are those of this environment; millrace itself must come from the wheel
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = called(str(python), "-c", "import millrace.engine as e; print(e.__file__)", cwd=work)
    assert where.startswith(str(site))
    assert called(str(home / "bin/millrace"), "--version", cwd=work).startswith("millrace ")
    called(str(home / "bin/millrace"), "init", cwd=work)
    assert called(str(home / "bin/millrace"), "check", cwd=work).startswith("inbound: ")
