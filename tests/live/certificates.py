"""A self-made certificate for live tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from conftest import needs


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for mx.rcpt.example, and its key."""
    made, key = folder / "cert.pem", folder / "key.pem"
    command = [needs("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    command += ["-subj", "/CN=mx.rcpt.example", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key
