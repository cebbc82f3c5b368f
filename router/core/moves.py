"""Move plans: work that goes from site to site in dated steps, and which site may be offered the next call.

In a step, every site has a share of a portfolio's calls. It may be offered one more only while it is short of calls:
``share * (n + 1) - 10,000 * n_site > 0``, where n counts the calls of the step, answered and on their way. The site
that is shortest of calls comes first. These are largest deficits, as seats are given to parties: with somebody always
idle everywhere, neither of two sites is ever more than half a call away from its share. Counts start afresh with each
step.

A step is due at the midnight of its day in the plan's time zone; its gate is looked at then and, while it does not
pass, at each midnight after. All that the gate compares is counted here, in integers.

What a newcomer gets wrong: a stage is not a step. A step belongs to the plan; a stage is what became of one portfolio's
calls since a step (or a way back) last changed its shares. What was on its way when a stage ended counts in none.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta

from msgspec import Struct
from msgspec.structs import replace

from router.core.days import LocalDays
from router.core.decisions import ReportPlan, Rule
from router.core.errors import EventRejected, Rejection
from router.core.model import MovePlan, MoveStep, OrganisationDescription, PortfolioId, SiteId, SupplierId

__all__ = [
    "NOWHERE", "GateCheck", "MoveBook", "MoveChange", "MoveRecord", "MoveState", "SiteCalls", "SiteRecord", "Stage",
    "StageState",
]  # fmt: skip

NOWHERE = SiteId("")
"""Stands for all who sit at no site of the plan: their calls count, but for no share."""

# Years of steps and of somebody's holding and advancing them; it must not grow without end.
_CHANGES_MAX = 256
_DAY = timedelta(days=1)
_ALL_BP = 10_000


# --- What is kept and shown ----------------------------------------------------------------------------------------


class SiteCalls(Struct, frozen=True, array_like=True, gc=False):
    """A site's calls in a stage."""

    site_id: SiteId
    answered: int
    spilled: int
    """Of these: let go there although the site had had its share."""


class StageState(Struct, frozen=True, array_like=True, gc=False):
    """What became of a portfolio's calls in a stage. Calls on their way are known by the calls."""

    portfolio_id: PortfolioId
    sites: tuple[SiteCalls, ...]
    timed: int
    """Answered while the caller waited; call-backs are not."""
    within: int
    """Of these: answered well."""
    lost: int
    """Given up, or sent to a fallback, after a wait for which no answer would have been a good one."""
    handled: int
    """Conversations that are over, wrap-up included."""
    handled_ms: int

    @property
    def answered(self) -> int:
        return sum(site.answered for site in self.sites)

    @property
    def within_bp(self) -> int | None:
        """The share of calls answered well, rounded down; None: there were none."""
        return self.within * _ALL_BP // (self.timed + self.lost) if self.timed + self.lost else None

    @property
    def handling_ms(self) -> int | None:
        return self.handled_ms // self.handled if self.handled else None


class MoveChange(Struct, frozen=True, gc=False):
    """Something that was done to a plan."""

    at_ms: int
    rule: Rule
    step_id: str
    """The step that was taken, undone or kept waiting; empty: none was left."""
    by: str | None


class MoveState(Struct, frozen=True, array_like=True, gc=False):
    """How a plan stands, as plain data."""

    move_plan_id: str
    step_id: str | None
    """The last step in force."""
    step_from: date | None
    """Its day, by which the place is found should the step be gone."""
    held_by: str | None
    failing: tuple[str, ...]
    changes: tuple[MoveChange, ...]
    before: tuple[StageState, ...]
    """Before the first step of each portfolio that has had one."""
    stages: tuple[StageState, ...]


class GateCheck(Struct, frozen=True, kw_only=True):
    """One thing that must hold of a portfolio before the next step."""

    portfolio_id: PortfolioId
    check: str
    """``calls``, ``service_level`` or ``handling_time``."""
    value: int | None
    """Calls, hundredths of a percent or milliseconds; None: there is nothing yet."""
    limit: int | None
    """At least (a handling time: at most) this, in the same unit; None: there is nothing to compare with."""
    passes: bool

    def __str__(self) -> str:
        return f"{self.portfolio_id}: {_CHECK_WORDS[self.check](self.value, self.limit)}"


# --- What counts ---------------------------------------------------------------------------------------------------


class SiteRecord:
    __slots__ = ("answered", "on_way", "spilled")

    def __init__(self) -> None:
        self.answered = 0
        self.on_way = 0
        self.spilled = 0


class Stage:
    """A portfolio's calls since its shares last changed."""

    __slots__ = (
        "calls", "handled", "handled_ms", "is_present", "lost", "plan", "portfolio_id", "shares", "sites", "timed",
        "within",
    )  # fmt: skip

    def __init__(self, plan: MovePlan, portfolio_id: PortfolioId, shares: Mapping[SiteId, int] | None) -> None:
        self.plan = plan
        self.portfolio_id = portfolio_id
        self.shares = shares
        """None: no step is in force, and every site may have any call."""
        self.is_present = True
        """False: the stage is over."""
        self.calls = 0
        """Answered and on their way."""
        self.sites: dict[SiteId, SiteRecord] = {}
        self.timed = self.within = self.lost = self.handled = self.handled_ms = 0

    def deficit(self, site_id: SiteId) -> int:
        """How far the site would be behind its share if the next call went elsewhere, in ten-thousandths of a call."""
        if self.shares is None:
            return 0
        site = self.sites.get(site_id)
        there = 0 if site is None else site.answered + site.on_way
        return self.shares.get(site_id, 0) * (self.calls + 1) - _ALL_BP * there

    def is_open(self, site_id: SiteId) -> bool:
        """Whether the site may be offered the next call."""
        return self.shares is None or self.deficit(site_id) > 0

    def why_not(self, site_id: SiteId) -> str:
        """Why the site may not be offered the next call, in words."""
        site, shares = self.sites.get(site_id), self.shares or {}
        there = 0 if site is None else site.answered + site.on_way
        where = site_id or "places that are no site of the plan"
        return (
            f"plan: {where} has {there:,} of {self.calls:,} calls of this step, its share is "
            f"{shares.get(site_id, 0) / 100:g} %"
        )

    def send(self, site_id: SiteId) -> None:
        """A call is on its way to the site: `answered` or `give_back` must follow."""
        self.calls += 1
        self._site(site_id).on_way += 1

    def give_back(self, site_id: SiteId) -> None:
        self.calls -= 1
        self._site(site_id).on_way -= 1

    def answered(self, site_id: SiteId, *, wait_ms: int | None, is_spill: bool) -> None:
        """A call that was on its way has been answered; *wait_ms* is None for a call-back."""
        site = self._site(site_id)
        site.on_way -= 1
        site.answered += 1
        site.spilled += is_spill
        if wait_ms is not None:
            self.timed += 1
            self.within += wait_ms <= self.plan.within_s * 1000

    def lose(self, wait_ms: int) -> None:
        """A call that nobody had answered has ended. One that ended early might yet have been answered well."""
        self.lost += wait_ms > self.plan.within_s * 1000

    def handle(self, handled_ms: int) -> None:
        """A conversation and its wrap-up are over."""
        self.handled += 1
        self.handled_ms += handled_ms

    def state(self) -> StageState:
        return StageState(
            self.portfolio_id,
            tuple(
                SiteCalls(site_id, site.answered, site.spilled)
                for site_id, site in sorted(self.sites.items())
                if site.answered
            ),
            self.timed,
            self.within,
            self.lost,
            self.handled,
            self.handled_ms,
        )

    def restore(self, state: StageState) -> None:
        """Go on from what `state` was; calls on their way come with `send`."""
        for told in state.sites:
            site = self._site(told.site_id)
            site.answered, site.spilled = told.answered, told.spilled
        self.calls = state.answered
        self.timed, self.within, self.lost = state.timed, state.within, state.lost
        self.handled, self.handled_ms = state.handled, state.handled_ms

    def _site(self, site_id: SiteId) -> SiteRecord:
        site = self.sites.get(site_id)
        if site is None:
            site = self.sites[site_id] = SiteRecord()
        return site


class MoveRecord:
    """A plan, how many of its steps are in force, and a stage for each of its portfolios."""

    __slots__ = ("_calendar", "before", "changes", "failing", "held_by", "plan", "stages", "taken", "timer")

    def __init__(self, plan: MovePlan) -> None:
        self.plan = plan
        self._calendar = LocalDays(plan.time_zone)
        self.taken = 0
        """Steps in force, counted from the first."""
        self.held_by: str | None = None
        self.failing: tuple[str, ...] = ()
        """What kept the next step from being taken when it was looked at last; told once."""
        self.changes: list[MoveChange] = []
        self.before: dict[PortfolioId, StageState] = {}
        self.stages = {portfolio_id: Stage(plan, portfolio_id, None) for portfolio_id in plan.portfolios}
        self.timer = 0

    # What is in force

    @property
    def step(self) -> MoveStep | None:
        """The last step that was taken."""
        return self.plan.steps[self.taken - 1] if self.taken else None

    @property
    def next_step(self) -> MoveStep | None:
        return self.plan.steps[self.taken] if self.taken < len(self.plan.steps) else None

    def step_of(self, portfolio_id: PortfolioId, taken: int) -> MoveStep | None:
        """The step that says where the portfolio's calls go when *taken* steps are in force."""
        concerned = (step for step in reversed(self.plan.steps[:taken]) if step.portfolio_id in (None, portfolio_id))
        return next(concerned, None)

    def concerned_by(self, step: MoveStep) -> tuple[PortfolioId, ...]:
        return self.plan.portfolios if step.portfolio_id is None else (step.portfolio_id,)

    def next_look_ms(self, now_ms: int) -> int | None:
        """When something may change by itself; None: nothing does."""
        step = self.next_step
        if step is None or self.held_by is not None:
            return None
        due_ms = self._calendar.midnight_ms(step.valid_from)
        return due_ms if due_ms > now_ms else self._calendar.midnight_ms(self._calendar.day_of(now_ms) + _DAY)

    def day_of(self, now_ms: int) -> date:
        """The plan's local day of a moment."""
        return self._calendar.day_of(now_ms)

    def is_due(self, step: MoveStep, now_ms: int) -> bool:
        return self._calendar.midnight_ms(step.valid_from) <= now_ms

    # The gate

    def checks(self, step: MoveStep) -> tuple[GateCheck, ...]:
        """What must hold before the step, as it stands now."""
        return tuple(check for portfolio_id in self.concerned_by(step) for check in self._checks_of(portfolio_id))

    def _checks_of(self, portfolio_id: PortfolioId) -> Iterator[GateCheck]:
        plan, now, before = self.plan, self.stages[portfolio_id].state(), self.before.get(portfolio_id)
        yield GateCheck(
            portfolio_id=portfolio_id,
            check="calls",
            value=now.answered,
            limit=plan.calls_min,
            passes=now.answered >= plan.calls_min,
        )
        # The level asked for, as a fraction that nothing has been rounded of.
        if plan.within_target_bp is not None:
            part, whole = plan.within_target_bp, _ALL_BP
        else:
            part, whole = (before.within, before.timed + before.lost) if before is not None else (0, 0)
        all_now = now.timed + now.lost
        floor = part * _ALL_BP - plan.within_tolerance_bp * whole
        yield GateCheck(
            portfolio_id=portfolio_id,
            check="service_level",
            value=now.within_bp,
            limit=max(0, -(-floor // whole)) if whole else None,
            passes=now.within * _ALL_BP * whole >= floor * all_now,
        )
        handled, handled_ms = (before.handled, before.handled_ms) if before is not None else (0, 0)
        ceiling = handled_ms * (_ALL_BP + plan.handling_tolerance_bp)
        yield GateCheck(
            portfolio_id=portfolio_id,
            check="handling_time",
            value=now.handling_ms,
            limit=ceiling // (_ALL_BP * handled) if handled else None,
            passes=not handled or now.handled_ms * handled * _ALL_BP <= ceiling * now.handled,
        )

    # Going on and back

    def look(self, now_ms: int) -> list[ReportPlan]:
        """Take every step whose day has come and whose gate passes."""
        reports = []
        while self.held_by is None and (step := self.next_step) is not None and self.is_due(step, now_ms):
            failing = [check for check in self.checks(step) if not check.passes]
            if not failing:
                reports.append(self._take(step, Rule.STEP_TAKEN, None, now_ms))
                continue
            what = tuple(f"{check.portfolio_id} {check.check}" for check in failing)
            if what != self.failing:
                self.failing = what
                words = "; ".join(map(str, failing))
                reports.append(self._report(Rule.GATE_FAILED, step, None, now_ms, f"the gate has not passed: {words}"))
            break
        return reports

    def hold(self, by: str, now_ms: int) -> list[ReportPlan]:
        step = self._next_or_refuse()
        if self.held_by is not None:
            raise self._refusal(Rejection.WRONG_PLAN_STATE, f"is held by {self.held_by} already")
        self.held_by, self.failing = by, ()
        return [self._report(Rule.PLAN_HELD, step, by, now_ms, f"stands still before step {step.step_id}")]

    def advance(self, by: str, now_ms: int, *, override: bool) -> list[ReportPlan]:
        step = self._next_or_refuse()
        if override:
            self.held_by = None
            words = "; ".join(str(check) for check in self.checks(step) if not check.passes) or "the gate passes"
            return [self._take(step, Rule.GATE_OVERRIDE, by, now_ms, words), *self.look(now_ms)]
        if self.held_by is not None:
            self.held_by = None
            released = self._report(Rule.PLAN_RELEASED, step, by, now_ms, f"goes on with step {step.step_id}")
            return [released, *self.look(now_ms)]
        if not self.is_due(step, now_ms):
            raise self._refusal(
                Rejection.WRONG_PLAN_STATE,
                f"takes step {step.step_id} on {step.valid_from}; override it to take the step now",
            )
        failing = [str(check) for check in self.checks(step) if not check.passes]
        if failing:
            raise self._refusal(Rejection.GATE_FAILED, f"waits before step {step.step_id}: {'; '.join(failing)}")
        return self.look(now_ms)

    def roll_back(self, by: str, now_ms: int, *, at_risk: str | None) -> list[ReportPlan]:
        """Undo the last step and stand still. *at_risk*: the share that this may break, which somebody has accepted."""
        step = self.step_or_refuse()
        self.taken -= 1
        self._set_out_again(self.concerned_by(step))
        self.held_by, self.failing = by, ()
        rule = Rule.STEP_ROLLED_BACK if at_risk is None else Rule.SHARE_OVERRIDE
        return [self._report(rule, step, by, now_ms, at_risk or f"is back before step {step.step_id}")]

    def step_or_refuse(self) -> MoveStep:
        if self.step is None:
            raise self._refusal(Rejection.WRONG_PLAN_STATE, "has taken no step that could be undone")
        return self.step

    def _next_or_refuse(self) -> MoveStep:
        if self.next_step is None:
            raise self._refusal(Rejection.WRONG_PLAN_STATE, "has taken all its steps")
        return self.next_step

    def _refusal(self, reason: Rejection, words: str) -> EventRejected:
        return EventRejected(reason, f"plan {self.plan.move_plan_id} {words}")

    def _take(self, step: MoveStep, rule: Rule, by: str | None, now_ms: int, words: str = "") -> ReportPlan:
        self.taken += 1
        self.failing = ()
        for portfolio_id in self.concerned_by(step):
            self.before.setdefault(portfolio_id, self.stages[portfolio_id].state())
        self._set_out_again(self.concerned_by(step))
        return self._report(rule, step, by, now_ms, f"step {step.step_id} is in force{words and ': '}{words}")

    def _set_out_again(self, portfolios: Iterable[PortfolioId]) -> None:
        for portfolio_id in portfolios:
            self.stages[portfolio_id] = Stage(self.plan, portfolio_id, self._shares_of(portfolio_id))

    def _shares_of(self, portfolio_id: PortfolioId) -> Mapping[SiteId, int] | None:
        step = self.step_of(portfolio_id, self.taken)
        return None if step is None else step.shares

    def _report(self, rule: Rule, step: MoveStep, by: str | None, now_ms: int, words: str) -> ReportPlan:
        self.changes.append(MoveChange(now_ms, rule, step.step_id, by))
        del self.changes[:-_CHANGES_MAX]
        return ReportPlan(
            rule=rule,
            move_plan_id=self.plan.move_plan_id,
            step_id=None if self.step is None else self.step.step_id,
            next_step_id=None if self.next_step is None else self.next_step.step_id,
            by=by,
            detail=words,
        )

    # Through versions and snapshots

    def state(self) -> MoveState:
        step = self.step
        return MoveState(
            self.plan.move_plan_id,
            None if step is None else step.step_id,
            None if step is None else step.valid_from,
            self.held_by,
            self.failing,
            tuple(self.changes),
            tuple(before for _, before in sorted(self.before.items())),
            tuple(stage.state() for _, stage in sorted(self.stages.items())),
        )

    def restore(self, state: MoveState, stages: Mapping[PortfolioId, Stage] | None = None) -> None:
        """Go on from what `state` was, perhaps of an older version of the plan.

        Args:
            state: How the plan stood.
            stages: The older version's, to be gone on with where shares are still the same; None: the state has them.
        """
        self.taken = self._place(state)
        self.held_by = state.held_by if self.next_step is not None else None
        self.failing = state.failing
        self.changes = list(state.changes)
        self.before = {before.portfolio_id: before for before in state.before}
        self._set_out_again(self.stages)
        for told in state.stages if stages is None else ():
            self.stages[told.portfolio_id].restore(told)
        for portfolio_id, stage in (stages or {}).items():
            if portfolio_id in self.stages and stage.shares == self.stages[portfolio_id].shares:
                stage.plan = self.plan
                self.stages[portfolio_id] = stage

    def _place(self, state: MoveState) -> int:
        if state.step_id is None or state.step_from is None:
            return 0
        for number, step in enumerate(self.plan.steps, start=1):
            if step.step_id == state.step_id:
                return number
        return sum(step.valid_from <= state.step_from for step in self.plan.steps)


class MoveBook:
    """All move plans, and the stage of each portfolio that belongs to one."""

    __slots__ = ("_asleep", "_companies", "_countries", "_stages", "_suppliers", "records")

    def __init__(self) -> None:
        self.records: dict[str, MoveRecord] = {}
        self._asleep: dict[str, MoveState] = {}
        """Plans that are not in the present version, should they come back."""
        self._stages: dict[PortfolioId, Stage] = {}
        self._countries: dict[SiteId, str | None] = {}
        self._companies: dict[PortfolioId, str] = {}
        self._suppliers: dict[SiteId, set[SupplierId]] = {}

    def follow(self, description: OrganisationDescription) -> None:
        """Take over a new version: each plan stays where it stood, and so do counts where shares stay the same."""
        old, self.records = self.records, {}
        for record in old.values():
            record.timer = 0
        # What comes back later finds its place again; its calls have been answered under other rules meanwhile.
        self._asleep |= {plan_id: _without_stages(record.state()) for plan_id, record in old.items()}
        for plan in description.move_plans:
            record = self.records[plan.move_plan_id] = MoveRecord(plan)
            state = self._asleep.pop(plan.move_plan_id, None)
            if state is not None:
                left = old.get(plan.move_plan_id)
                record.restore(state, left.stages if left is not None else {})
        self.find_stages()
        if self.records:
            self._companies = {p.portfolio_id: p.company or description.company for p in description.portfolios}
            self._countries = {site.site_id: site.country for site in description.sites}
            teams = {team.team_id: team for team in description.teams}
            self._suppliers = {}
            for agent in description.agents:
                team = teams[agent.team_id]
                suppliers = self._suppliers.setdefault(agent.site_id or team.site_id, set())
                suppliers.add(agent.supplier_id or team.supplier_id)

    def find_stages(self) -> None:
        """Look up which stages are the present ones; steps were taken or undone."""
        for stage in self._stages.values():
            stage.is_present = False
        self._stages = {
            portfolio_id: stage for record in self.records.values() for portfolio_id, stage in record.stages.items()
        }
        for stage in self._stages.values():
            stage.is_present = True

    # For routing

    def stage_of(self, portfolio_id: PortfolioId) -> Stage | None:
        """What counts the portfolio's calls now; None: it belongs to no plan."""
        return self._stages.get(portfolio_id)

    def site_of(self, site_id: SiteId, country: str) -> SiteId:
        """The site that a call counts for.

        Whoever works from home counts for the site that they belong to, while home is in its country.
        """
        return site_id if self._countries.get(site_id) == country else NOWHERE

    # For people

    def find(self, move_plan_id: str) -> MoveRecord:
        record = self.records.get(move_plan_id)
        if record is None:
            raise EventRejected(Rejection.UNKNOWN_PLAN, f"the organisation has no move plan {move_plan_id!r}")
        return record

    def company_of(self, portfolio_id: PortfolioId) -> str:
        return self._companies[portfolio_id]

    def amounts_before(self, record: MoveRecord, portfolio_id: PortfolioId) -> Mapping[SiteId, int]:
        """Where the portfolio's calls would go with one step less: shares, or the calls counted before the first."""
        step = record.step_of(portfolio_id, record.taken - 1)
        if step is not None:
            return step.shares
        before = record.before.get(portfolio_id)
        return {site.site_id: site.answered for site in before.sites} if before is not None else {}

    def split(
        self, amounts: Mapping[SiteId, int], supplier_id: SupplierId, countries: Iterable[str]
    ) -> tuple[int, int]:
        """How much of *amounts* falls to sites of the supplier in *countries*, and to all sites of the supplier."""
        theirs = {s: amount for s, amount in amounts.items() if supplier_id in self._suppliers.get(s, ())}
        inside = {site_id for site_id in theirs if (self._countries[site_id] or NOWHERE) in countries}
        return sum(theirs[site_id] for site_id in inside), sum(theirs.values())

    # For snapshots

    def states(self) -> tuple[MoveState, ...]:
        """All plans, present and past, by id."""
        present = {plan_id: record.state() for plan_id, record in self.records.items()}
        return tuple(state for _, state in sorted((self._asleep | present).items()))

    def restore(self, states: Iterable[MoveState]) -> None:
        for state in states:
            record = self.records.get(state.move_plan_id)
            if record is None:
                self._asleep[state.move_plan_id] = state
            else:
                record.restore(state)
        self.find_stages()


def _without_stages(state: MoveState) -> MoveState:
    return replace(state, stages=())


def _calls_words(value: int | None, limit: int | None) -> str:
    return f"{value:,} calls answered in this step, {limit:,} are needed"


def _service_words(value: int | None, limit: int | None) -> str:
    now = "no calls" if value is None else f"{value / 100:.2f} % of calls"
    return f"{now} answered well" + ("" if limit is None else f", {limit / 100:.2f} % are needed")


def _handling_words(value: int | None, limit: int | None) -> str:
    now = "nothing handled yet" if value is None else f"{value / 1000:.1f} s a call"
    return now + ("" if limit is None else f", {limit / 1000:.1f} s are the most")


_CHECK_WORDS = {"calls": _calls_words, "service_level": _service_words, "handling_time": _handling_words}
