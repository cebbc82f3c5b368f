"""A new version of the organisation while calls are under way."""

from datetime import time
from typing import Any

import pytest

from router.core.decisions import FallbackCall, OfferCall, Rule, SignOutAgent, WithdrawOffer
from router.core.errors import Rejection
from router.core.events import AgentReady, AgentSignedIn, OrganisationChanged
from router.core.explain import Verdict
from router.core.model import (
    AgentId,
    AgentStatus,
    CallId,
    Client,
    Fallback,
    FallbackKind,
    Hours,
    OrganisationDescription,
    Outcome,
    SiteId,
    Strategy,
)
from tests.core.builders import (
    SITE,
    Bench,
    agent,
    client,
    link,
    need,
    offers,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
    the_offer,
    the_queueing,
)


def version(
    *agent_ids: str,
    clients: tuple[Client, ...] = (client("K1", "gold"),),
    teams: dict[str, Any] | None = None,
    **options: Any,
) -> OrganisationDescription:
    """Portfolio gold with team aquila; *options* are those of the portfolio, *teams* those of the team."""
    options = {"max_wait_s": None, **options}
    return organisation(
        [team("aquila", **(teams or {}))],
        [portfolio("gold", "aquila", **options)],
        [agent(agent_id, "aquila", "data") for agent_id in agent_ids],
        clients,
        skills=("data",),
    )


def changed(description: OrganisationDescription) -> OrganisationChanged:
    return OrganisationChanged(description=description)


# --- Waiting calls ---


def test_waiting_calls_keep_their_rank_whatever_the_new_version_says_of_head_starts() -> None:
    bench = Bench(version("ana", head_start_s=0))
    bench.arrive(0, "c2")
    bench.at(10, changed(version("ana", head_start_s=600)))
    bench.arrive(600, "c1")
    bench.arrive(600.001, "c3")
    bench.sign_in(601, "ana")

    assert offers(bench.back(601, "ana")) == {"c1": "ana"}
    assert offers(bench.hang_up(601, "c1")) == {"c2": "ana"}


def test_waiting_calls_keep_their_order_and_first_arrival() -> None:
    bench = Bench(version("ana"))
    bench.arrive(1, "c2")
    bench.arrive(2, "c1")

    assert bench.at(10, changed(version("ana"))) == ()
    bench.sign_in(11, "ana")
    offer = the_offer(bench.back(11, "ana"))

    assert (offer.call_id, offer.wait_ms) == ("c2", 10_000)


def test_waiting_call_finds_an_idle_agent_whom_the_new_version_lets_have_it() -> None:
    """Pia's team helps out from now on; at 25 s the call has waited long enough for her, by its first arrival."""

    def with_pescara(*links: Any) -> OrganisationDescription:
        return organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", *links), portfolio("silver", "pescara")],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )

    bench = Bench(with_pescara())
    bench.ready("pia")
    bench.arrive(0, "c1")
    bench.arrive(10, "c2")

    decisions = bench.at(25, changed(with_pescara(link("pescara", 20))))

    assert offers(decisions) == {"c1": "pia"}
    assert the_offer(decisions).wait_ms == 25_000
    assert bench.engine.next_deadline_ms() == 30_000


def test_waiting_calls_are_given_to_agents_of_the_new_version_in_order_of_rank() -> None:
    def served_by(*team_ids: str) -> OrganisationDescription:
        return organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", *team_ids)],
            [agent("ana", "aquila"), agent("pia", "pescara")],
        )

    bench = Bench(served_by("aquila"))
    bench.ready("pia")
    bench.arrive(0, "c1")
    bench.arrive(1, "c2", head_start_s=60)
    bench.arrive(2, "c3")

    assert offers(bench.at(5, changed(served_by("aquila", "pescara")))) == {"c2": "pia"}


def test_expected_wait_counts_the_agents_at_work_as_before() -> None:
    bench = Bench(version("ana", "bo", "cleo"))
    bench.ready("ana", "bo", "cleo")
    bench.talk(0, "a")
    bench.talk(0, "b")
    bench.pause(0, "cleo")
    bench.at(5, changed(version("ana", "bo", "cleo")))

    queued = the_queueing(bench.arrive(6, "c1"))

    assert (queued.rule, queued.expected_wait_ms) == (Rule.ALL_BUSY, 150_000)


def test_waiting_call_follows_a_new_owner() -> None:
    bench = Bench(version("ana", "bo", "cleo", clients=(client("K1", "gold", ownerships=owned_by("ana")),)))
    bench.arrive(0, "c1", "K1")
    new = (client("K1", "gold", ownerships=owned_by("bo")),)
    bench.at(5, changed(version("ana", "bo", "cleo", clients=new)))
    bench.sign_in(6, "bo")

    assert the_offer(bench.back(6, "bo")).rule is Rule.OWNER


def test_waiting_call_follows_its_client_into_another_portfolio() -> None:
    """Unless it was sent elsewhere, or the client is not in the new version: then it stays where it waits."""
    teams, people = [team("t0"), team("t1")], [agent("A0", "t0"), agent("A1", "t1")]
    portfolios = [portfolio("p0", "t0"), portfolio("p1", "t1")]
    bench = Bench(organisation(teams, portfolios, people, [client("K1", "p0"), client("K2", "p0")]))
    bench.arrive(0, "C1", "K1")
    bench.arrive(1, "C2", "K2")

    moved = organisation(teams, portfolios, people, [client("K1", "p1")])
    bench.at(2, OrganisationChanged(description=moved))

    views = [bench.engine.find(CallId(call_id)) for call_id in ("C1", "C2")]
    assert [view.portfolio_id for view in views if view is not None] == ["p1", "p0"]


def test_waiting_call_follows_new_exclusions() -> None:
    bench = Bench(version("ana", "bo"))
    bench.arrive(0, "c1", "K1")
    bench.at(5, changed(version("ana", "bo", clients=(client("K1", "gold", exclusions=("ana",)),))))
    bench.sign_in(6, "ana")

    assert bench.back(6, "ana") == ()
    assert bench.verdicts("c1")["ana"] is Verdict.BLOCKED


def test_waiting_call_follows_an_exclusion_taken_back() -> None:
    bench = Bench(version("ana", "bo", clients=(client("K1", "gold", exclusions=("ana",)),)))
    bench.ready("ana")
    bench.arrive(0, "c1", "K1")

    assert offers(bench.at(5, changed(version("ana", "bo")))) == {"c1": "ana"}


def test_cooldowns_outlast_a_new_version() -> None:
    bench = Bench(version("ana"))
    bench.ready("ana")
    bench.decline(1, the_offer(bench.arrive(0, "c1")))

    assert bench.at(5, changed(version("ana"))) == ()
    assert bench.until(30.999) == ()
    assert offers(bench.until(31)) == {"c1": "ana"}


def test_call_held_for_its_owner_is_released_where_owners_are_no_longer_waited_for() -> None:
    clients = (client("K1", "gold", ownerships=owned_by("ana")),)
    bench = Bench(version("ana", "bo", clients=clients, owner_wait_s=600))
    bench.ready("ana")
    bench.talk(0, "earlier")
    bench.ready("bo")
    assert the_queueing(bench.arrive(1, "c1", "K1")).rule is Rule.OWNER_HOLD

    assert offers(bench.at(5, changed(version("ana", "bo", clients=clients)))) == {"c1": "bo"}


def test_shorter_maximum_wait_sends_those_who_have_waited_longer_away() -> None:
    bench = Bench(version("ana"))
    bench.arrive(0, "c1")
    bench.arrive(50, "c2")

    (decision,) = bench.at(90, changed(version("ana", max_wait_s=60)))

    assert isinstance(decision, FallbackCall)
    assert (decision.call_id, decision.rule) == ("c1", Rule.MAX_WAIT)
    assert bench.engine.next_deadline_ms() == 110_000


def test_waiting_call_that_nobody_can_serve_any_more_falls_back() -> None:
    """Ana loses the skill that the call needs; Bo, who cannot be reached, has it."""

    def skilled(anas: str) -> OrganisationDescription:
        return organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila", fallback=Fallback(FallbackKind.NUMBER, "800")), portfolio("x", "pescara")],
            [agent("ana", "aquila", anas), agent("bo", "pescara", "data")],
        )

    bench = Bench(skilled("data"))
    bench.arrive(0, "c1", skills=(need("data"),))

    (decision,) = bench.at(5, changed(skilled("")))

    assert isinstance(decision, FallbackCall)
    assert (decision.kind, decision.rule) == (FallbackKind.NUMBER, Rule.UNSERVABLE)


def test_call_back_that_moves_to_a_portfolio_which_is_closed_stays_a_call_back() -> None:
    """Whether it is open counts for callers, who would wait in vain; a call-back is made when somebody is there."""
    never = (Hours(days=(), opens=time(8), closes=time(9)),)

    def skilled(anas: str) -> OrganisationDescription:
        return organisation(
            [team("aquila"), team("pescara")],
            [
                portfolio("gold", "aquila", fallback=Fallback(FallbackKind.PORTFOLIO, "silver")),
                portfolio("silver", "pescara", hours=never),
            ],
            [agent("ana", "aquila", anas), agent("pia", "pescara", "data")],
        )

    bench = Bench(skilled("data"))
    bench.arrive(0, "c1", skills=(need("data"),))
    bench.call_back(1, "c1")
    bench.at(5, changed(skilled("")))

    assert bench.queue("silver").callbacks_waiting == 1
    bench.sign_in(6, "pia")
    assert the_offer(bench.back(6, "pia")).callback


def test_calls_of_a_portfolio_that_is_no_more_go_to_the_clients_new_one_or_the_default() -> None:
    def with_portfolio(name: str) -> OrganisationDescription:
        return organisation(
            [team("aquila")],
            [portfolio("front", "aquila"), portfolio(name, "aquila")],
            [agent("ana", "aquila")],
            [client("K1", name), client("K2", "front")],
        )

    bench = Bench(with_portfolio("gold"))
    bench.arrive(0, "c1", "K1")
    bench.arrive(1, "c2", portfolio_id="gold")
    bench.at(5, changed(with_portfolio("platinum")))

    assert (bench.explain("c1").portfolio_id, bench.explain("c1").found_by) == ("platinum", "client")
    assert (bench.explain("c2").portfolio_id, bench.explain("c2").found_by) == ("front", "default")
    assert (bench.queue("gold").waiting, bench.queue("gold").arrived) == (0, 2)
    assert (bench.queue("platinum").waiting, bench.queue("front").waiting) == (1, 1)
    bench.hang_up(6, "c1")
    assert bench.queue("platinum").outcomes[Outcome.ABANDONED] == 1


# --- Agents ---


def test_removed_idle_agent_is_signed_out_and_forgotten() -> None:
    bench = Bench(version("ana", "bo"))
    bench.ready("ana")

    (decision,) = bench.at(5, changed(version("bo")))

    assert decision == SignOutAgent(agent_id=AgentId("ana"), rule=Rule.REMOVED, path=("team aquila", "agent ana"))
    assert bench.agents("aquila") == {}
    assert bench.refused(6, AgentSignedIn(agent_id=AgentId("ana"))).reason is Rejection.UNKNOWN_AGENT
    assert offers(bench.arrive(7, "c1")) == {}


def test_removed_agents_phone_stops_ringing_and_the_call_goes_on() -> None:
    bench = Bench(version("ana", "bo"))
    bench.ready("ana", "bo")
    offer = the_offer(bench.arrive(1, "c1"))

    withdrawn, sign_out, offered = bench.at(5, changed(version("bo")))

    assert isinstance(withdrawn, WithdrawOffer)
    assert (withdrawn.offer_id, withdrawn.agent_id, withdrawn.rule) == (offer.offer_id, "ana", Rule.REORGANISED)
    assert isinstance(sign_out, SignOutAgent)
    assert isinstance(offered, OfferCall)
    assert (offered.agent_id, offered.wait_ms) == ("bo", 4_000)


def test_removed_agent_finishes_the_conversation_in_peace() -> None:
    bench = Bench(version("ana", "bo", teams={"wrap_up_s": 30}))
    bench.ready("ana")
    bench.talk(1, "c1")

    assert bench.at(5, changed(version("bo", teams={"wrap_up_s": 30}))) == ()
    assert bench.agents("aquila") == {AgentStatus.IN_CALL: 1}
    assert bench.refused(6, AgentReady(agent_id=AgentId("ana"))).reason is Rejection.UNKNOWN_AGENT
    bench.end(60, "c1")
    assert bench.agents("aquila") == {AgentStatus.WRAP_UP: 1}
    bench.arrive(61, "c2")
    released = bench.until(90)

    assert [decision.rule for decision in released] == [Rule.WRAP_UP_OVER, Rule.REMOVED]
    assert bench.agents("aquila") == {}
    assert bench.refused(91, AgentSignedIn(agent_id=AgentId("ana"))).reason is Rejection.UNKNOWN_AGENT


def test_removed_agent_who_returns_in_a_later_version_starts_afresh() -> None:
    bench = Bench(version("ana", "bo"))
    bench.ready("ana")
    bench.at(5, changed(version("bo")))
    bench.at(6, changed(version("ana", "bo")))
    bench.ready("ana", at=7)

    assert offers(bench.arrive(8, "c1")) == {"c1": "ana"}


def test_new_agent_signs_in_and_takes_what_waits() -> None:
    bench = Bench(version("ana"))
    bench.arrive(0, "c1")
    bench.at(5, changed(version("ana", "bo")))
    bench.sign_in(6, "bo")

    assert offers(bench.back(6, "bo")) == {"c1": "bo"}


def test_agents_at_work_and_idle_go_on_as_they_were() -> None:
    bench = Bench(version("ana", "bo", "cleo"))
    bench.ready("cleo", at=0)
    bench.ready("bo", at=1)
    bench.ready("ana", at=2)
    bench.talk(3, "c1")

    bench.at(5, changed(version("ana", "bo", "cleo")))

    assert bench.agents("aquila") == {AgentStatus.IDLE: 2, AgentStatus.IN_CALL: 1}
    assert offers(bench.arrive(6, "c2")) == {"c2": "bo"}
    bench.arrive(7, "c3")
    bench.arrive(8, "c4")
    assert offers(bench.end(9, "c1")) == {"c4": "cleo"}


def test_idle_agent_who_changes_team_takes_that_teams_calls() -> None:
    def with_ana_in(team_id: str) -> OrganisationDescription:
        return organisation(
            [team("aquila"), team("pescara")],
            [portfolio("gold", "aquila"), portfolio("silver", "pescara")],
            [agent("ana", team_id), agent("bo", "aquila"), agent("pia", "pescara")],
        )

    bench = Bench(with_ana_in("aquila"))
    bench.ready("ana")
    bench.arrive(0, "s1", portfolio_id="silver")

    assert offers(bench.at(5, changed(with_ana_in("pescara")))) == {"s1": "ana"}
    assert bench.agents("pescara") == {AgentStatus.OFFERED: 1}
    assert bench.agents("aquila") == {}


def test_seats_stay_taken_and_the_site_follows_its_new_number_of_seats() -> None:
    def with_seats(seats: int) -> OrganisationDescription:
        return organisation(
            [team("aquila", site_id="small")],
            [portfolio("gold", "aquila")],
            [agent(name, "aquila") for name in ("ana", "bo", "cleo")],
            sites=(SITE, site("small", "IT", seats=seats)),
        )

    bench = Bench(with_seats(1))
    bench.ready("ana")
    assert bench.refused(1, AgentSignedIn(agent_id=AgentId("bo"))).reason is Rejection.SITE_FULL

    bench.at(2, changed(with_seats(2)))

    assert bench.sign_in(3, "bo") == ()
    assert bench.refused(4, AgentSignedIn(agent_id=AgentId("cleo"))).reason is Rejection.SITE_FULL


def test_training_room_that_becomes_part_of_the_floor_counts_from_then_on() -> None:
    def with_rooms(*rooms: str) -> OrganisationDescription:
        return organisation(
            [team("aquila", site_id="small")],
            [portfolio("gold", "aquila")],
            [agent(name, "aquila") for name in ("ana", "bo", "cleo")],
            sites=(SITE, site("small", "IT", seats=1, training_rooms=rooms)),
        )

    cleo = AgentSignedIn(agent_id=AgentId("cleo"))
    bench = Bench(with_rooms("aula-"))
    bench.sign_in(0, "ana", seat="aula-1")
    bench.sign_in(0, "bo", seat="A-17")

    bench.at(1, changed(with_rooms()))
    bench.sign_out(2, "bo")
    assert bench.refused(3, cleo).reason is Rejection.SITE_FULL
    bench.at(4, changed(with_rooms("aula-")))

    assert bench.sign_in(5, "cleo") == ()
    bench.sign_out(6, "ana")
    bench.sign_out(6, "cleo")
    assert bench.sign_in(7, "bo", seat="A-17") == ()
    assert bench.refused(8, cleo).reason is Rejection.SITE_FULL


@pytest.mark.parametrize("place", [{"country": "RO"}, {"site_id": SiteId("iasi")}])
def test_agent_still_sits_where_the_agent_sat_down(place: dict[str, Any]) -> None:
    """At home in Romania, or today at a site there. The team's own site is in Italy, where she may sit another day."""
    sites = (SITE, site("iasi", "RO"))
    description = organisation(
        [team("aquila")], [portfolio("gold", "aquila", max_wait_s=None)], [agent("ana", "aquila")], sites=sites
    )
    bench = Bench(description)
    bench.sign_in(0, "ana", **place)
    bench.back(0, "ana")
    bench.at(5, changed(description))

    (italian,) = bench.arrive(6, "c1", countries=("IT",))

    assert italian.rule is Rule.NOBODY_SIGNED_IN
    assert offers(bench.arrive(6, "c2", countries=("RO",))) == {"c2": "ana"}


def test_new_timeouts_and_strategies_apply_to_what_comes() -> None:
    bench = Bench(version("ana", "bo"))
    bench.ready("bo", at=0)
    bench.ready("ana", at=1)
    teams = {"strategy": Strategy.LEAST_OCCUPIED, "offer_timeout_s": 60}
    bench.at(5, changed(version("ana", "bo", teams=teams)))

    offer = the_offer(bench.arrive(10, "c1"))

    assert (offer.agent_id, offer.rule, offer.expires_at_ms) == ("bo", Rule.LEAST_OCCUPIED, 70_000)


# --- A version with problems ---


@pytest.mark.parametrize("broken", [version(), version("ana", fallback=Fallback(FallbackKind.PORTFOLIO, "nowhere"))])
def test_invalid_version_is_refused_and_nothing_has_changed(broken: OrganisationDescription) -> None:
    bench = Bench(version("ana", "bo"))
    bench.ready("ana")
    bench.talk(0, "c1")
    bench.arrive(1, "c2")

    rejected = bench.refused(5, changed(broken))

    assert rejected.reason is Rejection.ORGANISATION_INVALID
    assert "in the organisation" in rejected.detail
    assert offers(bench.end(6, "c1")) == {"c2": "ana"}
    assert bench.sign_in(7, "bo") == ()


def test_ringing_offer_that_the_new_version_forbids_is_taken_back() -> None:
    teams, portfolios = [team("t0")], [portfolio("p0", "t0")]
    people = [agent("A0", "t0"), agent("A1", "t0")]
    bench = Bench(organisation(teams, portfolios, people, [client("K1", "p0")]))
    bench.ready("A0")
    bench.ready("A1", at=1)
    first = the_offer(bench.arrive(2, "c1", "K1"))

    excluded = client("K1", "p0", exclusions=(AgentId("A0"),))
    decisions = bench.at(3, OrganisationChanged(description=organisation(teams, portfolios, people, [excluded])))

    assert first.agent_id == "A0"
    assert [(d.agent_id, d.rule) for d in decisions if isinstance(d, WithdrawOffer)] == [("A0", Rule.REORGANISED)]
    assert offers(decisions) == {"c1": "A1"}
