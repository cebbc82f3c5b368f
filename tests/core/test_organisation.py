"""The organisation as a graph: what it compiles to, and what can be wrong with it."""

from datetime import date, time
from itertools import pairwise
from typing import Any

import pytest

from router.core.errors import OrganisationError, Problem
from router.core.model import (
    AgentId,
    Area,
    Contract,
    Fallback,
    FallbackKind,
    Hours,
    Membership,
    OrganisationDescription,
    Outcome,
    OwnerMode,
    Ownership,
    OwnerWait,
    PlacePolicy,
    PortfolioId,
    Segment,
    SharePeriod,
    SupplierId,
    Weekday,
)
from router.core.organisation import Organisation, ownership_on, satisfied_after_ms
from tests.core.builders import (
    SITE,
    SUPPLIER,
    Bench,
    agent,
    client,
    link,
    need,
    organisation,
    owned_by,
    portfolio,
    site,
    team,
)


def problems(description: OrganisationDescription) -> list[Problem]:
    with pytest.raises(OrganisationError) as caught:
        Organisation(description)
    return list(caught.value.problems)


def aquila(**options: Any) -> OrganisationDescription:
    """Team aquila with Ana serves portfolio gold; *options* replace what the description has."""
    fields: dict[str, Any] = {
        "teams": [team("aquila")],
        "portfolios": [portfolio("gold", "aquila")],
        "agents": [agent("ana", "aquila")],
        **options,
    }
    return organisation(**fields)


# --- Reach ---


def test_reach_is_the_shortest_way() -> None:
    """a - 20 -> b - 15 -> c, a - 40 -> c, and d by way of c: 35 + 0."""
    compiled = Organisation(
        organisation(
            [
                team("a", backups=(link("b", 20), link("c", 40))),
                team("b", backups=(link("c", 15),)),
                team("c", backups=(link("d"),)),
                team("d"),
                team("e"),
            ],
            [portfolio("gold", "a"), portfolio("silver", link("c", 5), "b")],
            [agent("ana", "a"), agent("bea", "b")],
        )
    )

    reaches = {route.team_id: route.reach_ms for route in compiled.routes[PortfolioId("gold")]}

    assert reaches == {"a": 0, "b": 20_000, "c": 35_000, "d": 35_000}
    assert [route.team_id for route in compiled.routes[PortfolioId("gold")]] == ["a", "b", "c", "d"]
    assert [(route.team_id, route.reach_ms) for route in compiled.routes[PortfolioId("silver")]] == [
        ("b", 0),
        ("c", 5_000),
        ("d", 5_000),
    ]


def test_routes_say_the_way_in_words() -> None:
    compiled = Organisation(
        organisation(
            [team("a", backups=(link("b", 20),)), team("b", backups=(link("c"),)), team("c")],
            [portfolio("gold", "a")],
            [agent("ana", "a")],
        )
    )

    routes = compiled.routes[PortfolioId("gold")]

    assert [route.hops for route in routes] == [
        ("portfolio gold", "team a"),
        ("portfolio gold", "team a", "after 20 s: team b"),
        ("portfolio gold", "team a", "after 20 s: team b", "team c"),
    ]


def test_portfolio_and_team_of_the_same_name_are_two_things() -> None:
    compiled = Organisation(organisation([team("gold")], [portfolio("gold", "gold")], [agent("ana", "gold")]))

    assert [route.hops for route in compiled.routes[PortfolioId("gold")]] == [("portfolio gold", "team gold")]


def test_teams_may_help_each_other_after_a_wait() -> None:
    """A cycle with a wait in it is harmless: reach is a shortest path."""
    compiled = Organisation(
        organisation(
            [team("a", backups=(link("b", 20),)), team("b", backups=(link("a"),))],
            [portfolio("gold", "a"), portfolio("silver", "b")],
            [agent("ana", "a"), agent("bea", "b")],
        )
    )

    assert [route.reach_ms for route in compiled.routes[PortfolioId("gold")]] == [0, 20_000]
    assert [route.reach_ms for route in compiled.routes[PortfolioId("silver")]] == [0, 0]


@pytest.mark.parametrize(("level", "after_ms"), [(3, 0), (9, 0), (2, 6_000), (1, 14_000), (0, 60_000)])
def test_need_is_met_after_the_first_step_that_is_enough(level: int, after_ms: int) -> None:
    assert satisfied_after_ms(need("gold", 3, (6, 2), (14, 1), (60, 0)), level) == after_ms


def test_need_that_never_relaxes_far_enough_is_never_met() -> None:
    assert satisfied_after_ms(need("gold", 3), 2) is None
    assert satisfied_after_ms(need("gold", 3, (6, 2)), 1) is None


def test_steps_of_a_relaxation_need_no_order() -> None:
    assert satisfied_after_ms(need("gold", 9, (14, 1), (6, 3)), 5) == 6_000


def test_ownership_by_utc_day() -> None:
    who = client(
        "K1",
        "gold",
        ownerships=(
            Ownership(owner=AgentId("ana"), valid_until=date(1970, 1, 2)),
            Ownership(owner=AgentId("bo"), valid_from=date(1970, 1, 3), valid_until=date(1970, 1, 4)),
        ),
    )
    day_ms = 86_400_000

    owners = [ownership_on(who, now_ms) for now_ms in (0, day_ms - 1, day_ms, 2 * day_ms, 3 * day_ms - 1, 3 * day_ms)]

    assert [ownership and ownership.owner for ownership in owners] == ["ana", "ana", None, "bo", "bo", None]


# --- Problems, each with its place and field ---


def test_sound_organisation_has_none() -> None:
    Organisation(aquila())


ANA = agent("ana", "aquila")
GOLD = portfolio("gold", "aquila")
AQUILA = team("aquila")
MORNING, NOON = time(8), time(12)
MARCH_1, MARCH_2 = date(2026, 3, 1), date(2026, 3, 2)
EU = Area(area_id="eu", members=(Membership("IT"),), where="eu")


def contract(contract_id: str, **options: Any) -> Contract:
    fields = {"company": "operator", "supplier_id": "own", "countries": ("IT",), "target_bp": 8_000, **options}
    return Contract(contract_id=contract_id, where=contract_id, **fields)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        # What stands twice.
        ({"sites": (SITE, SITE)}, ("sites entry 1", "site_id", "'laquila' stands twice, first in sites entry 1")),
        (
            {"suppliers": (SUPPLIER, SUPPLIER)},
            ("suppliers entry 1", "supplier_id", "'own' stands twice, first in suppliers entry 1"),
        ),
        ({"teams": [AQUILA, AQUILA]}, ("aquila", "team_id", "'aquila' stands twice, first in aquila")),
        ({"portfolios": [GOLD, GOLD]}, ("gold", "portfolio_id", "'gold' stands twice, first in gold")),
        ({"agents": [ANA, ANA]}, ("ana", "agent_id", "'ana' stands twice, first in ana")),
        (
            {"clients": [client("K1", "gold"), client("K1", None)]},
            ("K1", "client_id", "'K1' stands twice, first in K1"),
        ),
        (
            {"clients": [client("K1", "gold", callers=("p-1",)), client("K2", "gold", callers=("p-2", "p-1"))]},
            ("K2", "numbers", "one of the numbers stands twice, first in K1"),
        ),
        (
            {"segments": tuple(Segment(segment="b", portfolio_id=PortfolioId("gold"), where=w) for w in ("s1", "s2"))},
            ("s2", "segment", "'b' stands twice, first in s1"),
        ),
        # What is referred to and is not there.
        ({"teams": [team("aquila", site_id="x")]}, ("aquila", "site_id", "there is no site 'x'")),
        ({"teams": [team("aquila", supplier_id="x")]}, ("aquila", "supplier_id", "there is no supplier 'x'")),
        ({"teams": [team("aquila", backups=(link("x", 5),))]}, ("aquila", "backups", "there is no team 'x'")),
        ({"portfolios": [portfolio("gold", "aquila", "x")]}, ("gold", "teams", "there is no team 'x'")),
        (
            {"portfolios": [portfolio("gold", "aquila", skills=(need("x", 1, (5, 0)),))]},
            ("gold", "skills", "there is no skill 'x'"),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", fallback=Fallback(FallbackKind.PORTFOLIO, "x"))]},
            ("gold", "fallback", "there is no portfolio 'x'"),
        ),
        (
            {"segments": (Segment(segment="b", portfolio_id=PortfolioId("x"), where="s1"),)},
            ("s1", "portfolio_id", "there is no portfolio 'x'"),
        ),
        ({"agents": [ANA, agent("bo", "x")]}, ("bo", "team_id", "there is no team 'x'")),
        ({"agents": [ANA, agent("bo", "aquila", site_id="x")]}, ("bo", "site_id", "there is no site 'x'")),
        (
            {"agents": [ANA, agent("bo", "aquila", supplier_id=SupplierId("x"))]},
            ("bo", "supplier_id", "there is no supplier 'x'"),
        ),
        ({"agents": [ANA, agent("bo", "aquila", "x")], "skills": ()}, ("bo", "skills", "there is no skill 'x'")),
        ({"clients": [client("K1", "x")]}, ("K1", "portfolio_id", "there is no portfolio 'x'")),
        ({"clients": [client("K1", "gold", ownerships=owned_by("x"))]}, ("K1", "owner", "there is no agent 'x'")),
        (
            {"clients": [client("K1", "gold", ownerships=owned_by("ana", "x"))]},
            ("K1", "backups", "there is no agent 'x'"),
        ),
        ({"clients": [client("K1", "gold", exclusions=("x",))]}, ("K1", "exclusions", "there is no agent 'x'")),
        ({"default_portfolio": "x"}, ("organisation.toml", "default_portfolio", "there is no portfolio 'x'")),
        (
            {"default_portfolio": ""},
            ("organisation.toml", "default_portfolio", "is missing: unknown callers need a portfolio to go to"),
        ),
        ({"skills": ("x",)}, ("organisation.toml", "skills", "nobody has the skill 'x'")),
        # What makes no sense in itself.
        (
            {"portfolios": [GOLD, portfolio("silver")]},
            ("silver", "teams", "is empty: name the owner team first, then the teams that help"),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", fallback=Fallback(FallbackKind.NUMBER))]},
            ("gold", "fallback", "a fallback to a number needs the number as its target"),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", hours=(Hours((Weekday.MON,), NOON, MORNING),))]},
            ("gold", "hours", "closes at 08:00, before it opens at 12:00"),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", hours=(Hours((Weekday.MON,), NOON, NOON),))]},
            ("gold", "hours", "closes at 12:00, before it opens at 12:00"),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", owner_wait=OwnerWait.PREDICTED)]},
            (
                "gold",
                "owner_wait_s",
                "is 0, so that no call would ever be held: write the longest that a predicted wait may be",
            ),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", owner_wait=OwnerWait.PREDICTED, owner_mode=OwnerMode.STRICT)]},
            (
                "gold",
                "owner_wait",
                "nothing is predicted with owner_mode strict, which waits for as long as the owner is on shift",
            ),
        ),
        (
            {"portfolios": [portfolio("gold", "aquila", time_zone="Europe/Aquila")]},
            ("gold", "time_zone", "'Europe/Aquila' is not a time zone; write one such as 'Europe/Rome'"),
        ),
        (
            {"sites": (SITE, site("iasi", "RO", time_zone=""))},
            ("iasi", "time_zone", "'' is not a time zone; write one such as 'Europe/Rome'"),
        ),
        (
            {"clients": [client("K1", "gold", ownerships=owned_by("ana", valid_from=MARCH_1, valid_until=MARCH_1))]},
            ("K1", "valid_until", "must be later than valid_from"),
        ),
        (
            {
                "clients": [
                    client(
                        "K1",
                        "gold",
                        ownerships=(
                            *owned_by("ana", valid_from=MARCH_1),
                            *owned_by("ana", valid_until=MARCH_2),
                        ),
                    )
                ]
            },
            ("K1", "valid_from", "two ownerships of this client overlap in time"),
        ),
        # What never ends.
        (
            {"teams": [team("aquila", backups=(link("aquila"),))]},
            (
                "aquila",
                "backups",
                "aquila back each other up after 0 s, which never ends: give one of the links a wait (after_s), or "
                "name both teams in the portfolio",
            ),
        ),
        (
            {
                "teams": [
                    team("c", backups=(link("aquila"),)),
                    team("aquila", backups=(link("b"),)),
                    team("b", backups=(link("c"), link("aquila", 5))),
                ]
            },
            (
                "aquila",
                "backups",
                "aquila and b and c back each other up after 0 s, which never ends: give one of the links a wait "
                "(after_s), or name both teams in the portfolio",
            ),
        ),
        (
            {
                "portfolios": [
                    portfolio("gold", "aquila", fallback=Fallback(FallbackKind.PORTFOLIO, "silver")),
                    portfolio("silver", "aquila", fallback=Fallback(FallbackKind.PORTFOLIO, "gold")),
                ]
            },
            (
                "gold",
                "fallback",
                "the fallbacks of gold and silver lead round in a circle, which never ends: let one end in a number, "
                "a call-back or a message",
            ),
        ),
        # Places and contracts.
        ({"areas": (EU, EU)}, ("eu", "area_id", "'eu' stands twice, first in eu")),
        ({"place": PlacePolicy(area_id="eu", where="place")}, ("place", "area_id", "there is no area 'eu'")),
        (
            {"areas": (Area(area_id="eu", members=(Membership("GB", MARCH_2, MARCH_1),), where="eu"),)},
            ("eu", "members", "GB: until must be later than since"),
        ),
        (
            {"contracts": (contract("a", valid_until=MARCH_1), contract("a", valid_from=MARCH_1))},
            ("a", "contract_id", "'a' stands twice, first in a"),
        ),
        ({"contracts": (contract("a", supplier_id="x"),)}, ("a", "supplier_id", "there is no supplier 'x'")),
        ({"contracts": (contract("a", company="x"),)}, ("a", "company", "no portfolio is of company 'x'")),
        (
            {"contracts": (contract("a", valid_from=MARCH_2, valid_until=MARCH_2),)},
            ("a", "valid_until", "must be later than valid_from"),
        ),
        (
            {"contracts": (contract("a", period=SharePeriod.CONTRACT),)},
            ("a", "valid_from", "is missing: the share is kept from then on"),
        ),
        (
            {"contracts": (contract("a", amber_bp=9_000, red_bp=8_999),)},
            ("a", "red_bp", "must not be less than amber_bp: the warning before it is amber"),
        ),
        (
            {"contracts": (contract("a", time_zone="Rome"),)},
            ("a", "time_zone", "'Rome' is not a time zone; write one such as 'Europe/Rome'"),
        ),
        (
            {"contracts": (contract("a", valid_until=MARCH_2), contract("b", valid_from=MARCH_1))},
            ("b", "valid_from", "overlaps in time with contract 'a' of the same company and supplier"),
        ),
    ],
)
def test_problem_is_named_with_its_place_and_field(changes: dict[str, Any], problem: tuple[str, str, str]) -> None:
    assert problems(aquila(**changes)) == [Problem(*problem)]


# --- Portfolios that nobody could ever serve ---

NOBODY = (
    "nobody can serve portfolio 'gold': no agent in a team that it reaches has the skills, language and country it "
    "needs"
)


@pytest.mark.parametrize(
    "needs",
    [
        {"skills": (need("data", 2),)},
        {"language": "fr"},
        {"countries": ("RO",)},
        {"skills": (need("data"),), "language": "de"},
    ],
)
def test_portfolio_that_nobody_can_serve_is_a_problem(needs: dict[str, Any]) -> None:
    """Each of the two agents lacks something, and Pia, who has it all, cannot be reached."""
    description = organisation(
        [team("aquila"), team("pescara")],
        [portfolio("gold", "aquila", **needs)],
        [
            agent("ana", "aquila", "data", languages=("it",)),
            agent("bo", "aquila", languages=("de",)),
            agent("pia", "pescara", "data:9", languages=("de", "fr", "it"), site_id="iasi"),
        ],
        sites=(SITE, site("iasi", "RO")),
    )

    assert problems(description) == [Problem("gold", "teams", NOBODY)]


@pytest.mark.parametrize(
    "needs",
    [
        {"skills": (need("data", 9, (600, 1)),)},
        {"language": "de"},
        {"countries": ("DE", "RO")},
    ],
)
def test_portfolio_that_somebody_in_a_backup_team_can_serve_after_a_while_is_sound(needs: dict[str, Any]) -> None:
    Organisation(
        organisation(
            [team("aquila", backups=(link("pescara", 600),)), team("pescara")],
            [portfolio("gold", "aquila", **needs)],
            [agent("ana", "aquila"), agent("pia", "pescara", "data", languages=("de",), site_id="iasi")],
            sites=(SITE, site("iasi", "RO")),
        )
    )


def test_team_without_agents_is_no_problem_while_another_can_help() -> None:
    Organisation(aquila(teams=[AQUILA, team("empty", backups=(link("aquila", 5),))]))
    Organisation(
        aquila(
            teams=[AQUILA, team("empty", backups=(link("aquila", 5),))],
            portfolios=[portfolio("gold", "empty")],
        )
    )


# --- All of them, in one list ---


def test_all_problems_come_in_one_list() -> None:
    description = aquila(
        teams=[team("aquila", site_id="x")],
        portfolios=[portfolio("gold", "aquila", skills=(need("data"),)), portfolio("silver", "y")],
        clients=[client("K1", "z")],
        skills=("data",),
        default_portfolio="",
    )

    found = problems(description)

    assert [(problem.where, problem.field) for problem in found] == [
        ("aquila", "site_id"),
        ("silver", "teams"),
        ("K1", "portfolio_id"),
        ("organisation.toml", "default_portfolio"),
        ("organisation.toml", "skills"),
        ("gold", "teams"),
    ]


def test_message_counts_the_problems_and_shows_the_first_three() -> None:
    with pytest.raises(OrganisationError) as one:
        Organisation(aquila(default_portfolio="x"))
    with pytest.raises(OrganisationError) as many:
        Organisation(aquila(clients=[client(f"K{number}", "x") for number in range(5)]))

    assert str(one.value) == (
        "1 problem in the organisation: organisation.toml, default_portfolio: there is no portfolio 'x'"
    )
    assert str(many.value) == "5 problems in the organisation: " + "; ".join(
        f"K{number}, portfolio_id: there is no portfolio 'x'" for number in range(3)
    )


def chain_of_fallbacks(length: int) -> OrganisationDescription:
    """Each portfolio hands on to the next; the last to a message. All but the last are closed for ever."""
    names = [f"p{number}" for number in range(length + 1)]
    closed = tuple(
        portfolio(name, "aquila", fallback=Fallback(FallbackKind.PORTFOLIO, following), hours=NEVER)
        for name, following in pairwise(names)
    )
    return aquila(portfolios=[*closed, portfolio(names[-1], "aquila", hours=NEVER)])


NEVER = (Hours((), time(8), time(9)),)


def test_chain_of_fallbacks_as_long_as_allowed_is_walked_to_its_end() -> None:
    bench = Bench(chain_of_fallbacks(16))

    decisions = bench.arrive(0, "c1")

    assert len(decisions) == 17
    assert bench.outcome("c1") is Outcome.FALLBACK


@pytest.mark.parametrize("length", [17, 18, 2_000])
def test_chain_of_fallbacks_that_is_too_long_is_named_once(length: int) -> None:
    says = f"leads through more than 16 portfolios, one after the other, to 'p{length}': shorten the way"

    assert problems(chain_of_fallbacks(length)) == [Problem(f"p{length - 17}", "fallback", says)]
