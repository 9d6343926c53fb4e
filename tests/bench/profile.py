"""Where our time goes: the daemon under cProfile, its own time summed by module.

The profiler makes calls dearer than work, so the shares mislead where functions are
small; the total of CPU time stands in the bench's own table.
"""

from __future__ import annotations

import os
import pstats
import signal
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from . import processes
from .contenders import Contender
from .daemon import Setting, daemon
from .sides import Bench, Side
from .stack import Target

SHOWN = 14
ROUNDS = 3
WRITTEN_S = 1.0  # a worker that is at rest has written by then


def table(bench: Bench, contender: Contender) -> str:
    """The dearest modules and functions of one pipeline, in shares of our own time."""
    with bench.site() as site, tempfile.TemporaryDirectory(prefix="millrace-profile-") as made:
        setting = Setting(contender.pipeline, servers=bench.servers, profiled=True)
        if contender.redis:
            setting = replace(setting, state=f"redis://127.0.0.1:{site.redis.port}/1")
        if contender.clamd:
            setting = replace(setting, pipeline=setting.pipeline.format(clamd=site.clamd.path))
        with daemon(Path(made), setting, {bench.core}) as running:
            side = Side("profiled", Target(running.address, (running.pid,)), bench.corpus.mails)
            side.burst(10)
            _turn(running.pid)  # imports and the first mails are not asked for
            for _ in range(ROUNDS):
                side.burst(10)
            _turn(running.pid)
            time.sleep(WRITTEN_S)
        stats = _busiest(Path(made))
    return summary(stats, ROUNDS * len(bench.corpus.mails))


def _turn(pid: int) -> None:
    """On, or off and written, in the children: the supervisor itself takes no mail."""
    for child in processes.tree([pid]) - {pid}:
        os.kill(child, signal.SIGUSR1)


def _busiest(folder: Path) -> pstats.Stats:
    """The profile of the worker, beside that of an office that answers nobody."""
    found = (pstats.Stats(str(path)) for path in folder.glob("profile.*"))
    return max(found, key=lambda stats: stats.total_calls)  # type: ignore[attr-defined]


def summary(stats: pstats.Stats, mails: int) -> str:
    """Two columns: modules, and functions with their calls for each mail."""
    modules: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for (file, _, name), (_, count, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        if "poll" in name and file == "~":
            continue  # waiting
        module = _module(file, name)
        modules[module] += own
        functions[f"{module}: {name}"] += own
        calls[f"{module}: {name}"] += count
    whole = modules.total() or 1.0
    told = ["    of our own time, by module" + " " * 24 + "by function (calls a mail)"]
    for (module, spent), (function, own) in zip(
        modules.most_common(SHOWN), functions.most_common(SHOWN), strict=False
    ):
        each = calls[function] / max(mails, 1)
        told.append(
            f"    {spent / whole * 100:5.1f} %  {module:40} "
            f"{own / whole * 100:5.1f} %  {function[-56:]} ({each:.1f})"
        )
    return "\n".join(told)


def _module(file: str, name: str) -> str:
    if file == "~":
        words = name.strip("<>{}").replace("built-in method ", "").replace("method ", "").split()
        return f"C {words[0].strip(chr(39)).rpartition('.')[0] or 'builtins'}"
    path = Path(file)
    for top in ("millrace", "site-packages"):
        if top in path.parts:
            at = len(path.parts) - 1 - path.parts[::-1].index(top)
            return "/".join(path.parts[at + 1 :]).removesuffix(".py")
    return path.stem
