"""`millrace policy test`: the same as `millrace test`, among its siblings."""

from __future__ import annotations

from millrace.engine.cli.test import test as test
