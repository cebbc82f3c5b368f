"""What people see, in a narrow terminal and a wide one."""

import io

import pytest
from rich.console import Console, RenderableType

from router.core import Problem
from router.core.decisions import (
    ConnectCall,
    Decision,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    ReportPlan,
    Rule,
    WithdrawOffer,
)
from router.core.explain import AgentAnswer, Explanation, StepAnswer, Verdict
from router.core.model import AgentId, CallId, CallStatus, ClientId, FallbackKind, OfferId, PortfolioId
from router.play import Ending, Tally
from router.terminal import decision_line, explanation_view, notes_view, problems_view, tally_lines

PATH = ("client C17", "portfolio gold-north", "team aquila-3")


def shown(view: RenderableType, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    return text


def flat(view: RenderableType, width: int = 200) -> str:
    """As one line, however it was wrapped."""
    return " ".join(shown(view, width).split())


# --- Decisions ---

OFFER = OfferCall(
    call_id=CallId("c1"), wait_ms=2_400, rule=Rule.RANK, path=(*PATH, "agent A204"), ring=1, offer_id=OfferId("o1"),
    agent_id=AgentId("A204"), expires_at_ms=0, portfolio_id=PortfolioId("gold-north"),
    agent_country="IT",
)  # fmt: skip
QUEUE = QueueCall(
    call_id=CallId("c1"), wait_ms=0, rule=Rule.ALL_BUSY, path=PATH[:2], portfolio_id=PortfolioId("gold-north"),
    position=3, expected_wait_ms=123_000,
)  # fmt: skip
WITHDRAW = WithdrawOffer(
    call_id=CallId("c1"), wait_ms=0, rule=Rule.ABANDONED, offer_id=OfferId("o1"), agent_id=AgentId("A204")
)
FALLBACK = FallbackCall(
    call_id=CallId("c1"), wait_ms=9_000, rule=Rule.MAX_WAIT, kind=FallbackKind.MESSAGE, target="later"
)
REPORT = ReportPlan(
    rule=Rule.STEP_TAKEN, move_plan_id="back-to-italy", step_id="pilot", next_step_id=None,
    detail="step pilot is in force",
)  # fmt: skip
PAUSE = PauseAgent(agent_id=AgentId("A204"), rule=Rule.MISSES, path=("team aquila-3", "agent A204"), misses=3)


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (OFFER, "offer c1 to A204 rank after 2.4 s client C17 > portfolio gold-north > team aquila-3"),
        (QUEUE, "queue c1 place 3 all_busy, about 123 s client C17 > portfolio gold-north"),
        (WITHDRAW, "withdraw c1 from A204 abandoned"),
        (FALLBACK, "fallback c1 to message later max_wait after 9.0 s"),
        (PAUSE, "pause A204 misses team aquila-3"),
        (REPORT, "plan back-to-italy step_taken: step pilot is in force"),
    ],
)
def test_a_decision_is_one_line(decision: Decision, words: str) -> None:
    line = decision_line(0, decision)

    assert line is not None
    assert " ".join(line.plain.split()[1:]) == words


def test_every_verdict_can_be_shown() -> None:
    agents = [answer(f"A{number}", verdict, "why") for number, verdict in enumerate(Verdict)]

    text = flat(explanation_view(explanation(*agents), show_all=True))

    assert all(verdict.replace("_", " ") in text for verdict in Verdict)


def test_a_decision_that_only_follows_from_others_is_not_shown() -> None:
    connect = ConnectCall(
        call_id=CallId("c1"),
        wait_ms=0,
        rule=Rule.ACCEPTED,
        offer_id=OfferId("o1"),
        agent_id=AgentId("A204"),
        agent_country="IT",
    )

    assert decision_line(0, connect) is None


def test_decisions_stand_in_columns() -> None:
    lines = [decision_line(0, decision) for decision in (OFFER, QUEUE, WITHDRAW)]

    assert len({line.plain.index("c1") for line in lines if line is not None}) == 1


# --- Problems ---


def test_every_problem_has_file_row_and_field() -> None:
    problems = [Problem(f"agents.csv, row {row}", f"field{row}", f"is [wrong] {row} times") for row in range(20)]

    text = flat(problems_view(problems))

    assert all(f"agents.csv, row {row} field{row} is [wrong] {row} times" in text for row in range(20))
    assert "not shown" not in text


def test_many_problems_of_a_kind_do_not_hide_the_others() -> None:
    problems = [Problem(f"clients.csv, row {row}", "owner", "there is no agent Z9") for row in range(15_000)]
    problems.append(Problem("teams.toml, entry 3", "site_id", "there is no site"))

    text = flat(problems_view(problems))

    assert text.count("there is no agent Z9") == 5
    assert "14995 more of this field" in text
    assert "teams.toml, entry 3 site_id there is no site" in text
    assert "14995 of 15001 problems are not shown" in text


def test_a_list_of_many_kinds_comes_to_an_end() -> None:
    problems = [Problem("clients.csv, row 1", f"field{number}", "is bad") for number in range(500)]

    text = shown(problems_view(problems))

    assert text.count("is bad") == 60
    assert "440 of 500 problems are not shown" in text


def test_problems_fit_a_narrow_terminal() -> None:
    shown(problems_view([Problem("organisation.toml, portfolios entry 12", "fallback, kind", "is wrong " * 20)]), 80)


# --- Explanations ---


def answer(agent_id: str, verdict: Verdict, detail: str, *hops: str, may_change_ms: int | None = None) -> AgentAnswer:
    path = ("client C17", "portfolio gold-north", *hops, f"agent {agent_id}")
    return AgentAnswer(
        agent_id=AgentId(agent_id), verdict=verdict, detail=detail, path=path, may_change_ms=may_change_ms
    )


def explanation(*agents: AgentAnswer) -> Explanation:
    return Explanation(
        call_id=CallId("c1"),
        status=CallStatus.WAITING,
        outcome=None,
        client_id=ClientId("C17"),
        portfolio_id=PortfolioId("gold-north"),
        found_by="client",
        arrived_ms=0,
        asked_at_ms=12_000,
        wait_ms=12_000,
        rule=Rule.NOT_YET,
        steps=(StepAnswer(at_ms=0, what="arrived"),),
        agents=agents,
    )


def test_an_explanation_tells_the_story_and_the_agents_nearest_first() -> None:
    away = answer("A1", Verdict.SIGNED_OUT, "not signed in", "team aquila-3")
    chosen = answer("A2", Verdict.CHOSEN, "offered by rule owner")
    later = answer("A3", Verdict.NOT_YET, "after 20 s", "team aquila-3", "after 20 s: team x", may_change_ms=20_000)

    text = flat(explanation_view(explanation(away, later, chosen), show_all=False))

    assert "call c1: waiting; client C17, portfolio gold-north (found by client)" in text
    assert "had waited 12.0 s" in text
    assert "rule: not_yet" in text
    assert text.index("A2 chosen offered by rule owner") < text.index("A3 not yet after 20 s; may change at")
    assert text.index("team aquila-3 > after 20 s: team x") < text.index("A1 signed out not signed in team aquila-3")


def test_agents_with_the_same_answer_share_a_row() -> None:
    agents = [answer(f"A{number}", Verdict.NO_WAY, "no way leads there") for number in range(400)]

    short = flat(explanation_view(explanation(*agents), show_all=False))
    full = flat(explanation_view(explanation(*agents), show_all=True))

    assert short.count("no way leads there") == 1
    assert "A0, A1, 398 more" in short
    assert full.count("no way leads there") == 1
    assert "A399" in full


def test_a_long_explanation_is_cut_and_says_what_was_left_out() -> None:
    agents = [answer(f"A{number}", Verdict.AT_WORK, f"in a call for {number} s") for number in range(50)]

    short = flat(explanation_view(explanation(*agents), show_all=False))
    full = flat(explanation_view(explanation(*agents), show_all=True))

    assert short.count("in a call") == 12
    assert "38 more agents (--all shows them): 50 at work" in short
    assert full.count("in a call") == 50
    assert "more agents" not in full


@pytest.mark.parametrize("width", [80, 120])
def test_an_explanation_fits_the_terminal(width: int) -> None:
    detail = "may be offered the call after 60 s of waiting; it had waited 0 s"
    agents = [
        answer(f"A{number}", Verdict.NOT_YET, detail, "team aquila-3", "after 60 s: without retention" * 3)
        for number in range(9)
    ]

    assert "A0, A1, 7 more" in shown(explanation_view(explanation(*agents), show_all=False), width)


# --- Notes and tallies ---


def test_notes_hang_under_their_dash() -> None:
    lines = shown(notes_view(["one " * 30, "[two]"])).splitlines()

    assert [line[:2] for line in lines] == ["- ", "  ", "- "]
    assert "[two]" in lines[-1]


def test_a_tally_adds_up_before_your_eyes() -> None:
    counts = dict.fromkeys(Ending, 0) | {Ending.TALKED: 7, Ending.CALLED_BACK: 2, Ending.CUT_SHORT: 1}
    tally = Tally(arrived=10, endings=counts, offers=11, agents_paused=0, refusals={"offer_over": 1})

    assert list(tally_lines(tally)) == [
        "10 calls arrived = 7 talked + 2 called back + 1 cut short",
        "11 offers, 0 agents paused for missing too many",
        "events refused by the router: 1 offer over",
    ]


def test_a_tally_of_nothing() -> None:
    tally = Tally(arrived=0, endings=dict.fromkeys(Ending, 0), offers=0, agents_paused=0, refusals={})

    assert list(tally_lines(tally)) == ["0 calls arrived", "0 offers, 0 agents paused for missing too many"]
