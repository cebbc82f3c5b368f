"""What a simulated time brought, day by day, counted from what callers and agents lived through.

The shares of contracts are counted here once more, from the answers alone and at each of them, so that they can be held
against the router's own books.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

from msgspec import Struct
from msgspec.structs import replace

from router.core.days import LocalDays
from router.core.decisions import ReportPlan, Rule
from router.core.model import (
    Contract,
    MovePlan,
    OrganisationDescription,
    PortfolioId,
    ShareUnit,
    SiteId,
    SupplierId,
)
from router.core.shares import period_from

__all__ = [
    "START_UP_ANSWERS", "Breach", "ContractCount", "DayCount", "Ledger", "PlanChange", "PlanCount", "total_of",
]  # fmt: skip

START_UP_ANSWERS = 1_000
"""The lowest share is looked for after so many answers of a period: before, one call is more than a tenth of a point.
Whether the share is kept is looked at from the first answer on."""
_BREACHES_SHOWN = 10


class ContractCount(Struct, frozen=True, kw_only=True):
    """Answers under a contract on a day, or in a longer time."""

    contract_id: str
    inside: int
    total: int
    overrides: int
    """Of those in ``total``: abroad although the share forbade it."""
    below: int
    """Of those in ``total``: answers after which the share of the period was below the target."""
    lowest: tuple[int, int] | None
    """The share of the period when it stood lowest after start-up, as inside and total; None: never after start-up."""
    stands: tuple[int, int]
    """The share of the period in the end, as inside and total."""


class PlanCount(Struct, frozen=True, kw_only=True):
    """Answers that a move plan is about, on a day or in a longer time."""

    move_plan_id: str
    answered: int
    moved: int
    """Of these: at the sites where the work goes."""
    step_id: str | None
    """The last step in force in the end; None: none was."""
    agents_moved: int
    """Once that step is in force."""


class PlanChange(Struct, frozen=True, kw_only=True):
    """What a move plan reported."""

    at_ms: int
    day: date
    move_plan_id: str
    rule: Rule
    step_id: str | None
    next_step_id: str | None
    detail: str


class DayCount(Struct, frozen=True, kw_only=True):
    """What happened on a local day, or in a longer time. Each call counts where it stands when it happens."""

    day: date
    """The first one."""
    arrived: int
    answered: int
    """On the line."""
    answered_soon: int
    """Those of them who waited no longer than the organisation's threshold of quality."""
    wait_ms: int
    """What those answered had waited in all."""
    abandoned: int
    elsewhere: int
    """Sent to a message or a number."""
    refused: int
    """Not answered, or called back later, for the sake of a share."""
    called_back: int
    missed: int
    """Offers that nobody answered."""
    asked: int
    """Callers who asked for an agent inside."""
    met: int
    met_ms: int
    """From asking to speaking to one, of those in all."""
    unmet: int
    contracts: tuple[ContractCount, ...]
    plans: tuple[PlanCount, ...]


class Breach(Struct, frozen=True, kw_only=True):
    """An answer after which, overrides left out, a share was below its target: there must be none."""

    at_ms: int
    call_id: str
    contract_id: str
    inside: int
    total: int
    overrides: int


class _ContractLedger:
    """A contract of the organisation as it was written, whatever the run makes of it."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.is_checked = contract.unit is ShareUnit.CALLS
        """Time is promised by its mean, so that a share of time is kept on the whole but not at each answer."""
        self._goal_bp = contract.goal_bp
        self._calendar = LocalDays(contract.time_zone)
        self._day = self._period_from = date.min
        self._valid = [
            self._calendar.midnight_ms(contract.valid_from) if contract.valid_from is not None else -(1 << 62),
            self._calendar.midnight_ms(contract.valid_until) if contract.valid_until is not None else 1 << 62,
        ]
        self._inside = self._total = self._overrides = 0
        """Of the period."""
        self._at_dawn = (0, 0, 0)
        self._before = (0, 0, 0)
        """Of earlier periods of the same day: of time zones that are not the scenario's."""
        self._below = 0
        self._lowest: tuple[int, int] | None = None

    def is_valid(self, now_ms: int) -> bool:
        return self._valid[0] <= now_ms < self._valid[1]

    def answered(self, *, is_inside: bool, is_override: bool, now_ms: int) -> bool:
        """Count an answer; False: the share is broken."""
        day = self._calendar.day_of(now_ms)
        if day != self._day:
            self._turn_to(day)
        self._total += 1
        self._inside += is_inside
        self._overrides += is_override
        inside, total = self._inside, self._total
        goal = self._goal_bp
        is_below = inside * 10_000 < goal * total
        self._below += is_below
        if total > START_UP_ANSWERS and (self._lowest is None or inside * self._lowest[1] < self._lowest[0] * total):
            self._lowest = inside, total
        return not is_below or inside * 10_000 >= goal * (total - self._overrides)

    def _turn_to(self, day: date) -> None:
        self._day = day
        begins = period_from(self.contract, day)
        if begins != self._period_from:
            self._period_from = begins
            was = self._inside - self._at_dawn[0], self._total - self._at_dawn[1], self._overrides - self._at_dawn[2]
            self._before = was
            self._inside = self._total = self._overrides = 0
            self._at_dawn = (0, 0, 0)

    def breach(self, call_id: str, now_ms: int) -> Breach:
        return Breach(
            at_ms=now_ms,
            call_id=call_id,
            contract_id=self.contract.contract_id,
            inside=self._inside,
            total=self._total,
            overrides=self._overrides,
        )

    def close_day(self) -> ContractCount:
        """The counts since the last time, which begin afresh."""
        present = (self._inside, self._total, self._overrides)
        inside, total, overrides = (
            now - dawn + before for now, dawn, before in zip(present, self._at_dawn, self._before, strict=True)
        )
        count = ContractCount(
            contract_id=self.contract.contract_id,
            inside=inside,
            total=total,
            overrides=overrides,
            below=self._below,
            lowest=self._lowest,
            stands=(self._inside, self._total),
        )
        self._at_dawn, self._before = present, (0, 0, 0)
        self._below, self._lowest = 0, None
        return count


class _PlanLedger:
    """A move plan, counted by where calls were answered."""

    def __init__(self, plan: MovePlan) -> None:
        self._plan = plan
        self._portfolios = frozenset(plan.portfolios)
        self._to_sites = frozenset(plan.to_sites)
        self._agents_moved = {step.step_id: step.agents_moved for step in plan.steps}
        self.step_id: str | None = None
        self._answered = self._moved = 0

    def answered(self, portfolio_id: PortfolioId, site_id: SiteId) -> None:
        if portfolio_id in self._portfolios:
            self._answered += 1
            self._moved += site_id in self._to_sites

    def close_day(self) -> PlanCount:
        """The counts since the last time, which begin afresh."""
        count = PlanCount(
            move_plan_id=self._plan.move_plan_id,
            answered=self._answered,
            moved=self._moved,
            step_id=self.step_id,
            agents_moved=0 if self.step_id is None else self._agents_moved[self.step_id],
        )
        self._answered = self._moved = 0
        return count


class Ledger:
    """Counts until `close_day`."""

    def __init__(self, description: OrganisationDescription) -> None:
        """*description* as it was written: a run may have had its rules off."""
        self.breaches: list[Breach] = []
        """The first ones."""
        self.breach_count = 0
        self._soon_ms = description.quality.within_s * 1000
        self._contracts = {contract.contract_id: _ContractLedger(contract) for contract in description.contracts}
        self._company = {p.portfolio_id: p.company or description.company for p in description.portfolios}
        self._by_parties: defaultdict[tuple[str, SupplierId], list[_ContractLedger]] = defaultdict(list)
        for each in self._contracts.values():
            self._by_parties[each.contract.company, each.contract.supplier_id].append(each)
        self._plans = {plan.move_plan_id: _PlanLedger(plan) for plan in description.move_plans}
        self.plan_changes: list[PlanChange] = []
        self._begin()

    def _begin(self) -> None:
        self.arrived = self.abandoned = self.elsewhere = self.refused = self.called_back = self.missed = 0
        self.asked = self.met = self.met_ms = self.unmet = 0
        self._answered = self._answered_soon = self._wait_ms = 0

    def answered_on_line(self, wait_ms: int) -> None:
        self._answered += 1
        self._wait_ms += wait_ms
        if wait_ms <= self._soon_ms:
            self._answered_soon += 1

    def answered(
        self,
        call_id: str,
        portfolio_id: PortfolioId,
        supplier_id: SupplierId,
        site_id: SiteId,
        country: str,
        *,
        is_override: bool,
        now_ms: int,
    ) -> Contract | None:
        """A call's first answer, of somebody called back too; the contract under which it is work, if any."""
        for plan in self._plans.values():
            plan.answered(portfolio_id, site_id)
        for each in self._by_parties[self._company[portfolio_id], supplier_id]:
            if each.is_valid(now_ms):
                is_inside = country in each.contract.countries
                is_kept = each.answered(is_inside=is_inside, is_override=is_override, now_ms=now_ms)
                if not is_kept and each.is_checked:
                    self.breach_count += 1
                    if len(self.breaches) < _BREACHES_SHOWN:
                        self.breaches.append(each.breach(call_id, now_ms))
                return each.contract
        return None

    def plan_reported(self, report: ReportPlan, day: date, now_ms: int) -> None:
        """A move plan went on, went back or stands still."""
        self._plans[report.move_plan_id].step_id = report.step_id
        self.plan_changes.append(
            PlanChange(
                at_ms=now_ms,
                day=day,
                move_plan_id=report.move_plan_id,
                rule=report.rule,
                step_id=report.step_id,
                next_step_id=report.next_step_id,
                detail=report.detail,
            )
        )

    def close_day(self, day: date) -> DayCount:
        """All since the last time; counting begins afresh."""
        count = DayCount(
            day=day,
            arrived=self.arrived,
            answered=self._answered,
            answered_soon=self._answered_soon,
            wait_ms=self._wait_ms,
            abandoned=self.abandoned,
            elsewhere=self.elsewhere,
            refused=self.refused,
            called_back=self.called_back,
            missed=self.missed,
            asked=self.asked,
            met=self.met,
            met_ms=self.met_ms,
            unmet=self.unmet,
            contracts=tuple(each.close_day() for each in self._contracts.values()),
            plans=tuple(each.close_day() for each in self._plans.values()),
        )
        self._begin()
        return count


_SUMS = tuple(name for name in DayCount.__struct_fields__ if name not in ("day", "contracts", "plans"))


def total_of(days: Sequence[DayCount]) -> DayCount:
    """Several days, at least one, as one count."""
    contracts = zip(*(each.contracts for each in days), strict=True)
    sums = {name: sum(getattr(each, name) for each in days) for name in _SUMS}
    return DayCount(
        day=days[0].day,
        **sums,
        contracts=tuple(_total_of_contract(each) for each in contracts),
        plans=tuple(_total_of_plan(each) for each in zip(*(each.plans for each in days), strict=True)),
    )


def _total_of_plan(days: Sequence[PlanCount]) -> PlanCount:
    answered, moved = sum(each.answered for each in days), sum(each.moved for each in days)
    return replace(days[-1], answered=answered, moved=moved)


def _total_of_contract(days: Sequence[ContractCount]) -> ContractCount:
    return ContractCount(
        contract_id=days[0].contract_id,
        inside=sum(each.inside for each in days),
        total=sum(each.total for each in days),
        overrides=sum(each.overrides for each in days),
        below=sum(each.below for each in days),
        lowest=_lowest(each.lowest for each in days),
        stands=days[-1].stands,
    )


def _lowest(shares: Iterable[tuple[int, int] | None]) -> tuple[int, int] | None:
    lowest: tuple[int, int] | None = None
    for share in shares:
        if share is not None and (lowest is None or share[0] * lowest[1] < lowest[0] * share[1]):
            lowest = share
    return lowest
