import time

import msgspec
import pytest
from rich.console import Console

from router.core.model import AgentId, PortfolioId, TeamId
from router.core.organisation import Organisation
from router.reports.graph import (
    Absence,
    Absentee,
    GraphSummary,
    OddOwner,
    PortfolioLoss,
    RingReach,
    UnknownPortfolio,
    as_text,
    find_portfolio,
    summarise_graph,
)
from tests.core.builders import agent, link, need, organisation, portfolio, team


@pytest.fixture(scope="module")
def summary(small: Organisation) -> GraphSummary:
    return summarise_graph(small)


def shown(summary: GraphSummary, portfolio_id: str | None = None) -> str:
    console = Console(width=100, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(as_text(summary, portfolio_id))
    return capture.get()


def absence(summary: GraphSummary, kind: Absentee, who: str) -> Absence:
    return next(absence for absence in summary.absences if (absence.kind, absence.id) == (kind, who))


def loss(portfolio_id: str, first_s: int, then_s: int | None) -> PortfolioLoss:
    return PortfolioLoss(portfolio_id=PortfolioId(portfolio_id), first_s=first_s, then_s=then_s)


def odd(agent_id: str, team_id: str, portfolio_id: str, clients: int) -> OddOwner:
    return OddOwner(
        agent_id=AgentId(agent_id), team_id=TeamId(team_id), portfolio_id=PortfolioId(portfolio_id), clients=clients
    )


def test_everything_is_counted(summary: GraphSummary) -> None:
    assert msgspec.to_builtins(summary.counts) == {
        "sites": 2,
        "teams": 3,
        "agents": 6,
        "portfolios": 2,
        "clients": 6,
        "clients_owned": 4,
        "skills": 2,
        "languages": 2,
    }


def test_orphans_are_named(summary: GraphSummary) -> None:
    orphans = summary.orphans

    assert orphans.teams == ("z",)
    assert orphans.agents == ("Z1", "Z2")
    assert (orphans.clients_without_portfolio.count, orphans.clients_without_portfolio.first) == (1, ("C5",))
    assert orphans.owners_outside == (odd("Z1", "z", "gold", 2),)
    assert orphans.owners_unfit == (odd("A2", "a", "data", 1),)


def test_rings_list_who_meets_the_needs_from_when(summary: GraphSummary) -> None:
    data, gold = summary.portfolios

    assert gold.rings == (
        RingReach(after_s=0, teams=(TeamId("a"),), agents=2),
        RingReach(after_s=10, teams=(TeamId("a"),), agents=1),
        RingReach(after_s=20, teams=(TeamId("b"),), agents=1),
    )
    # C5 has no portfolio and counts for the default one.
    assert (gold.owner_team, gold.clients, gold.agents) == ("a", 4, 4)
    assert data.rings == (RingReach(after_s=20, teams=(TeamId("b"),), agents=1),)


def test_the_absence_of_the_only_one_leaves_a_portfolio_with_nobody(summary: GraphSummary) -> None:
    gone = absence(summary, Absentee.AGENT, "B1")

    assert gone.portfolios == (loss("data", 20, None),)
    assert gone.skills == ("data",)
    assert gone.languages == ()
    assert gone.unserved == ("data",)


def test_what_only_one_agent_can_do_is_named_even_if_no_portfolio_asks_for_it(summary: GraphSummary) -> None:
    gone = absence(summary, Absentee.AGENT, "A2")

    assert (gone.portfolios, gone.skills, gone.languages) == ((), (), ("fr",))


def test_agents_who_can_be_spared_are_not_listed(summary: GraphSummary) -> None:
    assert {a.id for a in summary.absences if a.kind is Absentee.AGENT} == {"A2", "B1"}


def test_a_teams_absence_delays_calls_until_another_team_is_reached(summary: GraphSummary) -> None:
    # Its backup edges stay open: they belong to the organisation, not to those who are away.
    assert absence(summary, Absentee.TEAM, "a").portfolios == (loss("gold", 0, 20),)
    assert absence(summary, Absentee.SITE, "south").portfolios == (loss("data", 20, None),)


def test_of_two_in_the_first_ring_either_may_be_away() -> None:
    pair = [agent("A1", "a", "gold"), agent("A2", "a", "gold")]
    alone = organisation(
        [team("a"), team("b")], [portfolio("p", "a", link("b", 30))], [*pair, agent("B1", "b", "gold")]
    )
    single = organisation(
        [team("a"), team("b")], [portfolio("p", "a", link("b", 30))], [pair[0], agent("B1", "b", "gold")]
    )

    spared, missed = (summarise_graph(Organisation(description)) for description in (alone, single))

    assert [a.id for a in spared.absences if a.kind is Absentee.AGENT] == []
    assert absence(missed, Absentee.AGENT, "A1").portfolios == (loss("p", 0, 30),)


def test_worst_absences_come_first(summary: GraphSummary) -> None:
    assert [(a.kind, a.id) for a in summary.absences] == [
        (Absentee.AGENT, "B1"),
        (Absentee.AGENT, "A2"),
        (Absentee.TEAM, "b"),
        (Absentee.TEAM, "a"),
        (Absentee.SITE, "south"),
        (Absentee.SITE, "north"),
    ]


def test_the_summary_survives_json(summary: GraphSummary) -> None:
    assert msgspec.json.decode(msgspec.json.encode(summary), type=GraphSummary) == summary


def test_the_text_names_what_is_wrong_and_what_breaks(summary: GraphSummary) -> None:
    text = shown(summary)

    assert "1 team (2 agents) that no portfolio reaches: z" in text
    assert "Z1 (2 clients of gold)" in text
    assert "B1  1 portfolio has nobody at all (data); nobody has data" in text
    assert "1 portfolio has nobody before 20 s (gold)" in text
    assert max(map(len, text.splitlines())) <= 100
    assert text.index("Out of reach") < text.index("If one agent is away") < text.index("Whom each portfolio reaches")


def test_the_text_of_one_portfolio_has_its_rings_and_what_it_depends_on(summary: GraphSummary) -> None:
    text = shown(summary, "data")

    assert "20 s       1       1  b" in text
    assert "if agent B1 is away: nobody at all" in text
    assert "gold" not in text


def test_a_misspelt_portfolio_is_answered_with_the_nearest(summary: GraphSummary, small: Organisation) -> None:
    with pytest.raises(UnknownPortfolio, match="no portfolio 'golf'; did you mean 'gold'"):
        as_text(summary, "golf")
    with pytest.raises(UnknownPortfolio, match="there are data, gold"):
        find_portfolio("xyz", small.portfolios)


def test_laquila_is_summarised_quickly_and_as_its_readme_says(laquila: Organisation) -> None:
    begun = time.perf_counter()
    summary = summarise_graph(laquila)
    taken_s = time.perf_counter() - begun

    assert taken_s < 3
    assert (summary.counts.teams, summary.counts.agents, summary.counts.portfolios) == (23, 460, 62)
    assert summary.orphans == msgspec.structs.replace(
        summary.orphans, teams=(), agents=(), owners_outside=(), owners_unfit=()
    )
    assert summary.orphans.clients_without_portfolio.count == 0
    gold = next(reach for reach in summary.portfolios if reach.portfolio_id == "gold-01")
    assert {ring.after_s for ring in gold.rings} >= {0, 20, 45, 60}
    assert gold.rings[0].teams == ("aquila-01",)
    assert gold.agents == 60
    assert len(absence(summary, Absentee.SITE, "aquila").portfolios) == 60
    assert absence(summary, Absentee.SITE, "roma").unserved == ("front-business", "front-consumer")
    assert absence(summary, Absentee.TEAM, "aquila-07").portfolios == tuple(
        loss(f"{market}-07", 0, 20) for market in ("business", "gold", "premium")
    )


def test_laquila_fits_a_screen_or_two(laquila: Organisation) -> None:
    text = shown(summarise_graph(laquila))

    assert len(text.splitlines()) < 50
    assert max(map(len, text.splitlines())) <= 100
    assert "aquila-01 ... aquila-20 (20 teams), each" in text
    assert "... 52 more of 62 portfolios" in text


def test_long_lists_are_cut_short() -> None:
    teams = [team(f"t{n:02}") for n in range(40)]
    description = organisation(
        [*teams, team("a")],
        [portfolio(f"p{n:02}", "a", skills=(need(f"s{n:02}"),)) for n in range(30)],
        [agent(f"A{n:02}", "a", f"s{n:02}") for n in range(30)],
    )

    text = shown(summarise_graph(Organisation(description)))

    assert "40 teams (0 agents) that no portfolio reaches: t00, t01, t02, t03, 36 more" in text
    assert "... 20 more of 30 agents whose absence breaks something" in text
    assert "... 20 more of 30 portfolios" in text
