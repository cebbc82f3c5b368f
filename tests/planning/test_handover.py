"""Clients of those who leave, or are away, go to somebody who can serve them, and to nobody else."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from router.core.model import Agent, AgentId, Client, ClientId, OrganisationDescription, Ownership
from router.core.organisation import Organisation, satisfied_after_ms
from router.planning.handover import Handover, PlanningError, delegate, leaving_by, rebalance
from router.planning.sizes import Workload, ownership_of_day
from tests.core.builders import agent, client, link, need, organisation, owned_by, portfolio, site, team

TODAY = date(2040, 3, 1)
A1, A2, A3, A4, B1, B2 = (AgentId(name) for name in ("A1", "A2", "A3", "A4", "B1", "B2"))


def built(*clients: Client, **fields: Any) -> Organisation:
    """Team a (A1 to A4), backed up by b (B1, B2) after 20 s; Z1 is out of reach. Gold needs level 2, and Italian."""

    def person(name: str, team_id: str) -> Agent:
        return structs.replace(agent(name, team_id, "gold:3", languages=("it",)), **fields.get(name, {}))

    groups = {"a": ("A1", "A2", "A3", "A4"), "b": ("B1", "B2"), "z": ("Z1",)}
    agents = [person(name, team_id) for team_id, names in groups.items() for name in names]
    return Organisation(
        organisation(
            [team("a", backups=(link("b", 20),), handling_s=300), team("b"), team("z")],
            [portfolio("gold", "a", skills=(need("gold", 2, (10, 1)),), language="it")],
            agents,
            clients,
        )
    )


def planned(organisation: Organisation, *names: AgentId, on: date = TODAY) -> Handover:
    return rebalance(organisation, work_in(organisation), dict.fromkeys(names, on))


def work_in(organisation: Organisation) -> Workload:
    return Workload(organisation, calls_a_month=1)


def carried_out(description: OrganisationDescription, handover: Handover) -> Organisation:
    """The organisation after the change, which must be one that the router takes."""
    clients = [
        structs.replace(
            each,
            ownerships=tuple(
                piece
                for pieces in handover.changes.get(each.client_id, ((old,) for old in each.ownerships))
                for piece in pieces
            ),
        )
        for each in description.clients
    ]
    return Organisation(structs.replace(description, clients=tuple(clients)))


def owners(handover: Handover) -> dict[str, str | None]:
    return {move.client_id: move.to_agent for move in handover.moves}


def test_the_same_group_comes_first_and_the_work_is_balanced() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A1"), minutes_a_month=50),
        client("C2", "gold", ownerships=owned_by("A1"), minutes_a_month=30),
        client("C3", "gold", ownerships=owned_by("A2"), minutes_a_month=60),
        client("C4", "gold", ownerships=owned_by("A4"), minutes_a_month=20),
    )

    handover = planned(organisation, A1)

    assert owners(handover) == {"C1": A3, "C2": A4}
    assert [(load.agent_id, load.before_s // 60, load.after_s // 60) for load in handover.loads] == [
        (A1, 80, 0),
        (A3, 0, 50),
        (A4, 20, 50),
    ]
    assert handover.moves[0].why == "same group"


def test_the_ownership_is_cut_on_the_day_and_nothing_before_it_changes() -> None:
    organisation = built(client("C1", "gold", ownerships=owned_by("A1", "A2", valid_until=date(2041, 1, 1))))

    handover = planned(organisation, A1)

    assert handover.changes == {
        "C1": (
            (
                *owned_by("A1", "A2", valid_until=TODAY),
                *owned_by("A2", "A3", valid_from=TODAY, valid_until=date(2041, 1, 1)),
            ),
        )
    }
    (change,) = handover.backup_changes
    assert (change.loses, change.gets, change.first) == (A2, A3, TODAY)


def test_among_equals_the_first_backup_becomes_the_owner() -> None:
    organisation = built(client("C1", "gold", ownerships=owned_by("A1", "A4", "A3")))

    handover = planned(organisation, A1)

    assert owners(handover) == {"C1": A4}
    assert handover.changes[ClientId("C1")][0][1].backups == (A3, A2)
    assert handover.moves[0].why == "same group, backup 1 so far"


def test_backups_who_leave_are_replaced_and_the_others_move_up() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A2", "A1", "A3")),
        client("C2", "gold", ownerships=owned_by("A2", "A4")),
    )

    handover = planned(organisation, A1)

    assert handover.moves == ()
    assert handover.changes == {
        "C1": ((*owned_by("A2", "A1", "A3", valid_until=TODAY), *owned_by("A2", "A3", "A4", valid_from=TODAY)),)
    }


def test_new_backups_are_those_of_the_fewest_clients() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A2", "A1")),
        client("C2", "gold", ownerships=owned_by("A2", "A1")),
    )

    handover = planned(organisation, A1)

    assert [(change.client_id, change.gets) for change in handover.backup_changes] == [
        ("C1", A3),
        ("C2", A4),
    ]


def test_nobody_who_leaves_or_is_gone_by_then_gets_a_client() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A1")),
        A3={"contract_until": TODAY - timedelta(days=1)},
        A4={"contract_until": TODAY},
    )

    assert owners(planned(organisation, A1, A2)) == {"C1": A4}


def test_skills_languages_countries_and_exclusions_are_respected() -> None:
    """A2 would be good enough after 10 s only, A3 speaks no Italian, and A4 is excluded."""
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A1"), exclusions=(A4, B1)),
        A2={"skills": {"gold": 1}},
        A3={"languages": ("fr",)},
    )

    handover = planned(organisation, A1)

    assert owners(handover) == {"C1": B2}
    assert handover.moves[0].why == "nobody of the group can; after 20 s: team b"


def test_a_country_is_respected() -> None:
    description = organisation(
        [team("a"), team("b", site_id="abroad")],
        [portfolio("gold", "a", "b", countries=("IT",))],
        [agent("A1", "a"), agent("B1", "b")],
        [client("C1", "gold", ownerships=owned_by("A1"))],
    )
    built = Organisation(structs.replace(description, sites=(*description.sites, site("abroad", "RO"))))

    assert owners(planned(built, A1)) == {"C1": None}


def test_who_cannot_be_placed_is_named_and_left_to_the_backups() -> None:
    organisation = built(client("C1", "gold", ownerships=owned_by("A1", "Z1"), exclusions=(A2, A3, A4, B1, B2)))

    handover = planned(organisation, A1)

    (move,) = handover.not_placed
    assert move.client_id == "C1"
    assert "stays, and is not excluded" in move.why
    assert handover.changes[ClientId("C1")][0][1] == owned_by(None, "Z1", valid_from=TODAY)[0]


def test_owner_and_backup_leave_on_different_days() -> None:
    later = date(2040, 6, 1)
    organisation = built(client("C1", "gold", ownerships=owned_by("A1", "A2")))

    handover = rebalance(organisation, work_in(organisation), {A1: TODAY, A2: later})

    (pieces,) = handover.changes[ClientId("C1")]
    assert [(each.owner, each.backups, each.valid_from, each.valid_until) for each in pieces] == [
        (A1, (A2,), None, TODAY),
        (A3, (A2,), TODAY, later),
        (A3, (A4,), later, None),
    ]


def test_an_ownership_that_begins_later_is_changed_in_place_and_one_that_is_over_is_not() -> None:
    over, coming = date(2039, 1, 1), date(2041, 1, 1)
    ownerships = (
        *owned_by("A1", valid_until=over),
        *owned_by("A2", valid_from=over, valid_until=coming),
        *owned_by("A1", valid_from=coming),
    )
    organisation = built(client("C1", "gold", ownerships=ownerships))

    handover = planned(organisation, A1)

    assert [(move.first, move.last) for move in handover.moves] == [(coming, None)]
    assert handover.changes[ClientId("C1")][:2] == ((ownerships[0],), (ownerships[1],))
    (piece,) = handover.changes[ClientId("C1")][2]
    assert (piece.owner in (A3, A4), piece.valid_from, piece.valid_until) == (True, coming, None)


def test_contracts_that_end_by_a_day_end_on_the_day_after_each() -> None:
    organisation = built(
        A1={"contract_until": TODAY + timedelta(days=30)},
        A2={"contract_until": TODAY + timedelta(days=31)},
        A3={"contract_until": TODAY - timedelta(days=400)},
    )

    assert leaving_by(organisation, TODAY + timedelta(days=30), today=TODAY) == {
        A1: TODAY + timedelta(days=31),
        A3: TODAY,
    }


def test_somebody_unknown_cannot_leave() -> None:
    with pytest.raises(PlanningError, match="there is no agent 'A9'"):
        planned(built(), AgentId("A9"))


# --- Any organisation ---


DAYS = st.sampled_from([None, TODAY - timedelta(days=9), TODAY, TODAY + timedelta(days=9)])
NAMES = st.sampled_from(["A1", "A2", "A3", "A4", "B1", "B2", "Z1"])


@st.composite
def clients(draw: st.DrawFn) -> list[Client]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        cut = draw(DAYS)
        spans = [(None, cut), (cut, None)] if cut is not None and draw(st.booleans()) else [(None, cut)]
        ownerships: list[Ownership] = []
        for first, last in spans:
            people = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
            ownerships += owned_by(people[0], *people[1:], valid_from=first, valid_until=last)
        exclusions = draw(st.frozensets(NAMES, max_size=3))
        found.append(
            client(
                f"C{number:02}",
                draw(st.sampled_from(["gold", None])),
                ownerships=tuple(ownerships),
                exclusions=tuple(sorted(map(AgentId, exclusions))),
                minutes_a_month=draw(st.sampled_from([None, 0, 5, 5, 17])),
            )
        )
    return found


LEAVING = st.dictionaries(
    NAMES.map(AgentId),
    st.integers(-9, 20).map(lambda days: TODAY + timedelta(days=days)),
    max_size=4,
)
LEVELS = st.fixed_dictionaries({name: st.sampled_from([1, 2, 3]) for name in ("A2", "A3", "B1")})


def organisation_with(found: list[Client], levels: dict[str, int]) -> Organisation:
    return built(*found, **{name: {"skills": {"gold": level}} for name, level in levels.items()})


def can_serve(organisation: Organisation, each: Agent) -> bool:
    (gold,) = organisation.portfolios.values()
    return all(satisfied_after_ms(wanted, each.skills[wanted.skill]) == 0 for wanted in gold.skills)


def days_around(leaving: dict[AgentId, date]) -> list[date]:
    edges = {TODAY + timedelta(days=days) for days in (-9, 0, 9)} | set(leaving.values())
    return sorted({edge + timedelta(days=step) for edge in edges for step in (-1, 0, 1)})


def owner_on(organisation: Organisation, client_id: ClientId, day: date) -> Ownership | None:
    found = organisation.find_client(client_id, None)
    assert found is not None
    return ownership_of_day(found, day)


@settings(deadline=None)
@given(found=clients(), leaving=LEAVING, levels=LEVELS)
def test_after_a_rebalance_nobody_who_left_answers_and_nothing_else_has_changed(
    found: list[Client], leaving: dict[AgentId, date], levels: dict[str, int]
) -> None:
    before = organisation_with(found, levels)

    handover = rebalance(before, work_in(before), leaving)

    after = carried_out(before.description, handover)
    unplaced = {(move.client_id, move.first) for move in handover.not_placed}
    for each in found:
        for day in days_around(leaving):
            old, new = owner_on(before, each.client_id, day), owner_on(after, each.client_id, day)
            if old is None:
                assert new is None
                continue
            gone = {agent_id for agent_id, first in leaving.items() if first <= day}
            assert new is not None
            people = [*(() if new.owner is None else (new.owner,)), *new.backups]
            assert not gone & set(people)
            assert len(people) == len(set(people))
            assert len(new.backups) <= len(old.backups)
            if old.owner not in gone:
                assert new.owner == old.owner, "no other client moves"
            elif new.owner is None:
                assert any(client_id == each.client_id and first <= day for client_id, first in unplaced)
            if not gone & {old.owner, *old.backups}:
                assert new.backups == old.backups
            for newcomer in set(people) - {old.owner, *old.backups}:
                assert newcomer not in each.exclusions
                assert can_serve(after, after.agents[newcomer])
            if new.owner != old.owner and new.owner is not None:
                assert can_serve(after, after.agents[new.owner])
                assert new.owner not in each.exclusions


@settings(deadline=None)
@given(found=clients(), leaving=LEAVING, levels=LEVELS)
def test_there_are_as_many_moves_as_ownerships_that_end_early(
    found: list[Client], leaving: dict[AgentId, date], levels: dict[str, int]
) -> None:
    """Fewer are not possible, and who could be placed is: in the group where one there can."""
    organisation = organisation_with(found, levels)
    ending = [
        (each.client_id, ownership.owner)
        for each in found
        for ownership in each.ownerships
        if ownership.owner in leaving and leaving[ownership.owner] < (ownership.valid_until or date.max)
    ]

    handover = rebalance(organisation, work_in(organisation), leaving)

    assert sorted((move.client_id, move.from_agent) for move in handover.moves) == sorted(ending)
    for move in handover.moves:
        excluded = next(each for each in found if each.client_id == move.client_id).exclusions
        able = {
            agent_id: str(each.team_id)
            for agent_id, each in organisation.agents.items()
            if agent_id not in leaving and agent_id not in excluded and can_serve(organisation, each)
        }
        home = str(organisation.agents[move.from_agent].team_id)
        groups = [home, "a", "b"]
        nearest = next((group for group in groups if group in able.values()), None)
        assert able.get(move.to_agent) == nearest if move.to_agent is not None else nearest is None


@settings(deadline=None)
@given(data=st.data(), found=clients(), leaving=LEAVING, levels=LEVELS)
def test_the_order_of_the_files_does_not_matter(
    data: st.DataObject, found: list[Client], leaving: dict[AgentId, date], levels: dict[str, int]
) -> None:
    organisation = organisation_with(found, levels)
    description = organisation.description
    shuffled = structs.replace(
        description,
        agents=tuple(data.draw(st.permutations(description.agents))),
        clients=tuple(data.draw(st.permutations(description.clients))),
    )

    turned = dict(data.draw(st.permutations(list(leaving.items()))))

    again = rebalance(Organisation(shuffled), work_in(organisation), turned)
    assert again == rebalance(organisation, work_in(organisation), leaving)


# --- Delegation ---


def test_a_delegate_answers_for_some_days_and_then_the_owner_does_again() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A1", "A2", "A3")),
        client("C2", "gold", ownerships=owned_by("A2", "A1")),
    )
    last = TODAY + timedelta(days=6)

    handover = delegate(organisation, work_in(organisation), A1, first=TODAY, last=last)

    back = last + timedelta(days=1)
    assert handover.changes == {
        "C1": (
            (
                *owned_by("A1", "A2", "A3", valid_until=TODAY),
                *owned_by("A2", "A3", valid_from=TODAY, valid_until=back),
                *owned_by("A1", "A2", "A3", valid_from=back),
            ),
        )
    }
    assert [(move.to_agent, move.first, move.last, move.why) for move in handover.moves] == [
        (A2, TODAY, last, "backup 1")
    ]
    assert [(load.agent_id, load.before_s, load.after_s) for load in handover.loads] == [(A1, 300, 0), (A2, 300, 600)]


def test_a_backup_who_cannot_serve_or_is_gone_before_is_passed_over() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A1", "A2", "A3", "A4")),
        A2={"skills": {"gold": 1}},
        A3={"contract_until": TODAY},
    )

    handover = delegate(organisation, work_in(organisation), A1, first=TODAY, last=TODAY + timedelta(days=1))

    assert owners(handover) == {"C1": A4}


def test_one_delegate_for_all_and_those_whom_nobody_can_take() -> None:
    organisation = built(
        client("C1", "gold", ownerships=owned_by("A1", "A2")),
        client("C2", "gold", ownerships=owned_by("A1"), exclusions=(AgentId("Z1"),)),
        client("C3", "gold", ownerships=owned_by("A1")),
    )

    everybody = delegate(organisation, work_in(organisation), A1, first=TODAY, last=TODAY, to_agent=AgentId("Z1"))
    backups = delegate(organisation, work_in(organisation), A1, first=TODAY, last=TODAY)

    assert owners(everybody) == {"C1": "Z1", "C2": None, "C3": "Z1"}
    assert "is excluded" in everybody.moves[1].why
    assert owners(backups) == {"C1": "A2", "C2": None, "C3": None}
    assert set(backups.changes) == {"C1"}


@pytest.mark.parametrize(
    ("agent_id", "to_agent", "days", "words"),
    [
        ("A9", None, 1, "there is no agent 'A9'"),
        ("A1", "A9", 1, "there is no agent 'A9'"),
        ("A1", "A1", 1, "A1 cannot stand in for A1"),
        ("A1", None, -1, "is before the first"),
    ],
)
def test_a_delegation_that_makes_no_sense_is_refused(
    agent_id: str, to_agent: AgentId | None, days: int, words: str
) -> None:
    organisation = built()

    with pytest.raises(PlanningError, match=words):
        delegate(
            organisation,
            work_in(organisation),
            AgentId(agent_id),
            first=TODAY,
            last=TODAY + timedelta(days=days),
            to_agent=to_agent,
        )


@settings(deadline=None)
@given(found=clients(), levels=LEVELS, name=NAMES, length=st.integers(0, 12), to=st.none() | NAMES)
def test_a_delegation_changes_its_days_alone(
    found: list[Client], levels: dict[str, int], name: str, length: int, to: str | None
) -> None:
    before = organisation_with(found, levels)
    away, last = AgentId(name), TODAY + timedelta(days=length)
    if to == name:
        return

    handover = delegate(
        before, work_in(before), away, first=TODAY, last=last, to_agent=None if to is None else AgentId(to)
    )

    after = carried_out(before.description, handover)
    named = {move.client_id for move in handover.not_placed}
    for each in found:
        for day in [*days_around({away: TODAY}), last, last + timedelta(days=1)]:
            old, new = owner_on(before, each.client_id, day), owner_on(after, each.client_id, day)
            if old is None or old.owner != away or not TODAY <= day <= last:
                assert new == old or (new is not None and old is not None and _same_people(new, old))
            else:
                assert new is not None
                assert new.owner != away or each.client_id in named


def _same_people(first: Ownership, second: Ownership) -> bool:
    return (first.owner, first.backups) == (second.owner, second.backups)
