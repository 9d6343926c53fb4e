"""Bounds of settings: which numbers can be meant, beyond their type.

A limit of nothing would refuse every mail, or wait for ever, without a word; so it is told
where the settings are read.

Fails: never; `trouble` gives a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping

WORKERS_MAX = 1000  # sockets are opened for each before any is forked
_BRIEFLY = 0.001
_LEAST: Mapping[str, float] = {
    "workers": 1,
    "dns.timeout": _BRIEFLY,
    "dns.tries": 1,
    "dns.budget": 1,
    "dns.cache_entries": 0,
    "state.connections": 1,
    "state.timeout": _BRIEFLY,
    "state.shadow": 0,
    "limits.connections": 1,
    "limits.per_client": 1,
    "limits.recipients": 1,
    "limits.mails": 1,
    "limits.idle": _BRIEFLY,
    "limits.hung": 2.0,  # workers say every second that they live
}
_MOST: Mapping[str, float] = {"workers": WORKERS_MAX}
_TIMES = ("timeout", "idle", "hung")


def trouble(name: str, value: object) -> str:
    """Why a value cannot be meant; "" when it can."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    unit = " s" if name.rpartition(".")[2] in _TIMES else ""
    least, most = _LEAST.get(name), _MOST.get(name)
    if least is not None and value < least:
        return f"wants {least:g}{unit} or more, not {value:g}"
    if most is not None and value > most:
        return f"wants {most:g}{unit} or less, not {value:g}"
    return ""
