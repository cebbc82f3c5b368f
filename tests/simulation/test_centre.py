"""Twenty days of the protocol in virtual time: the share is kept at every answer, and the journal has it all.

The year of which this is the short form is `make year`.
"""

import runpy
from collections import Counter
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from router.core import Engine, Limits, RouterError
from router.core.decisions import OfferCall, Rule
from router.core.events import CallConnected, OrganisationChanged
from router.core.model import OrganisationDescription, Outcome, ShareLimit
from router.core.snapshot import GatesState
from router.journal import SqliteJournal
from router.organisation_files import load_organisation
from router.service.decider import Decider
from router.service.recovery import recover, state_digest
from router.simulation.centre import Off, Run, play, with_rules_off
from router.simulation.ledger import total_of
from router.simulation.scenario import Scenario
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario
from router.wire import decode_record

CONFIG = Path(__file__).parents[2] / "config" / "protocol"
TARGET_BP = 8_000


class Played(NamedTuple):
    run: Run
    journal: Path


@pytest.fixture(scope="module")
def description() -> OrganisationDescription:
    return load_organisation(CONFIG / "organisation.toml", pseudonym=lambda number: number)


@pytest.fixture(scope="module")
def weeks() -> Scenario:
    return read_scenario(CONFIG / "weeks.toml")


@pytest.fixture(scope="module")
def kept(weeks: Scenario, description: OrganisationDescription, tmp_path_factory: pytest.TempPathFactory) -> Played:
    journal = tmp_path_factory.mktemp("weeks") / "journal.db"
    return Played(play(weeks, description, journal=journal), journal)


@pytest.fixture(scope="module")
def without(weeks: Scenario, description: OrganisationDescription) -> Run:
    return play(weeks, description, off=Off.SHARE)


def first_days(scenario: Scenario, days: int, **given: Any) -> Scenario:
    return msgspec.structs.replace(scenario, ends=scenario.starts + timedelta(days=days), **given)


class Again(NamedTuple):
    """A journal gone through by a router that has nothing else."""

    answers: list[OfferCall]
    """The offers that led to conversations, in the order in which these began."""
    decider: Decider


@pytest.fixture(scope="module")
def again(kept: Played) -> Again:
    offers: dict[str, OfferCall] = {}
    answers = []
    with closing(SqliteJournal(kept.journal, read_only=True)) as reader:
        records = reader.read("main")
        at_ms, event = decode_record(next(records).body)
        assert isinstance(event, OrganisationChanged)
        decider = Decider.of_first_record(Engine(event.description), event.description, 1, at_ms)
        for record in records:
            at_ms, event = decode_record(record.body)
            for _, decision in decider.apply(record.offset, at_ms, event):
                if isinstance(decision, OfferCall):
                    offers[decision.call_id] = decision
            if isinstance(event, CallConnected):
                answers.append(offers[event.call_id])
    return Again(answers, decider)


def books(journal: Path) -> GatesState:
    with closing(SqliteJournal(journal, read_only=True)) as reader:
        decider = recover(reader, "main", limits=Limits())
    assert decider is not None
    return decider.engine.state_in_parts()[0].gates


# --- The share ---


def test_the_share_is_kept_after_every_answer_but_for_the_overrides_in_the_journal(kept: Played, again: Again) -> None:
    """Counted once more, by nothing but the journal and what a router decides about it."""
    inside = total = overrides = 0
    for offer in again.answers:
        if not offer.agent_id.startswith("R"):  # Roma is in-house, under another contract.
            total += 1
            inside += offer.agent_country == "IT"
            overrides += offer.rule is Rule.SHARE_OVERRIDE
            assert inside * 10_000 >= TARGET_BP * (total - overrides)

    contract = total_of(kept.run.days).contracts[0]
    assert (inside, total, overrides) == (contract.inside, contract.total, contract.overrides)
    assert kept.run.breach_count == 0
    assert total > 4_000
    assert 0 < overrides < total // 20


def test_without_the_rule_the_share_is_broken_all_the_time(without: Run) -> None:
    contract = total_of(without.days).contracts[0]

    assert contract.inside * 100 < 75 * contract.total
    assert without.breach_count > contract.total * 9 // 10
    assert without.overrides == 0


def test_the_share_costs_waiting(kept: Played, without: Run) -> None:
    on, off = total_of(kept.run.days), total_of(without.days)

    assert on.wait_ms * off.answered > off.wait_ms * on.answered
    assert on.abandoned > off.abandoned


def test_what_was_lived_through_is_in_the_books_of_the_journal(kept: Played) -> None:
    """By contract and day: answers, those in the country, overrides; and what callers asked for."""
    state = books(kept.journal)
    counted: Counter[tuple[str, date, str]] = Counter()
    for each in state.contract_days:
        counted[each.contract_id, each.day, "total"] += each.calls
        counted[each.contract_id, each.day, "inside"] += each.calls * (each.country == "IT")
        counted[each.contract_id, each.day, "overrides"] += each.overrides
    asked = total_of(kept.run.days)

    assert +counted == Counter(
        {
            (contract.contract_id, day.day, name): count
            for day in kept.run.days
            for contract in day.contracts
            for name in ("total", "inside", "overrides")
            if (count := getattr(contract, name))
        }
    )
    assert kept.run.overrides_in_books == kept.run.overrides
    places = [
        sum(values) for values in zip(*((d.asked, d.met, d.met_ms, d.unmet) for d in state.place_days), strict=True)
    ]
    assert places == [asked.asked, asked.met, asked.met_ms, asked.unmet]
    assert asked.met > 0
    assert sum(day.unannounced for day in state.place_days) == 0


def test_waits_are_those_that_the_router_reports(kept: Played) -> None:
    with closing(SqliteJournal(kept.journal, read_only=True)) as reader:
        decider = recover(reader, "main", limits=Limits())
    assert decider is not None
    months = decider.engine.tallies()
    answers = [each for month in months for each in month.answers]
    counts = total_of(kept.run.days)

    assert sum(month.arrived for month in months) == counts.arrived
    assert sum(each.answered for each in answers) == counts.answered
    assert sum(each.answered_soon for each in answers) == counts.answered_soon
    assert sum(each.wait_ms for each in answers) == counts.wait_ms
    assert sum(dict(month.outcomes)[Outcome.ABANDONED] for month in months) == counts.abandoned
    assert sum(each.navigated for each in answers) == counts.answered


# --- The journal ---


def test_snapshot_and_records_lead_to_one_state(kept: Played, again: Again) -> None:
    with closing(SqliteJournal(kept.journal, read_only=True)) as reader:
        of_snapshot = recover(reader, "main", limits=Limits())
    assert of_snapshot is not None

    assert again.decider.diverged_at is None
    assert state_digest(again.decider) == state_digest(of_snapshot)
    assert again.decider.digest.hex() == kept.run.decisions_digest
    assert again.decider.offset == kept.run.records


def test_one_seed_gives_the_same_journal_to_the_byte(
    weeks: Scenario, description: OrganisationDescription, tmp_path: Path
) -> None:
    journals = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        play(first_days(weeks, 2, seed=seed), description, journal=tmp_path / name)
        with closing(SqliteJournal(tmp_path / name, read_only=True)) as reader:
            (offset,) = reader.snapshot_offsets("main")
            journals.append((list(reader.read("main")), reader.get_snapshot("main", offset)))

    assert journals[0] == journals[1]
    assert journals[0] != journals[2]


def test_a_journal_is_never_written_over(weeks: Scenario, description: OrganisationDescription, kept: Played) -> None:
    with pytest.raises(RouterError, match=r"journal\.db exists already"):
        play(weeks, description, journal=kept.journal)


# --- Policies on the same callers ---


def test_both_runs_meet_the_same_callers(kept: Played, without: Run) -> None:
    assert kept.run.callers_digest == without.callers_digest
    assert kept.run.decisions_digest != without.decisions_digest
    assert [day.arrived for day in kept.run.days] == [day.arrived for day in without.days]


def test_every_call_ends(kept: Played, without: Run) -> None:
    for run in (kept.run, without):
        counts = total_of(run.days)
        assert run.left == 0
        assert run.rejected == {}
        assert counts.answered + counts.abandoned + counts.elsewhere == counts.arrived
        assert counts.met + counts.unmet == counts.asked


def test_with_the_rule_off_the_rest_of_the_organisation_is_as_it_was(description: OrganisationDescription) -> None:
    off = with_rules_off(description, Off.SHARE)

    assert msgspec.structs.replace(off, contracts=description.contracts) == description
    assert {(each.goal_bp, each.margin_bp) for each in off.contracts} == {(0, 0)}
    assert with_rules_off(description, None) is description


@pytest.mark.parametrize("then", [ShareLimit.REFUSE, ShareLimit.CALLBACK])
def test_where_nothing_overflows_the_share_is_kept_without_exception(
    weeks: Scenario, description: OrganisationDescription, then: ShareLimit
) -> None:
    outsourced, in_house = description.contracts
    strict = msgspec.structs.replace(
        description, contracts=(msgspec.structs.replace(outsourced, then=then, wait_s=30), in_house)
    )

    run = play(first_days(weeks, 3), strict)

    counts = total_of(run.days)
    assert counts.refused > 0
    assert counts.elsewhere == (counts.refused if then is ShareLimit.REFUSE else 0)
    assert (counts.called_back > 0) is (then is ShareLimit.CALLBACK)
    assert (run.breach_count, run.overrides, run.overrides_in_books) == (0, 0, 0)
    assert counts.contracts[0].below == 0


def test_the_agents_of_the_protocol_are_written_again_to_the_byte() -> None:
    for name, text in runpy.run_path(str(CONFIG / "generate.py"))["files"]().items():
        assert (CONFIG / name).read_bytes() == text.encode(), f"run config/protocol/generate.py: {name}"


def test_the_shipped_scenarios_can_be_played(description: OrganisationDescription) -> None:
    for name in ("weeks.toml", "year.toml"):
        assert problems_of(read_scenario(CONFIG / name), description) == []
