"""An engine made again from its state is the engine that it was: in its state, and in whatever it decides from then on.

Random organisations and events, sensible and senseless, run through an engine. At random moments its state is written
down, read again and restored; both engines then go on side by side and must say the same of everything.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core import Engine, EventRejected, Limits, StateError
from router.core import decisions as d
from router.core import events as e
from router.core.deadlines import Deadlines
from router.core.decisions import Decision
from router.core.gates import Gates
from router.core.model import (
    AgentId,
    CallId,
    OrganisationDescription,
    Outcome,
    SiteId,
)
from router.core.months import OwnedAnswers, PlaceAnswers, PortfolioMonth
from router.core.moves import MoveBook, MoveRecord, MoveState, Stage, StageState
from router.core.roster import Roster
from router.core.snapshot import (
    LEFT_OUT,
    AgentState,
    CallState,
    EngineState,
    GroupState,
    PastCalls,
    PortfolioState,
    RosterState,
    TeamState,
)
from router.core.state import AgentRecord, CallRecord, Group, PortfolioRecord, SiteRecord, TeamRecord
from router.core.tallies import AnswerRecord, MonthRecord, OwnedRecord, Tallies
from router.core.waiting import WaitingRoom
from tests.core.builders import (
    SITE,
    Bench,
    agent,
    client,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
)
from tests.core.test_determinism import centre
from tests.core.test_properties import ACTIONS, AGENTS, Books, descriptions, play

_ENCODER = msgspec.msgpack.Encoder()
_STATE = msgspec.msgpack.Decoder(EngineState)
_PART = msgspec.msgpack.Decoder(PastCalls)


def written(engine: Engine, part_calls: int = 3) -> tuple[bytes, list[bytes]]:
    state, parts = engine.state_in_parts(part_calls=part_calls)
    return _ENCODER.encode(state), [_ENCODER.encode(part) for part in parts]


def read(description: OrganisationDescription, state: bytes, parts: list[bytes]) -> Engine:
    return Engine.restored(description, _STATE.decode(state), map(_PART.decode, parts))


def through_bytes(engine: Engine, description: OrganisationDescription) -> Engine:
    """The engine made again, whose state is the same to the byte."""
    state, parts = written(engine)
    again = read(description, state, parts)
    assert values(again) == values(engine), "the state changed on its way"
    assert written(again) == (state, parts), "equal states were written differently"
    return again


def values(engine: Engine) -> tuple[EngineState, list[PastCalls]]:
    state, parts = engine.state_in_parts()
    return state, list(parts)


class Twins:
    """Two engines side by side that must agree about everything; seen from outside they are one."""

    def __init__(self, description: OrganisationDescription, limits: Limits) -> None:
        self.description = description
        self.one = Engine(description, limits=limits)
        self.other = Engine(description, limits=limits)

    def snapshot(self) -> None:
        """One of the twins is made anew; it may have been so before."""
        self.other = through_bytes(self.other, self.description)

    def handle(self, event: e.Event, *, now_ms: int) -> tuple[Decision, ...]:
        answers: list[tuple[Decision, ...] | EventRejected] = []
        for engine in (self.one, self.other):
            try:
                answers.append(engine.handle(event, now_ms=now_ms))
            except EventRejected as rejected:
                answers.append(rejected)
        answer, other = answers
        if isinstance(answer, EventRejected):
            assert str(other) == str(answer)
            raise answer
        assert other == answer
        if isinstance(event, e.OrganisationChanged):
            self.description = event.description
        self.agree()
        return answer

    def expire(self, now_ms: int) -> tuple[Decision, ...]:
        decisions = self.one.expire(now_ms)
        assert self.other.expire(now_ms) == decisions
        self.agree()
        return decisions

    def next_deadline_ms(self) -> int | None:
        assert self.one.next_deadline_ms() == self.other.next_deadline_ms()
        return self.one.next_deadline_ms()

    def explain(self, call_id: CallId, *, now_ms: int) -> Any:
        one = self.one.explain(call_id, now_ms=now_ms)
        other = self.other.explain(call_id, now_ms=now_ms)
        if one is not None and other is not None and one.outcome is not None:
            # A past call is explained by the organisation as it was, or as it is, so its agents' answers may differ.
            assert msgspec.structs.replace(one, agents=()) == msgspec.structs.replace(other, agents=())
            chosen = [[a for a in x.agents if a.verdict == "chosen"] for x in (one, other)]
            assert chosen[0] == chosen[1]
        else:
            assert one == other
        return one

    def summary(self, *, now_ms: int) -> Any:
        assert self.one.summary(now_ms=now_ms) == self.other.summary(now_ms=now_ms)
        return self.one.summary(now_ms=now_ms)

    def agree(self) -> None:
        assert values(self.one) == values(self.other)
        self.next_deadline_ms()


OTHER_SITES = (site("iasi", "RO", seats=2), site("pescara", "IT", seats=1, training_rooms=("s1",)))
SEATS = st.sampled_from([None, "s1", "s2"])


@st.composite
def versions(draw: Callable[[Any], Any]) -> OrganisationDescription:
    """A version of the organisation that may lack agents, clients, a portfolio, a team or sites of another."""
    full = draw(descriptions())
    gone = set(draw(st.lists(st.sampled_from(AGENTS[1:]), max_size=2)))
    no_t2, no_p1 = draw(st.booleans()), draw(st.booleans())
    people = [
        person
        for person in full.agents
        if person.agent_id not in gone and not (no_t2 and person.team_id == "t2")
    ]  # fmt: skip
    there = {person.agent_id for person in people}
    teams = [
        msgspec.structs.replace(t, backups=tuple(link for link in t.backups if not (no_t2 and link.team_id == "t2")))
        for t in full.teams
        if not (no_t2 and t.team_id == "t2")
    ]
    t1_works = any(person.team_id in ("t1", "t0") for person in people)
    portfolios = [p for p in full.portfolios if not (no_p1 and p.portfolio_id == "p1") and t1_works]
    clients = [
        client(
            c.client_id,
            None if no_p1 and c.portfolio_id == "p1" else c.portfolio_id,
            ownerships=tuple(
                msgspec.structs.replace(
                    o,
                    owner=o.owner if o.owner in there else None,
                    backups=tuple(backup for backup in o.backups if backup in there),
                )
                for o in c.ownerships
            ),
            exclusions=tuple(who for who in c.exclusions if who in there),
        )
        for c in full.clients
    ]
    sites = draw(st.sampled_from([OTHER_SITES, OTHER_SITES, OTHER_SITES[:1], ()]))
    return organisation(teams, portfolios, people, clients, skills=full.skills, sites=(SITE, *sites))


STEPS = st.lists(
    st.one_of(
        ACTIONS,
        ACTIONS,
        ACTIONS,
        st.just(("snapshot",)),
        st.tuples(st.just("sit"), st.sampled_from(AGENTS), st.sampled_from(["iasi", "pescara", "laquila"]), SEATS),
        st.tuples(st.just("resume"), st.sampled_from([0, 0, 5_000, 600_000]), st.sampled_from([None, 1, 3])),
        st.tuples(st.just("reload"), st.integers(0, 2)),
    ),
    min_size=15,
    max_size=90,
)


@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(descriptions(), st.tuples(versions(), versions()), STEPS)
def test_a_restored_engine_decides_alike(
    first: OrganisationDescription, later: tuple[OrganisationDescription, ...], steps: list[tuple[Any, ...]]
) -> None:
    books = Books(first)
    twins = Twins(first, Limits(past_calls_max=4))
    books.engine = cast("Engine", twins)
    for agent_id in AGENTS:
        books.send(e.AgentSignedIn(agent_id=agent_id))
        books.send(e.AgentReady(agent_id=agent_id))

    for number, step in enumerate(steps):
        match step:
            case ("snapshot",):
                twins.snapshot()
            case ("sit", agent_id, site_id, seat):
                books.send(e.AgentSignedOut(agent_id=agent_id))
                books.send(e.AgentSignedIn(agent_id=agent_id, site_id=SiteId(site_id), seat=seat))
                if number % 2:
                    books.send(e.AgentReady(agent_id=agent_id))
            case ("resume", gap_ms, past_calls_max):
                books.now_ms += gap_ms
                if gap_ms and number % 2:
                    # What fell due meanwhile is not served yet.
                    twins.snapshot()
                limits = Limits(past_calls_max=past_calls_max) if past_calls_max is not None else None
                twins.handle(e.RouterResumed(epoch=number, limits=limits), now_ms=books.now_ms)
                books.enter(None, twins.expire(books.now_ms))
            case ("reload", which):
                books.send(e.OrganisationChanged(description=(first, *later)[which]))
            case _:
                play(books, [step])
    twins.snapshot()
    books.wait(61_000)


def test_past_calls_may_be_taken_while_the_engine_goes_on() -> None:
    """The parts hold the calls that were past when the state was taken, although they are forgotten meanwhile."""
    description = organisation([team("t")], [portfolio("p", "t")], [agent("A", "t")])
    bench = Bench(description, Limits(past_calls_max=3))
    bench.ready("A")
    for number in range(3):
        bench.talk(number, f"c{number}")
        bench.end(number, f"c{number}")
    calm = values(bench.engine)

    state, parts = bench.engine.state_in_parts(part_calls=2)
    for number in range(3, 9):
        bench.talk(number, f"c{number}")
        bench.end(number, f"c{number}")
    taken = list(parts)

    assert [[call.call_id for call in part] for part in taken] == [["c0", "c1"], ["c2"]]
    assert (state, [call for part in taken for call in part]) == (calm[0], list(calm[1][0]))


def test_states_of_equal_engines_are_equal_whatever_has_been_forgotten_in_their_heaps() -> None:
    """Heaps that were cleaned at other times, or read at other times, are the same queues."""
    description = organisation([team("t")], [portfolio("p", "t", max_wait_s=600)], [agent("A", "t"), agent("B", "t")])
    looked_at, left_alone = Bench(description), Bench(description)
    for bench in (looked_at, left_alone):
        bench.ready("A", "B")
        for number in range(200):
            offer = bench.talk(number, f"c{number}")
            bench.arrive(number, f"w{number}")
            bench.hang_up(number, f"w{number}")
            bench.end(number, offer.call_id)
            if bench is looked_at:
                bench.engine.next_deadline_ms()

    assert written(looked_at.engine) == written(left_alone.engine)
    assert written(through_bytes(looked_at.engine, description)) == written(left_alone.engine)


def test_deadlines_of_one_millisecond_are_served_in_the_order_in_which_they_were_set() -> None:
    """Also after a restore, and together with those set since."""
    teams = [team("t", offer_timeout_s=20, cooldown_s=0, misses_max=100)]
    description = organisation(teams, [portfolio("p", "t")], [agent("B", "t"), agent("A", "t")])
    bench = Bench(description)
    bench.ready("B")
    bench.ready("A", at=1)
    bench.arrive(5, "c1")
    bench.arrive(5, "c2")

    again = through_bytes(bench.engine, description)

    expired = bench.until(25)
    assert again.expire(25_000) == expired
    assert again.next_deadline_ms() == bench.engine.next_deadline_ms()
    assert [x.agent_id for x in expired if isinstance(x, d.WithdrawOffer)] == ["B", "A"]


def test_a_call_held_for_its_owner_is_let_go_when_the_owner_turns_to_a_pause() -> None:
    """The restored owner still knows of the calls that wait for nobody else."""
    teams = [team("t", wrap_up_s=30)]
    description = organisation(
        teams,
        [portfolio("p", "t", owner_wait_s=600)],
        [agent("A", "t"), agent("B", "t")],
        [client("K", "p", ownerships=owned_by("A"))],
    )
    bench = Bench(description)
    bench.ready("A")
    bench.talk(1, "c1", "K")
    bench.ready("B", at=2)
    bench.arrive(3, "c2", "K")
    assert bench.verdicts("c2")["B"] == "owner_hold"

    again = through_bytes(bench.engine, description)
    decisions = again.handle(e.AgentNotReady(agent_id=AgentId("A")), now_ms=4_000)

    assert offers(decisions) == {"c2": "B"}
    assert decisions == bench.pause(4, "A")


def test_an_agent_who_has_left_finishes_the_call_on_the_terms_of_the_old_team() -> None:
    """The team went too, and another of its name came; the old wrap-up holds, and both who left share a mean."""
    home = site("iasi", "RO")
    before = organisation(
        [team("t"), team("old", wrap_up_s=40, site_id="iasi")],
        [portfolio("p", "old", "t")],
        [agent("A", "t"), agent("X", "old"), agent("Y", "old")],
        sites=(SITE, home),
    )
    without = organisation([team("t")], [portfolio("p", "t")], [agent("A", "t")])
    people = [agent("A", "t"), agent("Z", "old")]
    after = organisation([team("t"), team("old", wrap_up_s=5)], [portfolio("p", "t")], people)
    bench = Bench(before)
    bench.ready("X")
    bench.ready("Y", at=1)
    bench.talk(2, "c1")
    bench.talk(3, "c2")
    bench.at(4, e.OrganisationChanged(description=without))
    bench.at(5, e.OrganisationChanged(description=after))

    again = through_bytes(bench.engine, after)
    state, _ = again.state_in_parts()

    assert [left.team.team_id for left in state.roster.left_teams] == ["old"]
    assert [left.site_id for left in state.roster.left_sites] == ["iasi"]
    for engine in (bench.engine, again):
        engine.handle(e.CallEnded(call_id=CallId("c1")), now_ms=60_000)
        assert engine.next_deadline_ms() == 100_000
        (release, sign_out) = engine.expire(100_000)
        assert isinstance(release, d.ReleaseAgent)
        assert isinstance(sign_out, d.SignOutAgent)
        assert sign_out.agent_id == "X"
    state, _ = again.state_in_parts()
    assert [left.handling.count for left in state.roster.left_teams] == [1]
    assert {told.team_id: told.handling.count for told in state.roster.teams} == {"old": 0, "t": 0}
    assert values(again) == values(bench.engine)


def test_who_sits_in_a_training_room_takes_no_seat_after_a_restore_either() -> None:
    sites = (SITE, site("iasi", "RO", seats=1, training_rooms=("aula-",)))
    people = [agent(name, "aquila", site_id=SiteId("iasi")) for name in "ABC"]
    description = organisation([team("aquila")], [portfolio("gold", "aquila")], people, sites=sites)
    bench = Bench(description)
    bench.sign_in(0, "A", seat="aula-1")

    engine = through_bytes(bench.engine, description)

    engine.handle(e.AgentSignedIn(agent_id=AgentId("B")), now_ms=3_000)
    with pytest.raises(EventRejected, match="all 1 seats"):
        engine.handle(e.AgentSignedIn(agent_id=AgentId("C")), now_ms=3_000)


def test_an_agent_on_a_site_that_went_and_came_back_holds_no_seat_of_the_new_one() -> None:
    without = organisation([team("t")], [portfolio("p", "t")], [agent("A", "t"), agent("B", "t")])
    sites = (SITE, site("iasi", "RO", seats=1))
    with_site = organisation([team("t")], [portfolio("p", "t")], [agent("A", "t"), agent("B", "t")], sites=sites)
    bench = Bench(with_site)
    bench.sign_in(0, "A", site_id=SiteId("iasi"), seat="s1")
    bench.at(1, e.OrganisationChanged(description=without))
    bench.at(2, e.OrganisationChanged(description=with_site))

    again = through_bytes(bench.engine, with_site)

    for engine in (bench.engine, again):
        engine.handle(e.AgentSignedIn(agent_id=AgentId("B"), site_id=SiteId("iasi"), seat="s1"), now_ms=3_000)
        engine.handle(e.AgentSignedOut(agent_id=AgentId("A")), now_ms=3_000)
        with pytest.raises(EventRejected, match="all 1 seats"):
            engine.handle(e.AgentSignedIn(agent_id=AgentId("A"), site_id=SiteId("iasi")), now_ms=3_000)
    assert values(again) == values(bench.engine)


def test_a_cooldown_of_a_call_that_is_over_is_no_deadline() -> None:
    description = organisation([team("t", cooldown_s=30)], [portfolio("p", "t")], [agent("A", "t")])
    bench = Bench(description)
    bench.ready("A")
    bench.decline(1, the_offer(bench.arrive(0, "c")))
    before = bench.engine.next_deadline_ms()

    bench.hang_up(2, "c")

    assert before == 31_000
    assert bench.engine.next_deadline_ms() == 43_200_000, "the presence lease alone is left"
    assert through_bytes(bench.engine, description).next_deadline_ms() == 43_200_000


def test_a_past_call_whose_portfolio_has_left_is_still_explained() -> None:
    before = organisation(
        [team("t"), team("u")],
        [portfolio("p", "t"), portfolio("old", "u", skills=(need("gold"),))],
        [agent("A", "t"), agent("B", "u", "gold"), agent("C", "u", "gold"), agent("D", "u")],
        [client("K", "old", ownerships=owned_by("B"), exclusions=("C",))],
    )
    after = organisation(
        [team("t"), team("u")],
        [portfolio("p", "t")],
        [agent("A", "t", "gold"), agent("C", "u", "gold"), agent("D", "u")],
    )
    bench = Bench(before)
    bench.ready("A", "B", "C", "D")
    bench.talk(1, "c", "K")
    bench.end(2, "c")
    bench.at(3, e.OrganisationChanged(description=after))
    steps = bench.explain("c").steps

    again = through_bytes(bench.engine, after)

    story = again.explain(CallId("c"), now_ms=4_000)
    assert story is not None
    assert (story.portfolio_id, story.outcome, story.steps) == ("old", Outcome.CONNECTED, steps)
    answers = {answer.agent_id: (answer.verdict, answer.detail) for answer in story.agents}
    assert answers == {
        "A": ("unknown", "portfolio old has left the organisation; whom it reached is not known"),
        "C": ("blocked", "excluded: not offered to this agent for good"),
        "D": ("lacks_skill", "the call needs gold at level 1; the agent does not have it"),
    }
    (summary,) = (p for p in again.summary(now_ms=4_000).portfolios if p.portfolio_id == "old")
    assert summary.outcomes[Outcome.CONNECTED] == 1


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (organisation([team("t")], [portfolio("p", "t")], [agent("A", "t"), agent("Z", "t")]), "agent 'Z'"),
        (organisation([team("t"), team("u")], [portfolio("p", "t")], [agent("A", "t")]), "team 'u'"),
        (organisation([team("t")], [portfolio("p", "t"), portfolio("q", "t")], [agent("A", "t")]), "portfolio 'q'"),
        (
            organisation(
                [team("t")], [portfolio("p", "t")], [agent("A", "t", "gold")], sites=(SITE, site("iasi", "IT"))
            ),
            "the agents of team 't'",
        ),
        (organisation([team("t")], [portfolio("p", "t")], [agent("A", "t")]), "site 'iasi'"),
    ],
)
def test_a_state_of_another_organisation_is_refused(other: OrganisationDescription, says: str) -> None:
    sites = (SITE, site("iasi", "IT"))
    bench = Bench(organisation([team("t")], [portfolio("p", "t")], [agent("A", "t")], sites=sites))
    bench.sign_in(0, "A", site_id=SiteId("iasi"))
    state, parts = bench.engine.state_in_parts()

    with pytest.raises(StateError) as refused:
        Engine.restored(other, state, parts)

    assert says in str(refused.value)
    assert "the description that was in force" in str(refused.value)


def test_every_attribute_is_kept_or_has_a_reason_to_be_left_out() -> None:
    """Whoever adds an attribute to the engine's state must say how it survives a restart."""
    engine = Engine(centre())
    if not hasattr(engine, "__dict__"):
        pytest.skip("a compiled engine does not tell its attributes; the same test runs on the interpreted one")
    roster = vars(engine)["_roster"]
    kept: dict[str, tuple[set[str], set[str]]] = {
        "CallRecord": (set(CallRecord.__slots__), set(CallState.__struct_fields__)),
        "AgentRecord": (set(AgentRecord.__slots__), set(AgentState.__struct_fields__)),
        "Group": (set(Group.__slots__), set(GroupState.__struct_fields__)),
        "TeamRecord": (set(TeamRecord.__slots__), set(TeamState.__struct_fields__)),
        "SiteRecord": (set(SiteRecord.__slots__), set()),
        "PortfolioRecord": (set(PortfolioRecord.__slots__), set(PortfolioState.__struct_fields__)),
        "Roster": (set(vars(roster)), {"_groups", *RosterState.__struct_fields__}),
        "WaitingRoom": (set(WaitingRoom.__slots__), set()),
        "Deadlines": (set(Deadlines.__slots__), {"heap", "_sequence"}),
        "Gates": (set(Gates.__slots__), set()),
        "MoveBook": (set(MoveBook.__slots__), set()),
        "MoveRecord": (set(MoveRecord.__slots__), set(MoveState.__struct_fields__)),
        "Stage": (set(Stage.__slots__), set(StageState.__struct_fields__)),
        "Tallies": (set(Tallies.__slots__), {"_months"}),
        "MonthRecord": (set(MonthRecord.__slots__), set(PortfolioMonth.__struct_fields__)),
        "AnswerRecord": (set(AnswerRecord.__slots__), set(PlaceAnswers.__struct_fields__)),
        "OwnedRecord": (set(OwnedRecord.__slots__), set(OwnedAnswers.__struct_fields__)),
        "Engine": (set(vars(engine)), {"_now", *(f"_{field}" for field in EngineState.__struct_fields__)}),
    }

    for name, (attributes, fields) in kept.items():
        left_out = LEFT_OUT.get(name, {})
        assert attributes - fields == set(left_out), f"{name}: say in router.core.snapshot how it comes back"
        assert all(left_out.values())
    assert LEFT_OUT.keys() == kept.keys()
    assert isinstance(roster, Roster)
