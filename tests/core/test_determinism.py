"""The same events at the same times give the same decisions, also where Python shuffles its sets differently."""

import os
import subprocess
import sys
from hashlib import sha256
from itertools import count

import msgspec

from router.core import Engine, EventRejected
from router.core import events as e
from router.core.decisions import Decision, OfferCall
from router.core.model import AgentId, CallId, ClientId, Link, OrganisationDescription, Strategy, TeamId
from tests.core.builders import accepted, agent, client, declined, need, organisation, owned_by, portfolio, team


def centre() -> OrganisationDescription:
    """Forty agents of many kinds in four teams that help each other, and as many clients with owners and backups."""
    teams = [
        team(
            f"t{number}",
            backups=tuple(Link(TeamId(f"t{other}"), 10 + other) for other in range(4) if other != number),
            strategy=tuple(Strategy)[number],
            own_first=number % 2 == 0,
            cooldown_s=7,
        )
        for number in range(4)
    ]
    portfolios = [portfolio(f"p{number}", f"t{number}", owner_wait_s=90, max_wait_s=120) for number in range(4)]
    agents = [
        agent(f"A{number}", f"t{number % 4}", f"s{number % 5}:{number % 3 + 1} s{(number + 2) % 5}", after_s=number % 3)
        for number in range(40)
    ]
    clients = [
        client(
            f"K{number}",
            f"p{number % 4}",
            ownerships=owned_by(f"A{number * 7 % 40}", f"A{number * 3 % 40}", f"A{(number * 3 + 1) % 40}"),
            exclusions=(f"A{number * 11 % 40}",),
        )
        for number in range(40)
    ]
    return organisation(teams, portfolios, agents, clients)


def a_day() -> str:
    """A digest of all decisions and of two states of a day that follows from a few primes; some offers are declined."""
    engine = Engine(centre())
    digest = sha256()
    now_ms = 0
    numbers = count()

    def decide(event: e.Event) -> None:
        try:
            note(engine.handle(event, now_ms=now_ms))
        except EventRejected as rejected:
            digest.update(str(rejected).encode())

    def note(decisions: tuple[Decision, ...]) -> None:
        digest.update(msgspec.json.encode(decisions))
        for decision in decisions:
            if isinstance(decision, OfferCall):
                number = next(numbers)
                if number % 5 == 0:
                    decide(declined(decision))
                elif number % 7:
                    decide(accepted(decision))
                    decide(e.CallConnected(call_id=decision.call_id))

    for number in range(40):
        decide(e.AgentSignedIn(agent_id=AgentId(f"A{number}")))
        decide(e.AgentReady(agent_id=AgentId(f"A{number}")))
    for number in range(400):
        now_ms += 331 * (number % 13)
        note(engine.expire(now_ms))
        decide(
            e.CallArrived(
                call_id=CallId(f"C{number}"),
                client_id=ClientId(f"K{number * 17 % 50}"),
                skills=(need(f"s{number % 5}", number % 4 + 1, (5, 1)),) if number % 3 else (),
            )
        )
        decide(e.CallEnded(call_id=CallId(f"C{number - 60}")))
        if number == 150:
            digest.update(msgspec.msgpack.encode(engine.state_in_parts()[0]))
        if number % 29 == 0:
            decide(e.AgentNotReady(agent_id=AgentId(f"A{number % 40}")))
            decide(e.AgentReady(agent_id=AgentId(f"A{(number + 20) % 40}")))
        if number % 37 == 0:
            # From home, each time in another country: an agent of a kind not seen before.
            decide(e.AgentSignedOut(agent_id=AgentId(f"A{number % 40}")))
            country = "ABCDEFGHIJKLMNOPQ"[number // 37] + "X"
            decide(e.AgentSignedIn(agent_id=AgentId(f"A{number % 40}"), country=country))
            decide(e.AgentReady(agent_id=AgentId(f"A{number % 40}")))
        if number == 200:
            decide(e.OrganisationChanged(description=centre()))
    now_ms += 3_600_000
    note(engine.expire(now_ms))
    for number in range(0, 400, 50):
        digest.update(msgspec.json.encode(engine.explain(CallId(f"C{number}"), now_ms=now_ms)))
    digest.update(msgspec.json.encode(engine.summary(now_ms=now_ms)))
    state, past = engine.state_in_parts()
    digest.update(msgspec.msgpack.encode((state, *past)))
    return digest.hexdigest()


def test_decisions_do_not_depend_on_the_order_of_sets() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", "from tests.core.test_determinism import a_day; print(a_day())"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("0", "1", "2")
    ]

    digests = [run.communicate(timeout=60)[0].strip() for run in runs]

    assert len(digests[0]) == 64
    assert digests == [digests[0]] * 3
