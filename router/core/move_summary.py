"""How a move plan stands and how far it has come, for people and metrics."""

from datetime import date, timedelta
from enum import StrEnum

from msgspec import Struct

from router.core.decisions import Rule
from router.core.model import PortfolioId, SiteId
from router.core.moves import GateCheck, MoveChange, MoveRecord, SiteRecord, Stage

__all__ = [
    "MovePlanSummary", "MovePortfolioSummary", "MoveSiteSummary", "MoveStepState", "MoveStepSummary", "summarise_plan",
]  # fmt: skip

_TAKING = frozenset({Rule.STEP_TAKEN, Rule.GATE_OVERRIDE})


class MoveSiteSummary(Struct, frozen=True, kw_only=True):
    site_id: SiteId
    """Empty: agents who sit at no site of the plan."""
    share_bp: int | None
    """None: no step is in force."""
    answered: int
    on_way: int
    """Offered there, or accepted."""
    spilled: int
    deficit: int
    """In ten-thousandths of a call: above 0, the site may be offered the next."""


class MovePortfolioSummary(Struct, frozen=True, kw_only=True):
    portfolio_id: PortfolioId
    step_id: str | None
    """The step in force for it; None: none yet."""
    calls: int
    """Answered since it is."""
    within_bp: int | None
    handling_ms: int | None
    within_before_bp: int | None
    handling_before_ms: int | None
    sites: tuple[MoveSiteSummary, ...]


class MoveStepState(StrEnum):
    TAKEN = "taken"
    IN_FORCE = "in_force"
    """The last that was taken."""
    HELD = "held"
    """The next one, whose day has come."""
    TO_COME = "to_come"


class MoveStepSummary(Struct, frozen=True, kw_only=True):
    step_id: str
    valid_from: date
    portfolio_id: PortfolioId | None
    shares: dict[SiteId, int]
    agents_moved: int
    state: MoveStepState


class MovePlanSummary(Struct, frozen=True, kw_only=True):
    """How a plan stands, and how far it has come."""

    move_plan_id: str
    deadline: date
    time_zone: str
    to_sites: tuple[SiteId, ...]
    step_id: str | None
    next_step_id: str | None
    held_by: str | None
    """Who wants it to stand still; None: nobody."""
    gate: tuple[GateCheck, ...]
    """Before the next step, as of now."""
    agents: int
    agents_moved: int
    calls: int
    """Answered in the present step of each portfolio."""
    calls_moved: int
    """Of these: where the work goes."""
    projected: date
    """When the last step was taken, or will be if all that is late stays as late as it is today."""
    is_late: bool
    """That is after the deadline."""
    steps: tuple[MoveStepSummary, ...]
    portfolios: tuple[MovePortfolioSummary, ...]
    changes: tuple[MoveChange, ...]
    """What was done to the plan, the last of it, oldest first."""

    @property
    def is_held_by_gate(self) -> bool:
        """Whether a step whose day has come waits for its gate alone."""
        return self.held_by is None and any(step.state is MoveStepState.HELD for step in self.steps)


def summarise_plan(record: MoveRecord, now_ms: int) -> MovePlanSummary:
    plan, step = record.plan, record.next_step
    stages = [stage.state() for stage in record.stages.values()]
    projected = _projected(record, now_ms)
    return MovePlanSummary(
        move_plan_id=plan.move_plan_id,
        deadline=plan.deadline,
        time_zone=plan.time_zone,
        to_sites=plan.to_sites,
        step_id=None if record.step is None else record.step.step_id,
        next_step_id=None if step is None else step.step_id,
        held_by=record.held_by,
        gate=record.checks(step) if step is not None else (),
        agents=plan.agents,
        agents_moved=record.step.agents_moved if record.step is not None else 0,
        calls=sum(stage.answered for stage in stages),
        calls_moved=sum(site.answered for stage in stages for site in stage.sites if site.site_id in plan.to_sites),
        projected=projected,
        is_late=projected > plan.deadline,
        steps=tuple(_step_summary(record, number, now_ms) for number in range(len(plan.steps))),
        portfolios=tuple(_portfolio_summary(record, stage) for stage in record.stages.values()),
        changes=tuple(record.changes),
    )


def _projected(record: MoveRecord, now_ms: int) -> date:
    last = record.plan.steps[-1].valid_from
    if record.next_step is None:
        taken_ms = next((change.at_ms for change in reversed(record.changes) if change.rule in _TAKING), None)
        return last if taken_ms is None else record.day_of(taken_ms)
    return last + max(timedelta(), record.day_of(now_ms) - record.next_step.valid_from)


def _step_summary(record: MoveRecord, number: int, now_ms: int) -> MoveStepSummary:
    step = record.plan.steps[number]
    if number < record.taken:
        state = MoveStepState.IN_FORCE if number == record.taken - 1 else MoveStepState.TAKEN
    elif number == record.taken and (record.held_by is not None or record.is_due(step, now_ms)):
        state = MoveStepState.HELD
    else:
        state = MoveStepState.TO_COME
    return MoveStepSummary(
        step_id=step.step_id,
        valid_from=step.valid_from,
        portfolio_id=step.portfolio_id,
        shares=step.shares,
        agents_moved=step.agents_moved,
        state=state,
    )


def _portfolio_summary(record: MoveRecord, stage: Stage) -> MovePortfolioSummary:
    now, before = stage.state(), record.before.get(stage.portfolio_id)
    step = record.step_of(stage.portfolio_id, record.taken)
    shown = {site_id for site_id, site in stage.sites.items() if site.answered or site.on_way}
    return MovePortfolioSummary(
        portfolio_id=stage.portfolio_id,
        step_id=None if step is None else step.step_id,
        calls=now.answered,
        within_bp=now.within_bp,
        handling_ms=now.handling_ms,
        within_before_bp=None if before is None else before.within_bp,
        handling_before_ms=None if before is None else before.handling_ms,
        sites=tuple(_site_summary(stage, site_id) for site_id in sorted(shown | {*(stage.shares or ())})),
    )


def _site_summary(stage: Stage, site_id: SiteId) -> MoveSiteSummary:
    site = stage.sites.get(site_id) or SiteRecord()
    return MoveSiteSummary(
        site_id=site_id,
        share_bp=None if stage.shares is None else stage.shares.get(site_id, 0),
        answered=site.answered,
        on_way=site.on_way,
        spilled=site.spilled,
        deficit=stage.deficit(site_id),
    )
