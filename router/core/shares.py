"""The share of a contract: how much of its work is done in the country, and whether a call may still go abroad.

Work is counted by contract, local day and country of the agent, so that any period can be looked at later, and in three
units at once: answered calls, time of conversation, time signed in. The contract says which of them its share is of.

A call may be offered abroad only if the share would still be the target and a margin, had all that is promised abroad
and this call been done: ``inside * 10,000 >= (goal + margin) * (total + promised + this)``. What is under way in the
country is not counted before it is done, since it may fail. So no answer abroad can bring the share below its target,
but one that was let through knowingly. Everything is integer arithmetic; exactly the target is enough.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from msgspec import Struct

from router.core.days import LocalDays
from router.core.errors import EventRejected, Rejection
from router.core.model import Contract, SharePeriod, ShareUnit, SupplierId

__all__ = [
    "Adjustment",
    "ContractDay",
    "ContractRecord",
    "DayRecord",
    "Forecast",
    "Outlook",
    "ShareBook",
    "period_from",
]

_ALWAYS = (-(1 << 62), 1 << 62)


# --- What can be seen ----------------------------------------------------------------------------------------------


class ContractDay(Struct, frozen=True, array_like=True, gc=False):
    """What was done for a contract on one local day by agents who sat in one country."""

    contract_id: str
    day: date
    country: str
    calls: int
    """Answered, each with its first answer; call-backs that were made too."""
    talk_ms: int
    agent_ms: int
    """Signed in, of the supplier's agents."""
    overrides: int
    """Of the calls: let through although the share forbade it."""
    refused: int
    """Calls that were refused or turned into call-backs since nobody in the country was free."""


class Adjustment(Struct, frozen=True, array_like=True, gc=False):
    """A later correction of what was counted, which stays beside the counts."""

    made_ms: int
    contract_id: str
    day: date
    country: str
    calls: int
    """More, or fewer."""
    talk_ms: int
    reason: str
    agent_ms: int = 0
    made_by: str = ""


class Forecast(NamedTuple):
    """What is needed of the rest of a period."""

    needed_bp: int | None
    """The share that what is still to come must have, rounded up; None: nothing is still to come."""
    level: str
    """"green", "amber" or "red"."""


class Outlook(NamedTuple):
    """How a share stands; times are in milliseconds."""

    unit: ShareUnit
    inside: int
    total: int
    promised: int
    """Offered abroad, or at agents abroad, and not counted yet."""
    share_bp: int | None
    """Rounded down; None: nothing was done yet."""
    is_open: bool
    """Whether one more call may go abroad."""
    forecast: Forecast


# --- What counts ---------------------------------------------------------------------------------------------------


class DayRecord:
    """The counts of `ContractDay` while they grow, and what adjustments add to them."""

    __slots__ = (
        "adjusted_agent_ms", "adjusted_calls", "adjusted_talk_ms", "agent_ms", "calls", "contract_id", "country", "day",
        "overrides", "refused", "talk_ms",
    )  # fmt: skip

    def __init__(self, contract_id: str, day: date, country: str) -> None:
        self.contract_id = contract_id
        self.day = day
        self.country = country
        self.calls = 0
        self.talk_ms = 0
        self.agent_ms = 0
        self.overrides = 0
        self.refused = 0
        self.adjusted_calls = 0
        self.adjusted_talk_ms = 0
        self.adjusted_agent_ms = 0

    def amount(self, unit: ShareUnit) -> int:
        if unit is ShareUnit.CALLS:
            return self.calls + self.adjusted_calls
        if unit is ShareUnit.SECONDS:
            return self.talk_ms + self.adjusted_talk_ms
        return self.agent_ms + self.adjusted_agent_ms


class ContractRecord:
    """A contract and what has been done for it."""

    __slots__ = (
        "_calendar", "_day", "_period_from", "_valid_from_ms", "_valid_until_ms", "contract",
        "days", "inside", "promised", "total",
    )  # fmt: skip

    def __init__(self, contract: Contract) -> None:
        self.days: dict[tuple[date, str], DayRecord] = {}
        self.promised = 0
        """Abroad and under way, in the contract's unit (milliseconds for times)."""
        self.follow(contract)

    def follow(self, contract: Contract) -> None:
        """Take over a new version; what was done stays."""
        self.contract = contract
        self._calendar = LocalDays(contract.time_zone)
        self._valid_from_ms, self._valid_until_ms = _ALWAYS
        if contract.valid_from is not None:
            self._valid_from_ms = self._calendar.midnight_ms(contract.valid_from)
        if contract.valid_until is not None:
            self._valid_until_ms = self._calendar.midnight_ms(contract.valid_until)
        self._day = self._period_from = date.min
        self.inside = 0
        self.total = 0

    def is_valid(self, now_ms: int) -> bool:
        return self._valid_from_ms <= now_ms < self._valid_until_ms

    def is_inside(self, country: str) -> bool:
        """Whether work done there is done in the country."""
        return country in self.contract.countries

    def may_go_abroad(self, expected_ms: int, now_ms: int) -> bool:
        """Whether one more call, of an expected length, may be answered outside of the country."""
        self._turn_to(now_ms)
        bound_bp = self.contract.goal_bp + self.contract.margin_bp
        return self.inside * 10_000 >= bound_bp * (self.total + self.promised + self._one(expected_ms))

    def promise(self, expected_ms: int) -> int:
        """A call goes to an agent abroad; returns what must be given to `settle` once it is answered or comes back."""
        one = self._one(expected_ms)
        self.promised += one
        return one

    def settle(self, promised: int) -> None:
        self.promised -= promised
        assert self.promised >= 0, f"contract {self.contract.contract_id} was settled more often than promised"

    def answered(self, country: str, *, is_override: bool, now_ms: int) -> DayRecord:
        """A call was answered for the first time; its talk is to be added with `add_talk` to what this returns."""
        record = self.present_day(country, now_ms)
        record.calls += 1
        record.overrides += is_override
        self._count(record, ShareUnit.CALLS, 1)
        return record

    def add_talk(self, record: DayRecord, talk_ms: int) -> None:
        record.talk_ms += talk_ms
        self._count(record, ShareUnit.SECONDS, talk_ms)

    def add_presence(self, country: str, agents: int, from_ms: int, until_ms: int) -> None:
        """Agents of the supplier were signed in, here and then; what lies outside of the contract is left out."""
        from_ms, until_ms = max(from_ms, self._valid_from_ms), min(until_ms, self._valid_until_ms)
        while from_ms < until_ms:
            record = self.present_day(country, from_ms)
            ends_ms = min(until_ms, self._calendar.until_ms)
            agent_ms = agents * (ends_ms - from_ms)
            record.agent_ms += agent_ms
            self._count(record, ShareUnit.AGENT_HOURS, agent_ms)
            from_ms = ends_ms

    def refuse(self, country: str, now_ms: int) -> None:
        """A call was not answered at all for the sake of the share."""
        self.present_day(country, now_ms).refused += 1

    def check(self, adjustment: Adjustment) -> None:
        """Refuse an adjustment that cannot be true.

        Raises:
            EventRejected: Its day is to come or outside of the contract, or it takes away more than there is.
        """
        contract, day = self.contract, adjustment.day
        if day > self._calendar.day_of(adjustment.made_ms):
            raise EventRejected(Rejection.WRONG_DAY, f"{day} is still to come in {contract.time_zone}")
        if (contract.valid_from is not None and day < contract.valid_from) or (
            contract.valid_until is not None and day >= contract.valid_until
        ):
            raise EventRejected(
                Rejection.WRONG_DAY,
                f"{day} is outside of contract {contract.contract_id}, which is valid "
                f"{_since_until(contract.valid_from, contract.valid_until)}",
            )
        record = self.days.get((day, adjustment.country)) or DayRecord(contract.contract_id, day, adjustment.country)
        changes = {
            "calls": (record.calls + record.adjusted_calls, adjustment.calls),
            "talk_ms": (record.talk_ms + record.adjusted_talk_ms, adjustment.talk_ms),
            "agent_ms": (record.agent_ms + record.adjusted_agent_ms, adjustment.agent_ms),
        }
        for name, (present, change) in changes.items():
            if present + change < 0:
                raise EventRejected(
                    Rejection.WRONG_AMOUNT,
                    f"{name}: {-change} cannot be taken from the {present} of {adjustment.country} on {day}",
                )
        if not any(change for _, change in changes.values()):
            raise EventRejected(Rejection.WRONG_AMOUNT, "calls, talk_ms and agent_ms are all 0: nothing is corrected")

    def adjust(self, adjustment: Adjustment) -> None:
        record = self.day_record(adjustment.day, adjustment.country)
        record.adjusted_calls += adjustment.calls
        record.adjusted_talk_ms += adjustment.talk_ms
        record.adjusted_agent_ms += adjustment.agent_ms
        self._count(record, ShareUnit.CALLS, adjustment.calls)
        self._count(record, ShareUnit.SECONDS, adjustment.talk_ms)
        self._count(record, ShareUnit.AGENT_HOURS, adjustment.agent_ms)

    def present_day(self, country: str, now_ms: int) -> DayRecord:
        self._turn_to(now_ms)
        return self.day_record(self._day, country)

    def day_record(self, day: date, country: str) -> DayRecord:
        record = self.days.get((day, country))
        if record is None:
            record = self.days[day, country] = DayRecord(self.contract.contract_id, day, country)
        return record

    def outlook(self, now_ms: int) -> Outlook:
        self._turn_to(now_ms)
        return Outlook(
            unit=self.contract.unit,
            inside=self.inside,
            total=self.total,
            promised=self.promised,
            share_bp=self.inside * 10_000 // self.total if self.total else None,
            is_open=self.may_go_abroad(0, now_ms),
            forecast=self._forecast(),
        )

    def why_not(self, expected_ms: int, now_ms: int) -> str:
        """The numbers by which a call may not go abroad, in words."""
        self._turn_to(now_ms)
        contract = self.contract
        after = self.total + self.promised + self._one(expected_ms)
        inside, total = self._shown(self.inside), self._shown(self.total)
        words = f"share: {inside} of {total}{_UNIT_WORDS[contract.unit]} in {self.territory}, "
        if contract.unit is ShareUnit.AGENT_HOURS:
            words += f"{_percent(self.inside, after)} of them"
        else:
            words += f"one more abroad would leave {_percent(self.inside, after)}"
            if self.promised:
                words += f" with {self._shown(self.promised)} under way"
        return f"{words}, target {_points(contract.goal_bp)} %, margin {_points(contract.margin_bp)}" + (
            " point" if contract.margin_bp == 100 else " points"
        )

    @property
    def territory(self) -> str:
        return self.contract.territory or " or ".join(self.contract.countries)

    def _one(self, expected_ms: int) -> int:
        unit = self.contract.unit
        if unit is ShareUnit.CALLS:
            return 1
        return expected_ms if unit is ShareUnit.SECONDS else 0

    def _shown(self, amount: int) -> str:
        unit = self.contract.unit
        if unit is ShareUnit.CALLS:
            return f"{amount:,}"
        return f"{amount // (60_000 if unit is ShareUnit.SECONDS else 3_600_000):,}"

    def _forecast(self) -> Forecast:
        contract, volume = self.contract, self.contract.volume
        if volume is None:
            # Twice what was done so far: as much is still to come, and must make up for what is lacking.
            volume = 2 * self.total
        elif contract.unit is not ShareUnit.CALLS:
            volume *= 1_000
        rest = volume - self.total
        if rest <= 0:
            return Forecast(None, "green" if self.inside * 10_000 >= contract.goal_bp * self.total else "red")
        lacking = contract.goal_bp * volume - self.inside * 10_000
        needed_bp = max(0, -(-lacking // rest))
        # Where nothing was done abroad, no more could have been done: a target of 100 % is in no danger from the start.
        if self.inside == self.total or needed_bp < contract.warning_bp:
            return Forecast(needed_bp, "green")
        return Forecast(needed_bp, "red" if needed_bp >= contract.red_bp else "amber")

    def _count(self, record: DayRecord, unit: ShareUnit, amount: int) -> None:
        """Into the present period, if the record belongs to it."""
        if unit is self.contract.unit and self._period_from <= record.day <= self._day:
            self.total += amount
            if record.country in self.contract.countries:
                self.inside += amount

    def _turn_to(self, now_ms: int) -> None:
        """Go to the local day of the moment; a new period counts afresh."""
        day = self._calendar.day_of(now_ms)
        if day == self._day:
            return
        self._day = day
        self._period_from = period_from(self.contract, self._day)
        unit, countries = self.contract.unit, self.contract.countries
        amounts = [
            (record.country in countries, record.amount(unit))
            for record in self.days.values()
            if self._period_from <= record.day <= self._day
        ]
        self.total = sum(amount for _, amount in amounts)
        self.inside = sum(amount for is_inside, amount in amounts if is_inside)


class ShareBook:
    """All contracts, present and past."""

    __slots__ = ("_by_parties", "_present", "adjustments", "records")

    def __init__(self, contracts: Iterable[Contract] = ()) -> None:
        self.records: dict[str, ContractRecord] = {}
        self.adjustments: list[Adjustment] = []
        self._by_parties: dict[tuple[str, SupplierId], list[ContractRecord]] = {}
        self._present: dict[tuple[SupplierId, str], tuple[int, int]] = {}
        """How many agents of a supplier are signed in in a country, and up to when that has been counted."""
        self.follow(contracts)

    def signed_in(self, supplier_id: SupplierId, country: str, change: int, now_ms: int) -> None:
        """So many agents more, or fewer, are signed in from now on."""
        self.count_presence(now_ms)
        agents, _ = self._present.get((supplier_id, country), (0, now_ms))
        self._present[supplier_id, country] = agents + change, now_ms

    def present_anew(self, agents: Mapping[tuple[SupplierId, str], int], now_ms: int) -> None:
        """So many are signed in from now on, by supplier and country."""
        self.count_presence(now_ms)
        self._present = {place: (count, now_ms) for place, count in sorted(agents.items())}

    def has_work_abroad(self, supplier_id: SupplierId, country: str) -> bool:
        """Whether agents of the supplier who sit here can be abroad for a contract, whenever it is valid."""
        records = (
            record for (_, supplier), group in self._by_parties.items() if supplier == supplier_id for record in group
        )
        return any(not record.is_inside(country) for record in records)

    def count_presence(self, now_ms: int) -> None:
        """Count the time of those who are signed in up to now, for the contracts of the present version."""
        for (supplier_id, country), (agents, since_ms) in self._present.items():
            if agents and since_ms < now_ms:
                for (_, supplier), group in self._by_parties.items():
                    for record in group if supplier == supplier_id else ():
                        record.add_presence(country, agents, since_ms, now_ms)
            self._present[supplier_id, country] = agents, now_ms

    def follow(self, contracts: Iterable[Contract]) -> None:
        """Take over a new version, once presence is counted by the old one.

        What was done for a contract that is not in it any more is kept.
        """
        self._by_parties = {}
        for contract in contracts:
            record = self.records.get(contract.contract_id)
            if record is None:
                record = self.records[contract.contract_id] = ContractRecord(contract)
            else:
                record.follow(contract)
            self._by_parties.setdefault((contract.company, contract.supplier_id), []).append(record)

    def of(self, company: str, supplier_id: SupplierId, now_ms: int) -> ContractRecord | None:
        """The contract under which the supplier's agents answer the company's calls now; None: there is none."""
        for record in self._by_parties.get((company, supplier_id), ()):
            if record.is_valid(now_ms):
                return record
        return None

    def in_force(self, now_ms: int) -> list[ContractRecord]:
        """The contracts that are valid now, by id, with the time of who is signed in counted up to now."""
        self.count_presence(now_ms)
        present = (record for group in self._by_parties.values() for record in group if record.is_valid(now_ms))
        return sorted(present, key=lambda record: record.contract.contract_id)

    def adjust(self, adjustment: Adjustment) -> None:
        """Correct what was counted, under a contract of whatever version.

        Raises:
            EventRejected: The contract is not known, or see `ContractRecord.check`.
        """
        record = self.records.get(adjustment.contract_id)
        if record is None:
            raise EventRejected(
                Rejection.UNKNOWN_CONTRACT,
                f"there is no contract {adjustment.contract_id!r}, only {', '.join(sorted(self.records)) or 'none'}",
            )
        record.check(adjustment)
        self._adjust(adjustment)

    def _adjust(self, adjustment: Adjustment) -> None:
        self.adjustments.append(adjustment)
        self.records[adjustment.contract_id].adjust(adjustment)

    def left(self) -> tuple[Contract, ...]:
        """Contracts of earlier versions, which still have their days; by id."""
        present = {id(record) for group in self._by_parties.values() for record in group}
        return tuple(
            self.records[contract_id].contract
            for contract_id in sorted(self.records)
            if id(self.records[contract_id]) not in present
        )

    def restore(self, left: Iterable[Contract], days: Iterable[ContractDay], adjustments: Iterable[Adjustment]) -> None:
        """Go on from what `left`, `days` and `adjustments` were."""
        for contract in left:
            self.records[contract.contract_id] = ContractRecord(contract)
        for told in days:
            record = self.records[told.contract_id].day_record(told.day, told.country)
            record.calls = told.calls
            record.talk_ms = told.talk_ms
            record.agent_ms = told.agent_ms
            record.overrides = told.overrides
            record.refused = told.refused
        for adjustment in adjustments:
            # Not checked again: a later version may have moved the contract's days.
            self._adjust(adjustment)

    def days(self) -> tuple[ContractDay, ...]:
        """Everything that was counted, by contract, day and country; adjustments apart."""
        return tuple(
            ContractDay(
                record.contract_id,
                record.day,
                record.country,
                record.calls,
                record.talk_ms,
                record.agent_ms,
                record.overrides,
                record.refused,
            )
            for contract_id in sorted(self.records)
            for _, record in sorted(self.records[contract_id].days.items())
        )


def period_from(contract: Contract, day: date) -> date:
    """The first day of the period in which the day lies."""
    match contract.period:
        case SharePeriod.MONTH:
            first = day.replace(day=1)
        case SharePeriod.QUARTER:
            first = date(day.year, 3 * ((day.month - 1) // 3) + 1, 1)
        case SharePeriod.HALF_YEAR:
            first = date(day.year, 1 if day.month < 7 else 7, 1)
        case SharePeriod.YEAR:
            first = date(day.year, 1, 1)
        case SharePeriod.CONTRACT:
            first = date.min
    return max(first, contract.valid_from or first)


_UNIT_WORDS = {ShareUnit.CALLS: "", ShareUnit.SECONDS: " minutes", ShareUnit.AGENT_HOURS: " agent hours"}


def _percent(part: int, whole: int) -> str:
    """Rounded down, so that what does not pass never looks as if it did."""
    bp = part * 10_000 // whole if whole else 0
    return f"{bp // 100}.{bp % 100:02} %"


def _since_until(valid_from: date | None, valid_until: date | None) -> str:
    since = f"from {valid_from} on" if valid_from is not None else "from ever"
    return since if valid_until is None else f"{since}, until {valid_until} (excluded)"


def _points(bp: int) -> str:
    return f"{bp // 100}.{bp % 100:02}".rstrip("0").rstrip(".")
