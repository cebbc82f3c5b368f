"""What people see in a terminal: decisions as lines, explanations and problems as tables."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from router.core import Problem
from router.core.decisions import (
    Decision,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.explain import AgentAnswer, Explanation, Verdict

__all__ = ["decision_line", "explanation_view", "problem_lines"]

# A wrong column in a large file is one problem a row: more lines would hide the others.
_PROBLEMS_SHOWN = 60
_AGENTS_SHOWN = 20

# Who was nearest to getting the call comes first.
_NEAREST_FIRST = (
    Verdict.CHOSEN,
    Verdict.PASSED_OVER,
    Verdict.UNKNOWN,
    Verdict.AT_WORK,
    Verdict.NOT_READY,
    Verdict.NOT_YET,
    Verdict.OWNER_HOLD,
    Verdict.BLOCKED,
    Verdict.SIGNED_OUT,
    Verdict.LACKS_LANGUAGE,
    Verdict.LACKS_SKILL,
    Verdict.WRONG_COUNTRY,
    Verdict.NO_WAY,
)


def decision_line(at_ms: int, decision: Decision) -> Text | None:
    """One line about a decision worth watching; None for those that only follow from others."""
    match decision:
        case OfferCall():
            what, who, style = "offer", f"{decision.call_id} to {decision.agent_id}", "green"
        case QueueCall():
            expected = decision.expected_wait_ms
            about = f", about {expected / 1000:.0f} s" if expected is not None else ""
            what, who, style = "queue", f"{decision.call_id} at place {decision.position}{about}", "yellow"
        case WithdrawOffer():
            what, who, style = "withdraw", f"{decision.call_id} from {decision.agent_id}", "magenta"
        case FallbackCall():
            where = f"{decision.kind} {decision.target}".rstrip()
            what, who, style = "fallback", f"{decision.call_id} to {where}", "red"
        case PauseAgent() | SignOutAgent():
            what, who, style = "pause", decision.agent_id, "red"
        case _:
            return None
    line = Text(f"{_time(at_ms)} ")
    line.append(f"{what:<9}", style=style)
    line.append(f"{who:<34} ")
    waited = getattr(decision, "wait_ms", None)
    line.append(f"{decision.rule}" + (f" after {waited / 1000:.1f} s" if waited else ""), style="bold")
    line.append(f"  {' > '.join(decision.path)}", style="dim")
    return line


def problem_lines(problems: Sequence[Problem]) -> RenderableType:
    """Every problem with file, row and field, the first sixty in full."""
    table = Table("Where", "Field", "What is wrong", box=None, pad_edge=False)
    for problem in problems[:_PROBLEMS_SHOWN]:
        table.add_row(escape(problem.where), escape(problem.field), escape(problem.message))
    if len(problems) <= _PROBLEMS_SHOWN:
        return table
    return Group(table, f"... and {len(problems) - _PROBLEMS_SHOWN} more; --json prints all")


def explanation_view(explanation: Explanation, *, show_all: bool) -> RenderableType:
    """The story of a call, then why it is or is not with each agent, nearest first."""
    outcome = f", {explanation.outcome}" if explanation.outcome is not None else ""
    head = Text.assemble(
        ("call ", "bold"),
        (explanation.call_id, "bold"),
        f": {explanation.status}{outcome}; {_client(explanation)}, portfolio {explanation.portfolio_id} ",
        f"(found by {explanation.found_by})\n",
        f"had waited {explanation.wait_ms / 1000:.1f} s at {_time(explanation.asked_at_ms)}",
        f"; rule: {explanation.rule}" if explanation.rule is not None else "",
    )
    steps = Table("Time", "What happened", "Agent", "Offer", box=None, pad_edge=False)
    for step in explanation.steps:
        steps.add_row(_time(step.at_ms), escape(step.what), step.agent_id or "", step.offer_id or "")
    agents = sorted(explanation.agents, key=lambda answer: _NEAREST_FIRST.index(answer.verdict))
    shown = agents if show_all else agents[:_AGENTS_SHOWN]
    table = Table("Agent", "Answer", "Why", "May change", "Path", box=None, pad_edge=False)
    for answer in shown:
        style = "green" if answer.verdict is Verdict.CHOSEN else ""
        table.add_row(
            answer.agent_id,
            answer.verdict,
            escape(answer.detail),
            _time(answer.may_change_ms) if answer.may_change_ms is not None else "",
            escape(" > ".join(answer.path[1:])),
            style=style,
        )
    parts: list[RenderableType] = [head, Text(), steps, Text(), table]
    if len(shown) < len(agents):
        parts.append(Text(f"... and {len(agents) - len(shown)} more agents (--all shows them): {_counts(agents)}"))
    return Group(*parts)


def _counts(agents: Sequence[AgentAnswer]) -> str:
    counts = Counter(answer.verdict for answer in agents)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in _NEAREST_FIRST if counts[verdict])


def _client(explanation: Explanation) -> str:
    return f"client {explanation.client_id}" if explanation.client_id is not None else "unknown client"


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%H:%M:%S")
