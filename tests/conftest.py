"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


def _shared() -> Path | None:
    for folder in (CHECKOUT.parent, *CHECKOUT.parents):
        if (folder / "shared" / "data").is_dir():
            return folder / "shared" / "data"
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The published suites and corpora that stand beside the checkout."""
    found = _shared()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("the published suites (../shared/data) are missing, and CI must run them")
        pytest.skip("the published suites (../shared/data) are not beside this checkout")
    return found
