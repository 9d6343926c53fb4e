"""The supervisor: watches over the children, and answers signals and the office.

One thread, one selector, no event loop: it must be quiet to fork, and must never hang.

    SIGTERM SIGINT   take no new mail, let those under way end; the second one ends at once
    SIGHUP           reload the policies and pipelines
    SIGUSR2          restart: settings and code anew, doors open all the while

It ends with 0 after a stop; when it could not start, with its children's status.

Fails: OSError when the system has no process or descriptor left.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.engine import history
from millrace.engine.app import Stand
from millrace.engine.census import Census
from millrace.engine.history import Asked
from millrace.engine.pending import pending
from millrace.engine.pipeline.plan import Plan
from millrace.engine.reload import Reloaded
from millrace.engine.settings import Settings
from millrace.engine.telemetry.merging import Family, lasting
from millrace.engine.workers import children as processes
from millrace.engine.workers import handover, office, telling
from millrace.engine.workers.channel import Data, Message
from millrace.engine.workers.children import Child
from millrace.engine.workers.handover import Estate, Rehearsal, Ward
from millrace.engine.workers.notify import Notify
from millrace.engine.workers.reloads import Reloads
from millrace.engine.workers.roster import OFFICE, Phase, Roster, Terms
from millrace.engine.workers.sockets import Bound
from millrace.engine.workers.staff import Staff, name
from millrace.engine.workers.surveys import Answers
from millrace.engine.workers.waiting import waited
from millrace.engine.workers.watch import Watch
from millrace.engine.workers.worker import Worker, as_json

_log = logging.getLogger("millrace.supervisor")
TICK_S = 0.25
HURRY_S = 0.01  # between two attempts to send what a child has yet to take
ASK_S = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Started:
    """Every child is ready: how each service fares, and what the first worker said of itself."""

    services: dict[str, dict[str, Any]]
    report: dict[str, Any]


class Supervisor:
    """`bounds` are the open doors, that of HTTP last; `started` hears once when all is ready."""

    def __init__(
        self,
        settings: Settings,
        plans: Mapping[str, Plan],
        workers: int,
        bounds: Sequence[Bound],
        watch: Watch,
        started: Callable[[Started], None],
    ) -> None:
        self._settings = settings
        self._bounds = list(bounds)
        self._doors = [bound for bound in bounds if bound.kind != "http"]
        self._started: Callable[[Started], None] | None = started
        self._selector = selectors.DefaultSelector()
        self._wakeup = socket.socketpair()
        slots = [*range(workers), *(OFFICE for bound in bounds if bound.kind == "http")]
        limits = settings.limits
        self._roster = Roster(slots, Terms(hung=limits.hung, drain=limits.drain), waited)
        self._census = Census(2 * workers + 2, len(self._doors))
        self._staff = Staff(self, self._roster, self._census, self._selector)
        self._reloads = Reloads(settings, plans, self._staff.ask_workers)
        self._watch = watch
        self._notify = Notify(os.environ)
        self._rehearsal: tuple[Rehearsal, Callable[[Data], None]] | None = None
        self._began = time.time()
        self._announcing = self._heir = False
        self._status = 0

    def inherit(self, estate: Estate, passed_by: Sequence[str] = ()) -> None:
        """What the supervisor before us left, and what keeps the files of now from serving."""
        self._reloads.pass_by(passed_by)
        self._heir = bool(estate.wards)
        self._staff.counted = list(estate.counted)
        self._roster.restarts = estate.restarts
        for ward in estate.wards:
            self._staff.adopt(ward)

    # --- the loop

    def run(self) -> int:
        """Until it is stopped and the last child has ended; the exit status."""
        for sock in self._wakeup:
            sock.setblocking(False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ, self._signalled)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
        while not (self._roster.stopping and not self._staff.children):
            self._turn()
        self._close_doors()
        return self._status

    def _turn(self) -> None:
        now = time.monotonic()
        for order in self._roster.due(now):
            self._staff.carry_out(order)
        self._staff.surveys.expire(now)
        self._notify.alive(now)
        self._look_at_rehearsal()
        if self._watch.due(now) and not self._roster.stopping:
            self._reload(lambda _: None, Asked("watch", "the files changed"))
        wait = HURRY_S if self._staff.send_the_rest() else TICK_S
        for key, _ in self._selector.select(wait):
            key.data()

    def _signalled(self) -> None:
        numbers = self._wakeup[0].recv(4096)
        self._staff.reap()  # SIGCHLD, perhaps among others
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self.stop()
            elif number == signal.SIGHUP:
                self._reload(lambda _: None, Asked("SIGHUP"))
            elif number == signal.SIGUSR2:
                self._restart(lambda _: None)

    def stop(self) -> None:
        """Let all of them leave; asked twice, end them."""
        if self._roster.stopping:
            self._staff.kill_all()
            return
        _log.info("stopping: no new mail is taken, mails under way end")
        self._notify.say("STOPPING=1")
        self._roster.stop()
        self._close_doors()

    def _close_doors(self) -> None:
        for bound in self._bounds:
            bound.close(unlink=True)

    # --- as an employer

    def life(self, slot: int, row: int) -> processes.Body:
        """A worker's, or the office's."""

        async def work(sock: socket.socket) -> None:
            given = {n: each for n, b in enumerate(self._doors) if (each := b.given(slot))}
            self._close_ours()
            stand = Stand(self._census.seat(row), given)
            await Worker(self._settings, self._reloads.plans, stand).run(sock)

        async def keep_office(sock: socket.socket) -> None:
            given = self._bounds[-1].given(0)
            self._close_ours()
            assert given is not None
            await office.run(sock, given, self._settings.http.address)

        return keep_office if slot == OFFICE else work

    def _close_ours(self) -> None:
        for bound in self._bounds:
            bound.close(unlink=False)

    def leave_behind(self) -> None:
        """In a new child."""
        self._selector.close()
        for sock in self._wakeup:
            sock.close()

    def heard(self, child: Child, message: Message) -> None:
        """What a child asks or tells."""
        data = message.get("data")
        if "ask" in message:
            self._asked(child, message["ask"], message["what"], data or {})
        elif message["tell"] == "ready":
            child.report = data or {}
            self._roster.ready(child.member, time.monotonic())
            self._announce()
        elif message["tell"] == "beat":
            child.report = data or {}
            self._inspect(child)
        else:  # counted, farewell
            child.counted = data or []

    def lost(self, child: Child, status: int) -> None:
        """A child died: another one takes its place, unless none has ever been ready."""
        if self._started is not None and not self._heir:
            self._status = status if status > 0 else processes.FAILED
            self.stop()
            return
        wait = self._roster.backoff(child.member.slot)
        soon = f"in {wait:.0f} s" if wait else "now"
        how = processes.end_word(status)
        _log.error("%s ended %s: another one starts %s", name(child), how, soon)

    def unborn(self, slot: int, error: OSError) -> None:
        """No child could be forked: later perhaps, unless none has ever been ready."""
        if self._started is not None and not self._heir:
            _log.error("no process can be started: %s", error)
            self._status = processes.AWAY
            self.stop()
            return
        wait = self._roster.backoff(slot)
        soon = f"in {wait:.0f} s" if wait else "now"
        _log.error("no process can be started for worker %d, tried again %s: %s", slot, soon, error)

    def _inspect(self, child: Child) -> None:
        """Replace a worker that has grown too large, or that a reload has passed by."""
        member, report = child.member, child.report
        if member.slot == OFFICE or member.outdated or member.phase is not Phase.SERVING:
            return
        limit = self._settings.limits.worker_memory
        if report["rss"] > limit and self._roster.outgrown(member, time.monotonic()):
            has, may = report["rss"] >> 20, limit >> 20
            words = "%s has %d MB in memory, above its limit of %d: another one takes its place"
            _log.warning(words, name(child), has, may)
        elif not self._reloads.busy and report["revisions"] != self._reloads.revisions:
            self._roster.replace(member)

    def _announce(self) -> None:
        """Say once that all are ready."""
        if self._announcing or not self._roster.complete:
            return
        self._announcing = True

        def say(answers: Answers) -> None:
            assert self._started is not None
            if not self._roster.serving:  # they ended meanwhile; those after them are told of
                self._announcing = False
                return
            pid = self._roster.serving[0].pid
            services = office.worst(answers.values())
            self._started(Started(services, self._staff.children[pid].report))
            self._started = None
            self._notify.say("READY=1", f"STATUS=revision {self._whole().revision}")

        self._staff.ask_workers("health", None, ASK_S, say)

    # --- what the office asks

    def _asked(self, child: Child, number: int, what: str, told: Mapping[str, str]) -> None:
        def answer(data: Data) -> None:
            child.end.send({"answer": number, "data": data})

        ask, roster, question = self._staff.ask, self._roster, (what, None)
        match what:
            case "metrics":
                ask(roster.working, question, ASK_S, lambda got: answer(self._metrics(got)))
            case "health":
                ask(roster.taking, question, ASK_S, lambda got: answer(self._health(got)))
            case "needs":  # all workers serve the same plans
                ask(roster.taking, question, ASK_S, lambda got: answer([*got.values(), []][0]))
            case "status":
                doors = [(bound.kind, str(bound.endpoint)) for bound in self._doors]
                living = self._staff.children.values()
                waits = pending(self._settings)
                answer(telling.status(self._whole(), living, doors, self._census, waits))
            case "reload":
                asked = Asked(told.get("who", ""), told.get("why", ""))
                self._reload(lambda outcome: answer(self._reloaded(outcome)), asked)
            case "restart":
                self._restart(answer)
            case _:
                answer(None)

    def _reloaded(self, outcome: Reloaded) -> dict[str, Any]:
        waits = pending(self._settings).as_json()
        return as_json(outcome) | {"rollback": self._whole().rollback} | waits

    def _metrics(self, answers: Answers) -> list[list[Family]]:
        """The figures of each: of those that did not answer, what they last counted."""
        children = self._staff.children
        own = telling.families(self._whole(), children.values(), self._census)
        living = [answers.get(pid, child.counted) for pid, child in children.items()]
        return [own, self._staff.counted, *living]

    def _health(self, answers: Answers) -> dict[str, Any]:
        taking = [member.pid for member in self._roster.taking]
        mute = [[_mute(pid)] for pid in taking if pid not in answers]
        return {
            "stopping": self._roster.stopping,
            "revision": self._whole().revision,
            "serving": len(taking) - len(mute),
            "workers": [*answers.values(), *mute],
        }

    def _whole(self) -> telling.Whole:
        return telling.Whole(
            version=importlib.metadata.version("millrace"),
            profile=self._settings.profile,
            pid=os.getpid(),
            began=self._began,
            revisions=self._reloads.revisions,
            rollback=history.is_rollback(self._settings, self._reloads.revisions),
            restarts=self._roster.restarts,
            stopping=self._roster.stopping,
            last_reload=self._reloads.last.result if self._reloads.last else "",
            reloads=self._reloads.counts,
            refusal=self._reloads.refusal,
        )

    # --- reload and restart

    def _reload(self, done: Callable[[Reloaded], None], asked: Asked) -> None:
        self._notify.reloading()

        def ended(outcome: Reloaded) -> None:
            self._notify.say("READY=1", f"STATUS=revision {self._whole().revision}")
            if waits := str(pending(self._settings)):
                _log.warning("a reload takes no settings: %s", waits)
            done(outcome)

        self._watch.read()
        self._reloads.ask(ended, asked)

    def _restart(self, done: Callable[[Data], None]) -> None:
        """Rehearse; the rest follows when the rehearsal has ended."""
        roster, own = self._roster, [bound for bound in self._bounds if not bound.socks]
        settled = roster.complete or roster.failing  # another version may be what mends it
        if self._rehearsal is not None or roster.stopping or not settled:
            self._refuse(done, "the daemon is starting, restarting or stopping")
        elif own:
            self._refuse(done, f"{own[0].endpoint} is libmilter's own, and cannot be handed over")
        else:
            self._rehearse(done)

    def _rehearse(self, done: Callable[[Data], None]) -> None:
        doors = [bound.key for bound in self._bounds]
        try:
            self._rehearsal = (Rehearsal(handover.command(), doors), done)
        except OSError as error:  # no interpreter any more, no process or descriptor left
            self._refuse(done, f"the new version cannot be started: {error}")

    def _refuse(self, done: Callable[[Data], None], problem: str) -> None:
        _log.error("restart refused, everything stays as it was: %s", problem)
        done(_refusal(problem))

    def _look_at_rehearsal(self) -> None:
        if self._rehearsal is None:
            return
        rehearsal, done = self._rehearsal
        problem = rehearsal.problem()
        if problem is None:
            return
        self._rehearsal = None
        if self._roster.stopping:
            problem = "the daemon is stopping"
        if problem:
            self._refuse(done, problem)
            return
        done({"result": "restarting", "problems": []})
        self._hand_over()

    def _hand_over(self) -> None:
        estate = Estate(
            [_ward(child) for child in self._staff.children.values()],
            {bound.key: bound.socks for bound in self._bounds},
            self._staff.counted,
            self._roster.restarts,
        )
        _log.info("restart: the new version takes over")
        signal.set_wakeup_fd(-1)
        try:
            handover.bequeath(estate, handover.command())
        except OSError as error:
            signal.set_wakeup_fd(self._wakeup[1].fileno(), warn_on_full_buffer=False)
            _log.error("restart failed, everything stays as it was: %s", error)


def _ward(child: Child) -> Ward:
    member, end = child.member, child.end
    leaving = member.phase is Phase.LEAVING
    return Ward(member.pid, member.slot, end.sock, leaving, end.halves, lasting(child.counted))


def _mute(pid: int) -> dict[str, Any]:
    trouble = f"no answer within {ASK_S:.0f} s"
    return {"name": f"worker {pid}", "where": f"pid {pid}", "ok": False, "trouble": trouble}


def _refusal(problem: str) -> dict[str, Any]:
    return {"result": "refused", "problems": [problem]}
