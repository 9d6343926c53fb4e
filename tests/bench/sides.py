"""Two sides of one comparison, each under the same mails in turn.

A side is a filter that runs, with what it has cost since `reset`.  A machine's speed
changes by the second, so the two take turns and the ratio is the median of their rounds.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from millrace.engine.load.drive import Drive, Plan
from millrace.engine.load.mails import Mail
from millrace.engine.load.milter import MilterTalk, Script
from millrace.engine.load.timing import Outcome
from millrace.engine.net.endpoint import Endpoint

from . import processes
from .contenders import OURS, Contender
from .corpus import Corpus
from .daemon import Setting, daemon
from .peer_site import Site
from .peers import PEERS
from .stack import Stack, Target


@dataclass(frozen=True)
class Bench:
    """What all comparisons of one run share: mails, DNS, the core of the filters."""

    corpus: Corpus
    servers: str
    core: int
    reuse: int = 1
    folder: Path = Path(tempfile.gettempdir())

    @contextlib.contextmanager
    def site(self) -> Iterator[Site]:
        """A folder with its servers, for one comparison."""
        with (
            tempfile.TemporaryDirectory(prefix="millrace-bench-", dir=self.folder) as made,
            Stack(Path(made), self.core) as stack,
        ):
            Path(made).chmod(0o755)  # some peers run as users of their own
            yield Site(stack, self.corpus, self.servers)


@dataclass(frozen=True)
class Burst:
    """One round of a side: CPU ms a mail of the filter and of its helpers."""

    own_ms: float
    helpers_ms: Mapping[str, float]

    @property
    def all_ms(self) -> float:
        return self.own_ms + sum(self.helpers_ms.values())


class Side:
    """One filter under load, and what that has cost since `reset`."""

    def __init__(self, name: str, target: Target, mails: tuple[Mail, ...], reuse: int = 1) -> None:
        self.name = name
        self.target = target
        self._where = Endpoint.parse(target.address)
        self._scripts = [Script(mail, number) for number, mail in enumerate(mails)]
        self._reuse = reuse
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self.outcome = Outcome()
        self.wall = 0.0
        self.bursts: list[Burst] = []

    def burst(self, at_once: int) -> Burst:
        """The whole corpus once."""
        groups = {"": self.target.pids, **self.target.helpers}
        before = {name: processes.Spent.of(pids) for name, pids in groups.items()}
        seen = self._drive(at_once).run()
        spent = {
            name: earlier.since() * 1000 / max(seen.answered, 1) for name, earlier in before.items()
        }
        self.outcome, self.wall = self.outcome + seen, self.wall + seen.seconds
        self.bursts.append(Burst(spent.pop(""), spent))
        return self.bursts[-1]

    def _drive(self, at_once: int) -> Drive:
        scripts = self._scripts
        plan = Plan(at_once=at_once, mails=len(scripts))
        drive = Drive(self._where, lambda n: MilterTalk(scripts[n % len(scripts)]), plan)
        if self._reuse > 1:
            drive.reusing(self._reuse, lambda talk, n: talk.again(scripts[n % len(scripts)]))
        return drive

    @property
    def own_ms(self) -> float:
        """The middle round's CPU ms a mail, without helpers."""
        return statistics.median(burst.own_ms for burst in self.bursts)

    @property
    def helpers_ms(self) -> dict[str, float]:
        """The same of each helper."""
        names = self.target.helpers
        return {n: statistics.median(b.helpers_ms[n] for b in self.bursts) for n in names}

    @property
    def memory(self) -> processes.Memory:
        """What the filter's processes hold now."""
        return processes.memory(processes.tree(self.target.pids))


@dataclass(frozen=True)
class Pair:
    """Our pipeline and its peer, both running."""

    ours: Side
    theirs: Side

    def warm(self, greylisted: bool) -> None:
        """DNS answers, greylist triplets, code that was never run."""
        for side in (self.ours, self.theirs):
            side.burst(4)
        if greylisted:
            time.sleep(1.2)
            for side in (self.ours, self.theirs):
                side.burst(4)

    def rounds(self, count: int, at_once: int) -> None:
        """Take turns; who is first changes too."""
        for side in (self.ours, self.theirs):
            side.reset()
        for number in range(count):
            sides = (self.ours, self.theirs) if number % 2 else (self.theirs, self.ours)
            for side in sides:
                side.burst(at_once)

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, CPU with helpers, of each round."""
        both = zip(self.ours.bursts, self.theirs.bursts, strict=True)
        return [ours.all_ms / max(theirs.all_ms, 1e-6) for ours, theirs in both]


@contextlib.contextmanager
def pair(bench: Bench, contender: Contender) -> Iterator[Pair]:
    """Start both sides; raises Absent when the peer is not to be had."""
    with bench.site() as site:
        peer = PEERS.get(contender.peer)
        if peer is None:
            with (
                _ours(bench, site, OURS[contender.peer], "inet:0@127.0.0.1") as theirs,
                _ours(bench, site, contender, "inet:0@127.0.0.1") as ours,
            ):
                yield Pair(ours, theirs)
            return
        target = peer.start(site)
        mails = bench.corpus.mails[: peer.mails]
        prepared = tuple(map(_judged, mails)) if peer.results else mails
        theirs = Side(contender.peer, target, prepared, bench.reuse)
        unix = target.address.startswith("unix:")
        address = f"unix:{site.socket('millrace')}" if unix else "inet:0@127.0.0.1"
        with _ours(bench, site, contender, address, peer.mails) as ours:
            yield Pair(ours, theirs)


@contextlib.contextmanager
def _ours(
    bench: Bench, site: Site, contender: Contender, address: str, count: int | None = None
) -> Iterator[Side]:
    """A daemon with a pipeline, at the same kind of socket as its peer."""
    helpers: dict[str, tuple[int, ...]] = {}
    setting = Setting(contender.pipeline, address, bench.servers)
    if contender.redis:
        setting = replace(setting, state=f"redis://127.0.0.1:{site.redis.port}/1")
        helpers["redis"] = (site.redis.pid,)
    if contender.clamd:
        setting = replace(setting, pipeline=setting.pipeline.format(clamd=site.clamd.path))
        helpers["clamd"] = (site.clamd.pid,)
    folder = Path(tempfile.mkdtemp(prefix="ours-", dir=site.folder))
    with daemon(folder, setting, {bench.core}) as running:
        target = Target(running.address, (running.pid,), helpers)
        yield Side(contender.name, target, bench.corpus.mails[:count], bench.reuse)


def _judged(mail: Mail) -> Mail:
    """The mail with the word of an OpenDKIM before it."""
    domain = mail.sender.rpartition("@")[2]
    word = f"Authentication-Results: bench.example; dkim=pass header.d={domain}\r\n"
    return replace(mail, raw=word.encode() + mail.raw)
