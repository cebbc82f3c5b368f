"""What people see in a terminal: decisions as lines, explanations, problems and tallies as tables."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
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
    ReportPlan,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.explain import AgentAnswer, Explanation, Verdict
from router.journal_tools.export import Proof
from router.journal_tools.verification import Verification
from router.play import Tally

__all__ = [
    "decision_line", "explanation_view", "notes_view", "problems_view", "proof_view", "size_in_words", "tally_lines",
    "verification_view",
]  # fmt: skip

# A wrong column in a large file is one problem a row: more than a few of a kind would hide the others.
_PROBLEMS_OF_A_KIND_SHOWN = 5
_PROBLEMS_SHOWN = 60
_ANSWERS_SHOWN = 12
_AGENTS_NAMED = 2

# Who was nearest to getting the call comes first.
_NEAREST_FIRST = (
    Verdict.CHOSEN,
    Verdict.PASSED_OVER,
    Verdict.UNKNOWN,
    Verdict.PLAN,
    Verdict.SHARE,
    Verdict.GUARANTEE,
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
    about = ""
    match decision:
        case OfferCall():
            what, whom, style = "offer", f"to {decision.agent_id}", "green"
        case QueueCall():
            what, whom, style = "queue", f"place {decision.position}", "yellow"
            if decision.expected_wait_ms is not None:
                about = f", about {decision.expected_wait_ms / 1000:.0f} s"
            if decision.detail:
                about += f": {decision.detail}"
        case WithdrawOffer():
            what, whom, style = "withdraw", f"from {decision.agent_id}", "magenta"
        case FallbackCall():
            what, whom, style = "fallback", f"to {decision.kind} {decision.target}".rstrip(), "red"
        case PauseAgent() | SignOutAgent():
            what, whom, style = "pause", decision.agent_id, "red"
        case ReportPlan():
            what, whom, style = "plan", decision.move_plan_id, "cyan"
            about = f": {decision.detail}"
        case _:
            return None
    # The agent at the end of the path stands in the line already.
    path = [step for step in decision.path if not step.endswith(f"agent {getattr(decision, 'agent_id', '')}")]
    waited_ms = getattr(decision, "wait_ms", 0)
    line = Text(f"{_time(at_ms)} ")
    line.append(f"{what:<9}", style=style)
    line.append(f"{getattr(decision, 'call_id', ''):<22} {whom:<10} ")
    line.append(f"{decision.rule}{about}" + (f" after {waited_ms / 1000:.1f} s" if waited_ms else ""), style="bold")
    line.append(f"  {' > '.join(path)}", style="dim")
    return line


def problems_view(problems: Sequence[Problem]) -> RenderableType:
    """Problems with file, row and field: the first few of a kind, that is of one field of one file, in full."""
    kinds: defaultdict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.where.split(",")[0], problem.field].append(problem)
    table = Table("Where", "Field", "What is wrong", box=None, pad_edge=False)
    shown = 0
    for (file, field), of_kind in kinds.items():
        first = of_kind[: min(_PROBLEMS_OF_A_KIND_SHOWN, _PROBLEMS_SHOWN - shown)]
        shown += len(first)
        for problem in first:
            table.add_row(escape(problem.where), escape(problem.field), escape(problem.message))
        if first and len(first) < len(of_kind):
            table.add_row(escape(file), escape(field), f"... and {len(of_kind) - len(first)} more of this field")
    hidden = len(problems) - shown
    return (
        Group(table, f"{hidden} of {len(problems)} problems are not shown; router check --json prints all")
        if hidden
        else table
    )


def explanation_view(explanation: Explanation, *, show_all: bool) -> RenderableType:
    """The story of a call, then why it is or is not with each agent, nearest first."""
    outcome = f", {explanation.outcome}" if explanation.outcome is not None else ""
    head = Text.assemble(
        ("call ", "bold"),
        (explanation.call_id, "bold"),
        f": {explanation.status}{outcome}; {_client(explanation)}, portfolio {explanation.portfolio_id} ",
        f"(found by {explanation.found_by})\n",
        f"had waited {explanation.wait_ms / 1000:.1f} s on {_time(explanation.asked_at_ms, '%Y-%m-%d at %H:%M:%S')}",
        f"; rule: {explanation.rule}" if explanation.rule is not None else "",
    )
    steps = Table("Time", "What happened", "Agent", "Offer", box=None, pad_edge=False)
    for step in explanation.steps:
        steps.add_row(_time(step.at_ms), escape(step.what), step.agent_id or "", step.offer_id or "")
    groups = _alike(explanation.agents)
    shown = groups if show_all else groups[:_ANSWERS_SHOWN]
    table = Table("Agents", "Answer", "Why", box=None, pad_edge=False)
    for group in shown:
        answer = group[0]
        style = "green" if answer.verdict is Verdict.CHOSEN else ""
        why = Text(answer.detail)
        if answer.may_change_ms is not None:
            why.append(f"; may change at {_time(answer.may_change_ms)}")
        if way := _way(answer):
            why.append(f"\n{' > '.join(way)}", style="dim")
        table.add_row(_names(group, show_all=show_all), _words(answer.verdict), why, style=style)
    parts: list[RenderableType] = [head, Text(), steps, Text(), table]
    if len(shown) < len(groups):
        rest = sum(map(len, groups[_ANSWERS_SHOWN:]))
        parts.append(Text(f"... and {rest} more agents (--all shows them): {_counts(explanation.agents)}"))
    return Group(*parts)


def _alike(answers: Iterable[AgentAnswer]) -> list[list[AgentAnswer]]:
    """Agents with the same answer, nearest first."""
    groups: defaultdict[Hashable, list[AgentAnswer]] = defaultdict(list)
    for answer in sorted(answers, key=lambda answer: _NEAREST_FIRST.index(answer.verdict)):
        groups[answer.verdict, answer.detail, answer.may_change_ms, _way(answer)].append(answer)
    return list(groups.values())


def _way(answer: AgentAnswer) -> tuple[str, ...]:
    """The path without its ends, which are named already: client and portfolio, and the agent."""
    return answer.path[2:-1]


def _names(group: Sequence[AgentAnswer], *, show_all: bool) -> str:
    names = [answer.agent_id for answer in group]
    if show_all or len(names) <= _AGENTS_NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_AGENTS_NAMED])}, {len(names) - _AGENTS_NAMED} more"


def notes_view(notes: Iterable[str]) -> RenderableType:
    """Paragraphs as a list."""
    table = Table.grid(padding=(0, 1))
    for note in notes:
        table.add_row("-", escape(note))
    return table


def tally_lines(tally: Tally) -> Sequence[str]:
    """What was played: every call, by how it ended; then what else is worth knowing."""
    endings = " + ".join(f"{count} {_words(ending)}" for ending, count in tally.endings.items() if count)
    lines = [f"{tally.arrived} calls arrived" + (f" = {endings}" if endings else "")]
    lines.append(f"{tally.offers} offers, {tally.agents_paused} agents paused for missing too many")
    if tally.refusals:
        refusals = ", ".join(f"{count} {_words(reason)}" for reason, count in tally.refusals.items())
        lines.append(f"events refused by the router: {refusals}")
    return lines


def _words(name: str) -> str:
    return name.replace("_", " ")


def _counts(agents: Sequence[AgentAnswer]) -> str:
    counts = Counter(answer.verdict for answer in agents)
    return ", ".join(f"{counts[verdict]} {_words(verdict)}" for verdict in _NEAREST_FIRST if counts[verdict])


def _client(explanation: Explanation) -> str:
    return f"client {explanation.client_id}" if explanation.client_id is not None else "unknown client"


def _time(at_ms: int, form: str = "%H:%M:%S") -> str:
    return datetime.fromtimestamp(at_ms / 1000).astimezone().strftime(form)


def size_in_words(size_bytes: int) -> str:
    """``1.3 MB``; of decimal units, as disks are sold."""
    size, unit = float(size_bytes), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:
            break
        if unit != "GB":
            size /= 1_000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def verification_view(found: Verification) -> RenderableType:
    """What was verified, and the verdict; the problems themselves are for `problems_view`."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("journal", Text(f"{found.journal}, shard {found.shard}"))
    records = f"{found.records_checked} checked"
    if found.records_checked:
        records += f", offsets {found.first_offset} to {found.last_offset}, {found.first_time} to {found.last_time}"
    table.add_row("records", records)
    table.add_row("replay", f"{found.records_replayed} records")
    for snapshot in found.snapshots:
        what = f"offset {snapshot.offset}, {size_in_words(snapshot.size_bytes)}: {snapshot.finding}"
        table.add_row("snapshot", what)
    for month in found.purged:
        what = f"{month.month}, {month.records} records, offsets {month.first_offset} to {month.last_offset}"
        table.add_row("purged", f"{what}, digest {month.digest[:16]}")
    verdict = "[green]sound[/green]: what is there is what was written, and leads to the same states"
    return table if found.problems else Group(table, verdict)


def proof_view(proof: Proof) -> RenderableType:
    """What exports prove; the problems themselves are for `problems_view`."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("records", f"{proof.records} in the export, {proof.records_compared} of them still in the journal")
    for month in proof.months_proven:
        table.add_row("purged", f"{month}: proven by its digest")
    for month in proof.months_not_covered:
        table.add_row("purged", f"{month}: not in the export as a whole, nothing is proven of it")
    return table if proof.problems else Group(table, "[green]sound[/green]: the export holds what the journal held")
