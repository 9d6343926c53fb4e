"""A policy's own tests, run: by facts alone, or by a mail that is rehearsed.

Nothing leaves the machine: a case's DNS is what it gives, its clock stands, its state is in
memory, and paths count from the folder of the tests.  A red case stops a reload.

Fails: `Misconfigured` for tests that cannot be read; a case that cannot be tried is red.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from millrace.engine import plans
from millrace.engine.document import Document
from millrace.engine.mail.author import Author
from millrace.engine.mail.message import Message
from millrace.engine.mail.verdict import Action, Because
from millrace.engine.pipeline.graph import vocabulary
from millrace.engine.pipeline.plan import Plan
from millrace.engine.plans import Trial
from millrace.engine.policy import trial
from millrace.engine.policy.mailcase import MailCase
from millrace.engine.policy.trial import Outcome
from millrace.engine.rehearsal import PROBLEMS, Rehearsed, Theatre
from millrace.engine.rehearsal import Case as Visit
from millrace.engine.settings import Settings


def try_policy(settings: Settings, plan: Plan) -> Trial | None:
    """Run the tests that stand beside a plan's policy; None where there are none."""
    tests = plans.tests_of(settings, plan.policy.name)
    if not os.path.lexists(tests):
        return None
    cases = trial.load(Document.load(tests), vocabulary(plan.nodes))
    cases = tuple(case for case in cases if case.pipeline in ("", plan.name))
    outcomes = [_by_facts(plan, case) for case in cases if case.mail is None]
    mails = [case for case in cases if case.mail is not None]
    if mails:  # whoever asks may have a loop of its own, in which no other can run
        with ThreadPoolExecutor(1) as thread:
            walked = _by_mails(settings, plan, mails, tests.parent)
            outcomes += thread.submit(asyncio.run, walked).result()
    order = {id(case): at for at, case in enumerate(cases)}
    outcomes.sort(key=lambda outcome: order[id(outcome.case)])
    return Trial(str(tests), tuple(outcomes))


def _by_facts(plan: Plan, case: trial.Case) -> Outcome:
    return trial.explained(plan.policy, trial.try_case(plan.policy, case), case.given)


async def _by_mails(
    settings: Settings, plan: Plan, cases: list[trial.Case], folder: Path
) -> list[Outcome]:
    return [await _by_mail(settings, plan, case, folder) for case in cases]


async def _by_mail(settings: Settings, plan: Plan, case: trial.Case, folder: Path) -> Outcome:
    assert case.mail is not None
    theatre = Theatre(settings, plan)  # each case has a state of its own
    try:
        visit, found = await _walked(theatre, case.mail, folder)
    except PROBLEMS as error:
        words = str(error).splitlines()
        problem = f"cannot be tried: {words[0] if words else type(error).__name__}"
        return Outcome(case, Action.PASS, "", (), problem)
    finally:
        await theatre.close()
    because = found.verdict.because or Because("")
    outcome = trial.conclude(case, found.verdict.action, because.rule, found.decision.terms)
    return trial.explained(plan.policy, outcome, _values(visit, found))


async def _walked(theatre: Theatre, mail: MailCase, folder: Path) -> tuple[Visit, Rehearsed]:
    for before in mail.before:
        await theatre.rehearse(Visit.read(before, folder))
    visit = Visit.read(mail.visit, folder)
    return visit, await theatre.rehearse(visit)


def _values(visit: Visit, found: Rehearsed) -> Mapping[str, Any]:
    """What conditions saw, as far as the record tells."""
    session = found.decision.session
    values: dict[str, Any] = {
        "peer": session.peer,
        "helo": session.helo,
        "tls": session.tls,
        "login": session.login,
        "sender": found.decision.sender,
    }
    if visit.raw is not None:
        message = Message.parse(visit.raw)
        values |= {"message": message, "from": Author.of(message.headers)}
        values["headers"] = message.headers
    return values | dict(found.decision.facts)
