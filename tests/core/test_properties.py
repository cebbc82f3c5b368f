"""Whatever happens, in whatever order: what must hold after every single event.

Random organisations and random sequences of events, sensible and senseless, are played against the engine. The checks
look at the engine only through its decisions, its explanations and its summary, and keep books of their own.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core import Engine, EventRejected, Limits
from router.core import decisions as d
from router.core import events as e
from router.core.model import (
    AgentId,
    CallId,
    ClientId,
    Fallback,
    FallbackKind,
    Link,
    OfferId,
    OrganisationDescription,
    OwnerMode,
    Ownership,
    OwnerWait,
    PortfolioId,
    Relaxation,
    Skill,
    SkillNeed,
    Strategy,
    TeamId,
)
from tests.core.builders import agent, client, organisation, portfolio, team

AGENTS = [AgentId(f"A{i}") for i in range(6)]
CALLS = [CallId(f"C{i}") for i in range(12)]
CLIENTS = [ClientId(f"K{i}") for i in range(4)]


def _with_possible_owner_wait(options: dict[str, Any]) -> dict[str, Any]:
    """A strict wait, and one of no time, cannot be predicted."""
    if options["owner_mode"] is OwnerMode.STRICT or options["owner_wait_s"] == 0:
        return {**options, "owner_wait": OwnerWait.FIXED}
    return options


@st.composite
def descriptions(draw: Callable[[Any], Any]) -> OrganisationDescription:
    """Three teams that help each other after a while, two portfolios, six agents, four clients."""
    options = st.fixed_dictionaries(
        {
            "strategy": st.sampled_from(Strategy),
            "own_first": st.booleans(),
            "keep_idle": st.sampled_from([None, None, 0, 1]),
            "wrap_up_s": st.sampled_from([0, 5]),
            "cooldown_s": st.sampled_from([0, 7, 30]),
            "misses_max": st.sampled_from([1, 2]),
            "offer_timeout_s": st.sampled_from([3, 20]),
            "connect_timeout_s": st.just(4),
            "talk_lease_s": st.just(60),
            "presence_lease_s": st.sampled_from([40, 43_200]),
        }
    )
    teams = [
        team("t0", backups=(Link(TeamId("t1"), 10),), **draw(options)),
        team("t1", backups=(Link(TeamId("t0"), 10), Link(TeamId("t2"), 5)), **draw(options)),
        team("t2", **draw(options)),
    ]
    portfolio_options = st.fixed_dictionaries(
        {
            "owner_mode": st.sampled_from(OwnerMode),
            "owner_wait": st.sampled_from(OwnerWait),
            "owner_wait_s": st.sampled_from([0, 8, 400]),
            "owner_worth_s": st.sampled_from([3, 60, 5_000]),
            "max_wait_s": st.sampled_from([None, 12, 60]),
            "callback_max_wait_s": st.sampled_from([30, 600]),
            "head_start_s": st.sampled_from([0, 15]),
        }
    ).map(_with_possible_owner_wait)
    fallbacks = st.sampled_from([Fallback(FallbackKind.MESSAGE), Fallback(FallbackKind.CALLBACK)])
    portfolios = [
        portfolio("p0", "t0", fallback=draw(fallbacks), **draw(portfolio_options)),
        portfolio("p1", "t1", fallback=Fallback(FallbackKind.PORTFOLIO, "p0"), **draw(portfolio_options)),
    ]
    skills = st.sampled_from(["", "gold:1", "gold:3", "gold:2 data:1"])
    agents = [
        agent(agent_id, f"t{i % 3}", draw(skills) if i else "gold:3 data:2", after_s=draw(st.sampled_from([0, 0, 4])))
        for i, agent_id in enumerate(AGENTS)
    ]
    some = st.lists(st.sampled_from(AGENTS), max_size=2, unique=True).map(tuple)
    clients = [
        client(
            client_id,
            draw(st.sampled_from(["p0", "p1", None])),
            ownerships=(Ownership(owner=draw(st.sampled_from([None, *AGENTS])), backups=draw(some)),),
            exclusions=draw(some),
        )
        for client_id in CLIENTS
    ]
    return organisation(teams, portfolios, agents, clients, skills=("gold", "data"))


NEEDS = st.sampled_from(
    [
        (),
        (SkillNeed(Skill("gold")),),
        (SkillNeed(Skill("gold"), 3, (Relaxation(6, 2), Relaxation(14, 0))),),
        (SkillNeed(Skill("data"), 9),),
        (SkillNeed(Skill("unheard-of")),),
    ]
)
AGENT_ACTS = st.sampled_from(["in", "ready", "ready", "ready", "pause", "out", "refresh"])
ACTIONS = st.one_of(
    st.tuples(st.just("arrive"), st.sampled_from(CALLS), st.sampled_from([None, *CLIENTS]), NEEDS),
    st.tuples(st.just("arrive at home"), st.sampled_from(CALLS), st.sampled_from(CLIENTS)),
    st.tuples(st.just("sign in abroad"), st.sampled_from(AGENTS)),
    st.tuples(st.just("agent"), AGENT_ACTS, st.sampled_from(AGENTS)),
    st.tuples(st.just("answer"), st.sampled_from(["accept", "accept", "accept", "decline", "miss"]), st.integers(0, 5)),
    st.tuples(st.just("stray"), st.sampled_from(AGENTS), st.sampled_from(CALLS), st.integers(1, 6)),
    st.tuples(
        st.just("call"),
        st.sampled_from(["connected", "ended", "ended", "abandoned", "callback", "transfer", "failed", "refresh"]),
        st.sampled_from(CALLS),
    ),
    st.tuples(st.just("wait"), st.sampled_from([500, 3_000, 10_000, 61_000])),
)  # fmt: skip


class Books:
    """What the decisions say, kept apart from the engine, and what must always hold of it."""

    def __init__(self, description: OrganisationDescription) -> None:
        self.description = description
        self.engine = Engine(description, limits=Limits(past_calls_max=1_000))
        self.now_ms = 0
        self.agent_of: dict[CallId, tuple[AgentId, OfferId]] = {}
        self.call_of: dict[AgentId, CallId] = {}
        self.live: set[CallId] = set()
        self.connected: set[CallId] = set()

    def send(self, event: e.Event) -> None:
        before = self.picture()
        try:
            decisions = self.engine.handle(event, now_ms=self.now_ms)
        except EventRejected:
            assert self.picture() == before, "a refused event changed something"
            return
        self.enter(event, decisions)
        self.check()

    def wait(self, milliseconds: int) -> None:
        until_ms = self.now_ms + milliseconds
        while (due_ms := self.engine.next_deadline_ms()) is not None and due_ms <= until_ms:
            self.now_ms = max(self.now_ms, due_ms)
            self.enter(None, self.engine.expire(self.now_ms))
            self.check()
        self.now_ms = until_ms

    def picture(self) -> tuple[object, ...]:
        explanations = tuple(self.engine.explain(call_id, now_ms=self.now_ms) for call_id in CALLS)
        return self.engine.summary(now_ms=self.now_ms), explanations, self.engine.next_deadline_ms()

    def enter(self, event: e.Event | None, decisions: tuple[d.Decision, ...]) -> None:
        if isinstance(event, e.CallArrived):
            self.live.add(event.call_id)
        if isinstance(event, e.CallConnected):
            self.connected.add(event.call_id)
        if isinstance(event, e.CallAbandoned | e.CallEnded):
            self.live.discard(event.call_id)
            if event.call_id in self.connected:
                self.release(event.call_id)
            elif event.call_id in self.agent_of:
                withdrawn = [x.call_id for x in decisions if isinstance(x, d.WithdrawOffer)]
                assert withdrawn == [event.call_id], "a phone rings on for a caller who has gone"
        if isinstance(event, e.CallTransferred | e.OfferDeclined | e.OfferMissed):
            self.release(event.call_id)
        for decision in decisions:
            match decision:
                case d.OfferCall(call_id=call_id, agent_id=agent_id, offer_id=offer_id):
                    assert call_id in self.live, "a call that is over was offered"
                    assert call_id not in self.agent_of, "a call was offered to a second agent"
                    assert agent_id not in self.call_of, "an agent was offered a second call"
                    assert decision.expires_at_ms > self.now_ms
                    assert decision.path[-1].endswith(agent_id)
                    self.agent_of[call_id] = (agent_id, offer_id)
                    self.call_of[agent_id] = call_id
                case d.WithdrawOffer(call_id=call_id, offer_id=offer_id):
                    if call_id in self.agent_of:
                        assert self.agent_of[call_id][1] == offer_id
                    self.release(call_id)
                case d.ConnectCall(call_id=call_id, agent_id=agent_id):
                    assert self.agent_of[call_id][0] == agent_id, "a call was connected to somebody else"
                case d.EndCall(call_id=call_id):
                    self.live.discard(call_id)
                    self.release(call_id)
                case d.FallbackCall(call_id=call_id, kind=FallbackKind.MESSAGE | FallbackKind.NUMBER):
                    self.live.discard(call_id)

    def release(self, call_id: CallId) -> None:
        self.connected.discard(call_id)
        if call_id in self.agent_of:
            del self.call_of[self.agent_of.pop(call_id)[0]]

    def check(self) -> None:
        summary = self.engine.summary(now_ms=self.now_ms)
        assert summary.calls_live == len(self.live), "a call was lost, or kept after its end"
        waiting = sum(p.waiting + p.callbacks_waiting for p in summary.portfolios)
        assert waiting == len(self.live) - len(self.agent_of), "a waiting call stands in no queue"
        # The engine stands still: nobody idle could have had one of the waiting calls.
        explanations = [self.engine.explain(call_id, now_ms=self.now_ms) for call_id in sorted(self.live)]
        for explanation in explanations:
            assert explanation is not None
            if explanation.call_id not in self.agent_of:
                assert explanation.status == "waiting"
                for answer in explanation.agents:
                    assert answer.verdict != "unknown", f"{answer.agent_id} is idle and may take {explanation.call_id}"
        due_ms = self.engine.next_deadline_ms()
        assert due_ms is None or due_ms > self.now_ms, "a deadline passed unserved"
        assert due_ms is not None or not self.call_of, "an offer or a conversation without a deadline"


def play(books: Books, actions: list[tuple[Any, ...]]) -> None:
    for action in actions:
        match action:
            case ("arrive", call_id, client_id, needs):
                books.send(e.CallArrived(call_id=call_id, client_id=client_id, skills=needs))
            case ("arrive at home", call_id, client_id):
                books.send(e.CallArrived(call_id=call_id, client_id=client_id, countries=("IT",)))
            case ("sign in abroad", agent_id):
                books.send(e.AgentSignedOut(agent_id=agent_id))
                books.send(e.AgentSignedIn(agent_id=agent_id, country="RO"))
                books.send(e.AgentReady(agent_id=agent_id))
            case ("agent", what, agent_id):
                kinds: dict[str, Callable[..., e.Event]] = {
                    "in": e.AgentSignedIn,
                    "ready": e.AgentReady,
                    "pause": e.AgentNotReady,
                    "out": e.AgentSignedOut,
                    "refresh": e.AgentRefreshed,
                }
                books.send(kinds[what](agent_id=agent_id))
            case ("answer", what, index):
                if books.agent_of:
                    call_id = sorted(books.agent_of)[index % len(books.agent_of)]
                    agent_id, offer_id = books.agent_of[call_id]
                    answers = {"accept": e.OfferAccepted, "decline": e.OfferDeclined, "miss": e.OfferMissed}
                    books.send(answers[what](agent_id=agent_id, call_id=call_id, offer_id=offer_id))
                    if what == "accept":
                        books.send(e.CallConnected(call_id=call_id))
            case ("stray", agent_id, call_id, number):
                books.send(e.OfferAccepted(agent_id=agent_id, call_id=call_id, offer_id=OfferId(f"o{number}")))
            case ("call", what, call_id):
                kinds = {
                    "connected": e.CallConnected,
                    "ended": e.CallEnded,
                    "abandoned": e.CallAbandoned,
                    "callback": e.CallbackRequested,
                    "transfer": e.CallTransferred,
                    "failed": e.ConnectFailed,
                    "refresh": e.CallRefreshed,
                }
                books.send(kinds[what](call_id=call_id))
            case ("wait", milliseconds):
                books.wait(milliseconds)
                continue
        books.wait(1)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(descriptions(), st.lists(ACTIONS, min_size=5, max_size=80))
def test_invariants_hold_after_every_event(
    description: OrganisationDescription, actions: list[tuple[Any, ...]]
) -> None:
    books = Books(description)
    for agent_id in AGENTS[:4]:
        books.send(e.AgentSignedIn(agent_id=agent_id))
        books.send(e.AgentReady(agent_id=agent_id))
        books.wait(1)

    play(books, actions)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(descriptions(), st.lists(ACTIONS, min_size=20, max_size=80), st.data())
def test_reload_and_restart_lose_nothing(
    description: OrganisationDescription, actions: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """A new version of the organisation, without one agent, or a restart in the middle: the books still agree."""
    books = Books(description)
    for agent_id in AGENTS:
        books.send(e.AgentSignedIn(agent_id=agent_id))
        books.send(e.AgentReady(agent_id=agent_id))
        books.wait(1)
    middle = len(actions) // 2

    play(books, actions[:middle])
    gone = data.draw(st.sampled_from(AGENTS[1:]))
    changed = organisation(
        description.teams,
        description.portfolios,
        [person for person in description.agents if person.agent_id != gone],
        [client(customer.client_id, customer.portfolio_id) for customer in description.clients],
        skills=description.skills,
    )
    books.send(e.OrganisationChanged(description=changed))
    books.wait(1)
    play(books, actions[middle:])
    books.now_ms += data.draw(st.sampled_from([1, 5_000, 600_000]))
    restarted = books.engine.handle(e.RouterResumed(epoch=2), now_ms=books.now_ms)
    for decision in restarted:
        assert isinstance(decision, d.OfferCall | d.ConnectCall)
        assert books.agent_of[decision.call_id][0] == decision.agent_id, "an offer changed hands in a restart"
    books.enter(None, books.engine.expire(books.now_ms))
    books.check()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(descriptions(), st.lists(ACTIONS, min_size=20, max_size=60))
def test_late_clocks_decide_alike(description: OrganisationDescription, actions: list[tuple[Any, ...]]) -> None:
    """Deadlines served one by one, or all together just before the next event, bring the same decisions."""
    prompt: list[object] = []
    late: list[object] = []
    for decisions, step_ms in ((prompt, 100), (late, None)):
        engine = Engine(description)
        now_ms = 0
        for number, event in enumerate(_events(actions)):
            target_ms = now_ms + 700 * (number % 9)
            while step_ms is not None and now_ms < target_ms:
                now_ms = min(target_ms, now_ms + step_ms)
                decisions.extend(engine.expire(now_ms))
            now_ms = target_ms
            decisions.extend(engine.expire(now_ms))
            try:
                decisions.extend(engine.handle(event, now_ms=now_ms))
            except EventRejected as rejected:
                decisions.append(str(rejected))

    assert prompt == late


def _events(actions: list[tuple[Any, ...]]) -> list[e.Event]:
    events: list[e.Event] = [e.AgentSignedIn(agent_id=a) for a in AGENTS] + [e.AgentReady(agent_id=a) for a in AGENTS]
    for action in actions:
        match action:
            case ("arrive", call_id, client_id, needs):
                events.append(e.CallArrived(call_id=call_id, client_id=client_id, skills=needs))
            case ("stray", agent_id, call_id, number):
                events.append(e.OfferAccepted(agent_id=agent_id, call_id=call_id, offer_id=OfferId(f"o{number}")))
            case ("agent", "pause", agent_id):
                events.append(e.AgentNotReady(agent_id=agent_id))
            case ("agent", _, agent_id):
                events.append(e.AgentReady(agent_id=agent_id))
            case ("call", "abandoned", call_id):
                events.append(e.CallAbandoned(call_id=call_id))
    return events


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(-30, 30)), min_size=2, max_size=25))
def test_rank_order_among_calls_that_reach_the_same_agent(arrivals: list[tuple[int, int]]) -> None:
    """One agent takes the waiting calls in the order of arrival less head start, ties by call id."""
    description = organisation(
        [team("t0", offer_timeout_s=600)], [portfolio("p0", "t0", max_wait_s=None)], [agent("A0", "t0")]
    )
    engine = Engine(description)
    ranks = {}
    for number, (second, head_start_s) in enumerate(sorted(arrivals)):
        call_id = CallId(f"C{number:02d}")
        now_ms = second * 1000
        engine.handle(e.CallArrived(call_id=call_id, head_start_s=head_start_s), now_ms=now_ms)
        ranks[call_id] = (now_ms - head_start_s * 1000, call_id)
    now_ms += 1
    engine.handle(e.AgentSignedIn(agent_id=AgentId("A0")), now_ms=now_ms)
    taken = []
    decisions = engine.handle(e.AgentReady(agent_id=AgentId("A0")), now_ms=now_ms)
    while decisions:
        (offer,) = (x for x in decisions if isinstance(x, d.OfferCall))
        taken.append(offer.call_id)
        decisions = engine.handle(e.CallAbandoned(call_id=offer.call_id), now_ms=now_ms)
        decisions = tuple(x for x in decisions if isinstance(x, d.OfferCall))

    assert taken == sorted(ranks, key=lambda call_id: ranks[call_id])


def test_time_never_goes_back() -> None:
    engine = Engine(organisation([team("t0")], [portfolio("p0", "t0")], [agent("A0", "t0")]))
    engine.handle(e.CallArrived(call_id=CallId("C0"), portfolio_id=PortfolioId("p0")), now_ms=1_000)

    with pytest.raises(AssertionError, match="time went back"):
        engine.handle(e.CallAbandoned(call_id=CallId("C0")), now_ms=999)
