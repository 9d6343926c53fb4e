"""One connection's mails, walked through the plan.

    connect → helo → mail → rcpt… → message → settle

Six calls; each returns the verdict so far.  A front end that learns the header section
before the body may call `headers` in between; `message` does it otherwise.  Both front
ends, milter and SMTP, drive the same calls, so the same mail gets the same verdict.

A verdict that refuses ends the walk: later stages are neither run nor asked for.
Three scopes nest: the visit (one connection), the mail, the recipient.  What a refused
recipient brought goes with it.

Fails: only with `Bug`, when the calls come in an order that no protocol allows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from millrace.engine.errors import Bug
from millrace.engine.mail.address import Address
from millrace.engine.mail.author import Author
from millrace.engine.mail.edits import Edit, Edited, edited, readdressed
from millrace.engine.mail.envelope import Envelope, Recipient, Sender
from millrace.engine.mail.headers import Headers
from millrace.engine.mail.message import Listener, Message
from millrace.engine.mail.session import Helo, Login, Peer, Session, Tls
from millrace.engine.mail.stage import Stage
from millrace.engine.mail.trace import Run
from millrace.engine.mail.verdict import PASS, Verdict
from millrace.engine.pipeline.holding import holding, release
from millrace.engine.pipeline.identity import new_id
from millrace.engine.pipeline.plan import Node, Plan, Step
from millrace.engine.pipeline.run import Scope, Waiting, begin_node, finish_node, listeners
from millrace.engine.policy import judge
from millrace.engine.policy.decision import Decision, RecipientDecision
from millrace.engine.policy.judge import Act
from millrace.engine.ports import Clock


@dataclass(slots=True)
class Serving:
    """What all transactions share: the plan in force, ports for one mail, and the record's way.

    A reload replaces `plan`; transactions that have begun keep theirs.
    """

    plan: Plan
    ports: Callable[[], Mapping[str, Any]]
    clock: Clock
    decided: Callable[[Decision], None]

    def apart(self) -> Serving:
        """The same for now, but a reload does not reach its plan."""
        return Serving(self.plan, self.ports, self.clock, self.decided)


class Transaction:
    """The six calls.  `edits` and `edited` are there after `settle`."""

    def __init__(self, serving: Serving, listener: str) -> None:
        self._serving = serving
        self._listener = listener
        self._id = new_id(serving.clock.now())
        self._plan = serving.plan
        self._ports = holding(serving.ports())
        self._connected = Scope({})
        self._visit = self._connected
        self._mail: Scope | None = None
        self._clean()

    def _clean(self) -> None:
        self._in_hand = False
        self._taken: list[Recipient] = []
        self._recipients: list[RecipientDecision] = []
        self._refused: Scope | None = None
        self._own_edits: dict[str, list[Edit]] = {}  # of taken recipients, by filter
        self._own_acts: list[tuple[Address, tuple[Act, ...]]] = []  # of taken recipients
        self._spent = 0.0
        self._began = 0.0
        self._decided = False
        self.id = ""
        self.edits: tuple[Edit, ...] = ()
        self.edited: Edited | None = None

    @property
    def plan(self) -> Plan:
        """The plan that the present mail began with."""
        return self._plan

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """Those that were not refused."""
        return tuple(self._taken)

    def listeners(self, headers: Headers) -> Mapping[Hashable, Listener]:
        """Who wants to hear the body of the present mail while it arrives."""
        return listeners(self._plan.nodes, headers)

    # --- the visit

    async def connect(self, peer: Peer) -> Verdict:
        """A peer is there; starts the visit anew."""
        self._connected = Scope({"peer": peer, "listener": self._listener})
        self._visit = self._connected
        return await self._visit_stage(Stage.CONNECT)

    async def helo(self, helo: Helo) -> Verdict:
        """It said HELO or EHLO; what an earlier one brought is forgotten."""
        self._visit = self._connected.child()
        self._visit.values["helo"] = helo
        return await self._visit_stage(Stage.HELO)

    async def _visit_stage(self, stage: Stage) -> Verdict:
        self._clean()
        verdict = await self._arrive(self._plan.steps[stage], self._visit)
        if verdict.refuses:
            self._began, self.id = self._serving.clock.now(), self._id
            self._finish(self._visit, verdict)
        return verdict

    # --- the mail

    async def mail(
        self,
        sender: Sender,
        *,
        id: str = "",  # noqa: A002 - the field's own word
        tls: Tls | None = None,
        login: Login | None = None,
    ) -> Verdict:
        """A mail begins, on the plan that is in force now."""
        self._clean()
        release(self._ports)
        self._ports = holding(self._serving.ports())
        if self._serving.plan is not self._plan:
            await self._replay()
        self._began = self._serving.clock.now()
        self.id = id or new_id(self._began)
        self._mail = self._visit.child()
        self._mail.values |= {"sender": sender, "tls": tls, "login": login}
        return await self._mail_stage(Stage.MAIL)

    async def _replay(self) -> None:
        """The plan changed during the visit: measure it again, so that no mail mixes two."""
        self._plan = self._serving.plan
        known = self._visit.values
        peer = known.get("peer") or Peer("")
        self._visit = self._connected = Scope({"peer": peer, "listener": self._listener})
        await self._arrive(self._plan.steps[Stage.CONNECT], self._visit)
        if "helo" in known:
            self._visit = self._connected.child()
            self._visit.values["helo"] = known["helo"]
            await self._arrive(self._plan.steps[Stage.HELO], self._visit)

    async def rcpt(self, recipient: Recipient) -> Verdict:
        """One recipient; a refusal is of this recipient alone."""
        mail = self._begun()
        if not self._plan.recipient:
            return self._take(RecipientDecision(recipient, PASS, {}))
        scope = mail.child()
        scope.values["recipient"] = recipient
        verdict = await self._arrive(self._plan.recipient, scope)
        own = {name: fact for name, fact in scope.facts.items() if name not in mail.findings}
        acts = scope.acts[len(mail.acts) :]
        if verdict.refuses:
            self._refused = scope
            self._recipients.append(RecipientDecision(recipient, verdict, own, acts))
            return verdict
        if acts:
            self._own_acts.append((recipient.address, acts))
        for node in self._plan.recipient.nodes:
            mail.runs.setdefault(node.name, scope.runs[node.name])
            if node.name in scope.findings:
                self._own_edits.setdefault(node.name, []).extend(scope.findings[node.name].edits)
        return self._take(RecipientDecision(recipient, verdict, own, acts))

    def _take(self, decided: RecipientDecision) -> Verdict:
        self._taken.append(decided.recipient)
        self._recipients.append(decided)
        return decided.verdict

    async def headers(self, headers: Headers) -> Verdict:
        """The envelope is complete and the header section is here."""
        mail = self._begun()
        sender = mail.values["sender"]
        mail.values["envelope"] = Envelope(self.id, sender, tuple(self._taken))
        mail.values["headers"] = headers
        if self._plan.wants("from"):
            mail.values["from"] = Author.of(headers)
        return await self._mail_stage(Stage.HEADERS)

    async def message(self, message: Message) -> Verdict:
        """The whole mail is here; judged at the end of this call."""
        mail = self._begun()
        if "headers" not in mail.values:
            verdict = await self.headers(message.headers)
            if verdict.refuses:
                return verdict
        mail.values["message"] = message
        return await self._mail_stage(Stage.BODY)

    async def settle(self, *, in_hand: bool = False) -> Verdict:
        """For mail that we take: edits are applied, the archive and the signer run.

        Whoever has it `in_hand` after this says by `conclude` what became of it: then it ends.
        """
        mail = self._begun()
        began = time.perf_counter()
        verdict, score = mail.verdict, judge.score(mail.terms)
        if score:
            verdict = Verdict(verdict.action, verdict.reply, verdict.because, score)
        mail.values["verdict"] = verdict
        step = self._plan.steps[Stage.SETTLED]
        await self._nodes(step.nodes, mail)
        self.edits = tuple(self._edits(mail))
        if step.late and not mail.verdict.refuses:
            await self._settle_late(step.late, mail)
        self._spent += time.perf_counter() - began
        self._in_hand = in_hand and not mail.verdict.refuses
        if not self._in_hand:
            self._finish(mail, mail.verdict)
        return mail.verdict

    async def _settle_late(self, nodes: tuple[Node, ...], mail: Scope) -> None:
        """Run what sees the mail as it will be; what one adds (a signature), the next one sees."""
        values = mail.values
        values["edited"] = edited(values["envelope"], values["message"], self.edits)
        for node in nodes:
            await self._nodes((node,), mail)
            found = mail.findings.get(node.name)
            if found is not None and found.edits:
                self.edits = (*self.edits, *found.edits)
                mail_now: Edited = values["edited"]
                values["edited"] = edited(mail_now.envelope, mail_now.message, found.edits)
        self.edited = values["edited"]

    def conclude(self, verdict: Verdict | None = None) -> None:
        """The front end's last word: a limit of its own, or what became of the mail in its hand."""
        self._finish(self._begun(), verdict or self._begun().verdict)

    def abort(self) -> None:
        """The mail ends without a message: RSET, a new MAIL, a lost connection."""
        mail, self._mail = self._mail, None
        release(self._ports)
        if mail is None or self._decided:
            return
        self._mail = mail
        if self._in_hand:  # whoever had it knows no more either
            self._finish(mail, mail.verdict)
        elif self._recipients and not self._taken:
            verdicts = (entry.verdict for entry in self._recipients)
            self._finish(self._refused or mail, max(verdicts, key=lambda v: v.action))
        self._mail = None

    # --- how a stage goes

    def _begun(self) -> Scope:
        if self._mail is None:
            raise Bug("no mail has begun")
        return self._mail

    async def _mail_stage(self, stage: Stage) -> Verdict:
        mail = self._begun()
        verdict = await self._arrive(self._plan.steps[stage], mail)
        if verdict.refuses:
            self._finish(mail, verdict)
        return verdict

    async def _arrive(self, step: Step, scope: Scope) -> Verdict:
        if step:
            began = time.perf_counter()
            await self._nodes(step.nodes, scope)
            self._judge(step, scope)
            self._spent += time.perf_counter() - began
        return scope.verdict

    async def _nodes(self, nodes: Sequence[Node], scope: Scope) -> None:
        """Run them; as soon as one has to wait, the others go on beside it.

        Mostly none has to: the names are cached, and no task is made.
        """
        for at, node in enumerate(nodes, 1):
            waiting = begin_node(node, scope, self._ports, self._left())
            if waiting is None:
                continue
            if at == len(nodes):
                await finish_node(waiting)
            else:
                await self._beside(waiting, nodes[at:])
            return

    async def _beside(self, waiting: Waiting, others: Sequence[Node]) -> None:
        scope, ended = waiting.scope, asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            earlier: dict[str, Awaitable[None]] = {waiting.node.name: ended}
            for node in others:  # topological order: predecessors exist already
                before = [earlier[name] for name in node.after if name in earlier]
                earlier[node.name] = group.create_task(self._run_after(before, node, scope))
            await finish_node(waiting)  # in the task that began it
            ended.set_result(None)

    async def _run_after(
        self, earlier: Sequence[Awaitable[None]], node: Node, scope: Scope
    ) -> None:
        for each in earlier:  # none of them fails, and most have ended
            await each
        await self._nodes((node,), scope)

    def _left(self) -> float:
        return self._plan.deadline - self._spent

    def _judge(self, step: Step, scope: Scope) -> None:
        if not step.weights and not step.rules:
            return
        now = self._serving.clock.now()
        if step.weights:
            scope.terms = [*scope.terms, *judge.terms(step.weights, scope.values, now)]
        if scope.ruling is not None or not step.rules:
            return
        scope.values["score"] = judge.score(scope.terms)
        rule, acts = judge.speak(step.rules, scope.values, now)
        scope.acts += acts
        if rule is not None:
            scope.ruling = judge.verdict(rule, scope.values)

    def _edits(self, mail: Scope) -> Iterator[Edit]:
        """All edits in the order of the file, then the rules'; each recipient's asked once."""
        yield from (found := list(self._filter_edits(mail)))
        if mail.acts or self._own_acts:
            yield from self._rule_edits(mail, found)

    def _rule_edits(self, mail: Scope, before: list[Edit]) -> Iterator[Edit]:
        own = [e for address, acts in self._own_acts for e in judge.edits(acts, [address])]
        yield from (own := list(dict.fromkeys(own)))
        envelope = Envelope(self.id, mail.values["sender"], tuple(self._taken))
        edited_now = readdressed(envelope, [*before, *own])
        yield from judge.edits(mail.acts, [each.address for each in edited_now.recipients])

    def _filter_edits(self, mail: Scope) -> Iterator[Edit]:
        for node in self._plan.nodes:
            if node.name in mail.findings:
                yield from mail.findings[node.name].edits
            yield from dict.fromkeys(self._own_edits.get(node.name, ()))

    # --- the record

    def _finish(self, scope: Scope, verdict: Verdict) -> None:
        if self._decided:
            return
        self._decided = True
        release(self._ports)
        self._serving.decided(self._decision(scope, verdict))

    def decision(self) -> Decision:
        """The record as it stands now, for whoever rehearses a mail."""
        scope = self._mail or self._visit
        return self._decision(scope, scope.verdict)

    def _decision(self, scope: Scope, verdict: Verdict) -> Decision:
        values = scope.values
        facts = scope.facts
        for entry in self._recipients:
            facts = {**entry.facts, **facts}
        message = values.get("message")
        runs = {**self._refused.runs, **scope.runs} if self._refused else scope.runs
        return Decision(
            id=self.id,
            time=self._began,
            revision=self._plan.revision,
            pipeline=self._plan.name,
            session=self._session(values),
            sender=values.get("sender"),
            recipients=tuple(self._recipients),
            verdict=verdict,
            total=judge.score(scope.terms),
            terms=tuple(scope.terms),
            facts=facts,
            edits=self.edits if verdict.action.takes else (),
            acts=scope.acts,
            runs=tuple(runs.get(n.name) or _not_reached(n) for n in self._plan.nodes),
            size=message.size if isinstance(message, Message) else 0,
            ms=self._spent * 1000,
        )

    def _session(self, values: Mapping[str, Any]) -> Session:
        peer = values.get("peer") or Peer("")
        helo, tls, login = values.get("helo"), values.get("tls"), values.get("login")
        return Session(self._id, self._listener, peer, helo, tls, login)


def _not_reached(node: Node) -> Run:
    return Run(node.name, node.label, "not-reached")
