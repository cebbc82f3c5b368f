"""Who is badly served, and why: each sentence from counts that are made for it."""

import msgspec

from router.core.model import OrganisationDescription, SkillNeed
from router.core.organisation import Organisation
from router.experiments.capacity import agents_needed
from router.experiments.findings import Cause, Findings, findings_of
from router.simulation.counts import RunCounts, Scope
from tests.core.builders import agent
from tests.experiments.counted import calls, description, run, short_of_people


def found(*counted: RunCounts, of: OrganisationDescription | None = None) -> Findings:
    return findings_of(Organisation(of or description()), counted)


def why(findings: Findings) -> str:
    (finding,) = findings.badly_served
    return " ".join(finding.why)


def test_too_few_people_in_the_afternoon_are_named_with_their_work() -> None:
    findings = found(short_of_people())

    (finding,) = findings.badly_served
    assert (finding.portfolio_id, finding.team_id, finding.cause) == ("gold", "a", Cause.PEOPLE)
    assert finding.head == "gold: 34.0 % within 20 s (C) against 55.0 % for all – too few people"
    assert (finding.first_hour, finding.until_hour) == (14, 16)
    assert finding.why == (
        "It is worst from 14 to 16: 20.0 % there, 90.0 % in the rest of the day; 97 % of those not answered in time "
        "called then.",
        "Its team a was 96 % busy from 14 to 16, all teams together 68 %: 2.5 agents staffed for 4.0 erlangs of work "
        "that the callers of this portfolio bring, more than they can do. To answer 55 % within 20 s, the team alone "
        "would need 6 (Erlang C).",
        "Of the 66 calls that were not answered in time, 100 % found everybody busy whom they may reach.",
        "Nobody of another team may help within 20 s: after 60 s b.",
    )


def test_the_answer_comes_first() -> None:
    assert found(short_of_people()).in_short == (
        "55.0 % of all callers are answered within 20 s (C). 1 of 2 portfolios is clearly worse served, worst first: "
        "gold (34.0 %)."
    )


def test_teams_without_people_enough_are_listed() -> None:
    (short,) = found(short_of_people()).short_teams

    assert (short.team_id, short.first_hour, short.until_hour) == ("a", 14, 16)
    assert (short.staffed, short.load) == (2.5, 4.0)


def test_where_all_are_served_alike_nobody_is_called_badly_served() -> None:
    findings = found(run({9: calls(100, soon=80)}, {9: calls(100, soon=82)}))

    assert findings.badly_served == ()
    assert findings.in_short.endswith(
        "No portfolio is clearly worse served than the rest: they lie between 80.0 % and 82.0 %."
    )


def test_what_may_be_chance_is_not_said() -> None:
    """Ten points below all, but now above and now below them."""
    bad, good = (run({9: calls(50, soon=soon)}, {9: calls(50, soon=40)}) for soon in (15, 50))

    assert found(bad, good, bad).badly_served == ()
    assert found(bad, bad, bad).badly_served != ()


def test_a_handful_of_calls_says_nothing() -> None:
    assert found(run({9: calls(5, soon=0)}, {9: calls(100, soon=80)})).badly_served == ()


def test_too_few_with_the_skill_are_counted() -> None:
    """Four in the team, of whom one can do it."""
    plain = description()
    gold, iron = plain.portfolios
    skilled = msgspec.structs.replace(
        plain,
        skills=("business",),
        portfolios=(msgspec.structs.replace(gold, skills=(SkillNeed("business", 2),)), iron),  # type: ignore[arg-type]
        agents=(agent("a0", "a", "business:2"), *plain.agents[1:]),
    )

    findings = found(run({9: calls(10, soon=2)} | {10: calls(30, soon=6)}, {9: calls(40, soon=38)}), of=skilled)

    assert findings.badly_served[0].cause is Cause.SKILLS
    assert "Only 1 of the 4 agents of a can take its calls at once (business 2): 1.0 of the 4.0 who were there" in why(
        findings
    )


def test_where_agents_are_idle_more_people_are_not_the_answer() -> None:
    """Although the work is more than the team's people could do, as others help."""
    findings = found(run({9: calls(60, soon=10)}, {9: calls(40, soon=38)}, late="not_yet"))

    assert findings.badly_served[0].cause is Cause.RINGS


def test_waiting_for_owners_is_told_as_such() -> None:
    findings = found(run({9: calls(40, soon=10)}, {9: calls(40, soon=38)}, late="owner_hold"))

    assert findings.badly_served[0].cause is Cause.OWNERS
    assert "100 % were first held for their owner, who was busy" in why(findings)


def test_offers_that_come_to_nothing_are_told() -> None:
    counted = run({9: calls(40, soon=10)}, {9: calls(160, soon=150)}, late="not_yet")
    counted.by_scope[Scope.PORTFOLIO]["gold"].missed = 10
    counted.by_scope[Scope.ALL]["all"].missed = 12

    findings = found(counted)

    assert findings.badly_served[0].cause is Cause.OFFERS
    assert "25 % of the offers of its calls were missed, 6 % of all offers." in why(findings)


def test_a_team_that_was_not_there() -> None:
    counted = run({9: calls(40, soon=10)}, {9: calls(40, soon=38)}, staffed={"a": 0.0, "b": 4.0}, late="not_yet")

    findings = found(counted)

    assert findings.badly_served[0].cause is Cause.NOBODY
    assert "Nobody of its team a was there all day." in why(findings)


def test_nobody_called() -> None:
    assert found(run({}, {})).in_short == "Nobody called: there is nothing to say."


def test_the_most_telling_are_the_worst_and_the_worst_of_each_other_cause() -> None:
    findings = found(short_of_people())
    (one,) = findings.badly_served
    many = tuple(
        msgspec.structs.replace(one, portfolio_id=f"p{number}", cause=Cause.RINGS if number == 8 else Cause.PEOPLE)
        for number in range(10)
    )

    telling = msgspec.structs.replace(findings, badly_served=many).telling()

    assert [each.portfolio_id for each in telling] == [f"p{number}" for number in (0, 1, 2, 3, 4, 5, 8)]


def test_agents_needed_are_those_of_the_table() -> None:
    """Erlang C: 80 % in 20 s of 10 erlangs of three minutes take 14 agents; nothing takes one."""
    assert agents_needed(10, handling_s=180, within_s=20, share=0.8) == 14
    assert agents_needed(100, handling_s=180, within_s=20, share=0.8) == 107
    assert agents_needed(0, handling_s=180, within_s=20, share=0.8) == 1
