"""What the law and the contracts say of where a call may go: asked before every offer, told of every answer.

Move plans of operations have a gate here too, below those.

A gate belongs to a call and a group of agents. It opens and shuts with what happens to other calls, so a call stands in
the queues of groups that it may not use yet; whoever takes a call from a queue asks `Gates.shut` first, and the engine
looks again when `Gates.may_have_opened`.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Final

from router.core.days import LocalDays
from router.core.decisions import ReportPlan, Rule
from router.core.errors import EventRejected, Rejection
from router.core.events import PlanAdvanceRequested, PlanEvent, PlanHoldRequested, PlanRollbackRequested
from router.core.exclusions import ExclusionBook
from router.core.model import OrganisationDescription, Outcome, ShareUnit, SiteId
from router.core.moves import MoveBook, MoveRecord, Stage
from router.core.places import PlaceBook, PlaceRecord, Places
from router.core.shares import Adjustment, ContractRecord, ShareBook
from router.core.state import AgentRecord, CallRecord, Group

__all__ = ["Gates", "Told"]


class Told:
    """What a caller is told before a conversation."""

    __slots__ = ("announcement", "offers_choice")

    def __init__(self, announcement: str | None, *, offers_choice: bool) -> None:
        self.announcement = announcement
        """None: nothing, or they have been told."""
        self.offers_choice = offers_choice
        """That they may ask for an agent inside."""


_NOTHING: Final = Told(None, offers_choice=False)


class Gates:
    """The gates of one version of the organisation, and the books of all."""

    __slots__ = (
        "_calendars",
        "_guarantee",
        "are_any",
        "are_told",
        "are_watched",
        "asking",
        "exclusions",
        "may_have_opened",
        "moves",
        "open_with_time",
        "place_book",
        "places",
        "shares",
    )

    def __init__(self, description: OrganisationDescription) -> None:
        self.shares = ShareBook()
        self.moves = MoveBook()
        self.place_book = PlaceBook()
        self.exclusions = ExclusionBook()
        self.asking = 0
        """Live calls whose callers have asked for an agent inside, and have none yet."""
        self.may_have_opened = False
        self.follow(description)

    def follow(self, description: OrganisationDescription) -> None:
        """Take over a new version of the organisation. Who is signed in must then be said with `present_anew`."""
        self.places = Places(description)
        self.shares.follow(description.contracts)
        self.moves.follow(description)
        self._guarantee = self.places.policy.guarantee_agents if self.places.policy is not None else 0
        self.open_with_time = self._guarantee > 0 or bool(description.contracts)
        """Whether a gate may open though nothing happens; those of move plans tell when they do."""
        self.are_any = self.open_with_time or bool(description.move_plans)
        """False: every call may go everywhere, and nobody needs to ask."""
        self.are_watched = self.places.policy is not None or bool(description.contracts or description.move_plans)
        """Whether answers are counted here."""
        self.are_told = self.places.policy is not None
        """Whether callers are told where the agent sits."""
        self.may_have_opened = True
        self._calendars: dict[str, LocalDays] = {}

    def present_anew(self, agents: Iterable[AgentRecord], now_ms: int) -> None:
        """These agents are signed in, and no others."""
        self.shares.present_anew(Counter((a.group.key.supplier_id, a.group.country) for a in agents), now_ms)

    def count_presence(self, now_ms: int) -> None:
        """Count who is signed in up to now, by the present contracts."""
        self.shares.count_presence(now_ms)

    def adjust(self, adjustment: Adjustment) -> None:
        """Correct what was counted.

        Raises:
            EventRejected: See `ShareBook.adjust`.
        """
        self.shares.adjust(adjustment)
        self.may_have_opened = True

    # --- Before an offer ---

    def shut(self, call: CallRecord, group: Group, now_ms: int, *, is_personal: bool = False) -> Rule | None:
        """The rule by which the call may not be offered to agents of the group now, the weightiest first.

        *is_personal*: as to its owner or a backup, who come before any plan.
        """
        country = group.country
        if self._guarantee and self.places.is_outside(country, now_ms) and not self._are_enough_inside(call, now_ms):
            return Rule.GUARANTEE
        if not call.is_share_waived and self._is_share_used_up(call, group, now_ms):
            return Rule.SHARE
        if not is_personal and not call.may_spill and self._is_plan_served(call, group):
            return Rule.PLAN
        return None

    def is_override(self, call: CallRecord, group: Group, now_ms: int) -> bool:
        """Whether only the waiver lets the call go there."""
        return call.is_share_waived and self._is_share_used_up(call, group, now_ms)

    def is_spill(self, call: CallRecord, group: Group) -> bool:
        """Whether only a wait that was long enough lets the call go there, owners and backups apart."""
        return call.may_spill and self._is_plan_served(call, group)

    def stage_of(self, call: CallRecord) -> Stage | None:
        """What decides by site who is asked first, and counts the answer; None: no plan has a say in the call."""
        # As under contracts, a call counts with its first answer, wherever it is transferred to.
        return None if call.connected_ms is not None else self.moves.stage_of(call.portfolio.portfolio.portfolio_id)

    def site_of(self, group: Group) -> SiteId:
        """The site for which a move plan counts the group's calls."""
        return self.moves.site_of(group.key.site_id, group.country)

    def spill_ms(self, call: CallRecord) -> int | None:
        """When a move plan lets the waiting call go anywhere; None: it does already, or has no say in the call."""
        stage = self.stage_of(call) if self.are_any and not call.may_spill else None
        return None if stage is None else call.queued_ms + stage.plan.spill_after_s * 1000

    def _is_plan_served(self, call: CallRecord, group: Group) -> bool:
        """Whether the group's site has had its share of calls for now, and the call is one that this matters to."""
        stage = self.stage_of(call)
        # What a caller has a right to ask for comes before any plan.
        return stage is not None and call.place_requested_ms is None and not stage.is_open(self.site_of(group))

    def why_shut(self, call: CallRecord, group: Group, now_ms: int) -> str:
        """The rule that `shut` names, with its numbers."""
        rule = self.shut(call, group, now_ms)
        if rule is Rule.PLAN:
            stage = self.stage_of(call)
            assert stage is not None, "only a plan has shares of sites"
            return stage.why_not(self.site_of(group))
        if rule is Rule.GUARANTEE:
            staffed = self._staffed_inside(call, now_ms)
            return (
                f"guarantee: {staffed} at work inside could take the call, {self.asking} are needed for callers who "
                f"have asked, {self._guarantee} must be left"
            )
        contract = self._contract_abroad(call, group, now_ms)
        assert contract is not None, "only a contract has a share"
        return contract.why_not(_expected_ms(group), now_ms)

    def share_limit(self, call: CallRecord, now_ms: int) -> ContractRecord | None:
        """The contract that says how long the call waits for an agent in the country; None: it waits for no share."""
        if not self.are_any or call.is_share_waived or call.callback:
            return None
        contracts = (self._contract_abroad(call, group, now_ms) for group in call.plan.ring_of)
        found = [contract for contract in contracts if contract is not None]
        return min(found, key=lambda each: (each.contract.wait_s, each.contract.contract_id), default=None)

    def may_shut(self, group: Group) -> bool:
        """Whether there is a gate before the group at all."""
        key = group.key
        if not key.country:
            return False
        if self.moves.records:
            return True
        return self.shares.has_work_abroad(key.supplier_id, key.country) or (
            self._guarantee > 0 and not self.places.is_always_inside(key.country)
        )

    def _is_share_used_up(self, call: CallRecord, group: Group, now_ms: int) -> bool:
        contract = self._contract_abroad(call, group, now_ms)
        if contract is None:
            return False
        if contract.contract.unit is ShareUnit.AGENT_HOURS:
            self.shares.count_presence(now_ms)
        return not contract.may_go_abroad(_expected_ms(group), now_ms)

    def _contract_abroad(self, call: CallRecord, group: Group, now_ms: int) -> ContractRecord | None:
        """The contract for which the call would be work abroad."""
        contract = self.shares.of(call.portfolio.company, group.key.supplier_id, now_ms)
        if contract is None or contract.is_inside(group.country) or not group.country:
            # Nobody is in a group without a country: whoever signs in has said one.
            return None
        if call.connected_ms is not None and contract.contract.unit is ShareUnit.CALLS:
            # Counted with its first answer, wherever it is transferred to.
            return None
        return contract

    def _are_enough_inside(self, call: CallRecord, now_ms: int) -> bool:
        return self._staffed_inside(call, now_ms) - self.asking >= self._guarantee

    def _staffed_inside(self, call: CallRecord, now_ms: int) -> int:
        inside = self.places.inside(now_ms)
        return sum(group.staffed for group in call.plan.ring_of if group.country in inside)

    # --- What callers are told ---

    def told(self, call: CallRecord, agent: AgentRecord, now_ms: int) -> Told:
        """What the caller is to be told before speaking to the agent; they are told of a country once in a row."""
        if not self.are_told:
            return _NOTHING
        country = agent.group.country
        announcement = None if call.announced == country else self.places.announcement(country)
        return Told(announcement, offers_choice=self.places.is_outside(country, now_ms))

    # --- What becomes of agents and calls ---

    def signed_in(self, agent: AgentRecord, change: int, now_ms: int) -> None:
        """The agent takes (1) or gives back (-1) a place."""
        if self.are_any:
            self.shares.signed_in(agent.group.key.supplier_id, agent.group.country, change, now_ms)
            self.may_have_opened = True

    def offered(self, call: CallRecord, agent: AgentRecord, now_ms: int) -> None:
        """The call is on its way to the agent."""
        call.is_override = self.is_override(call, agent.group, now_ms)
        contract = self._contract_abroad(call, agent.group, now_ms)
        if contract is not None:
            call.promise = contract, contract.promise(_expected_ms(agent.group))
        stage = self.stage_of(call)
        if stage is not None:
            call.is_spill = agent not in call.people and self.is_spill(call, agent.group)
            call.move = stage, self.site_of(agent.group)
            stage.send(call.move[1])
            # One more elsewhere may leave a site short of calls.
            self.may_have_opened = True

    def let_go(self, call: CallRecord) -> None:
        """What was promised abroad is done, or will not be."""
        if call.promise is not None:
            contract, promised = call.promise
            contract.settle(promised)
            call.promise = None
            self.may_have_opened = True
        if call.move is not None:
            stage, site_id = call.move
            stage.give_back(site_id)
            call.move = None
            self.may_have_opened = True

    def answered(self, call: CallRecord, agent: AgentRecord, announced: str | None, now_ms: int) -> None:
        """Caller and agent hear each other; `CallRecord.connected_ms` still says whether the caller had heard one."""
        country = agent.group.country
        if announced is not None:
            call.announced = announced
        if self.places.policy is not None and call.announced != country:
            self._today(call, now_ms).unannounced += 1
        if call.move is not None:
            stage, site_id = call.move
            wait_ms = None if call.callback else now_ms - call.arrived_ms
            stage.answered(site_id, wait_ms=wait_ms, is_spill=call.is_spill)
            call.move = None
        contract = self.shares.of(call.portfolio.company, agent.group.key.supplier_id, now_ms)
        if contract is not None:
            if call.connected_ms is None:
                day = contract.answered(country, is_override=call.is_override, now_ms=now_ms)
            else:
                day = contract.present_day(country, now_ms)
                day.overrides += call.is_override
            call.work = contract, day
            if contract.contract.unit is not ShareUnit.SECONDS:
                self.let_go(call)
            self.may_have_opened = True
        if call.connected_ms is not None:
            self._exclude(call, "answered_again", now_ms)
        elif contract is None:
            self._exclude(call, "no_contract", now_ms)
        if call.place_requested_ms is not None and not call.is_place_met:
            self._met(call, now_ms)

    def talked(self, call: CallRecord, talk_ms: int) -> None:
        """A conversation, or a part of it, is over."""
        if call.work is not None:
            contract, day = call.work
            contract.add_talk(day, talk_ms)
            call.work = None
            self.let_go(call)
            self.may_have_opened = True
        if call.agent is not None:
            call.agent.stage = self.moves.stage_of(call.portfolio.portfolio.portfolio_id)

    def handled(self, agent: AgentRecord, handled_ms: int) -> None:
        """A conversation and its wrap-up are over."""
        if agent.stage is not None:
            agent.stage.handle(handled_ms)
            agent.stage = None

    def requested(self, call: CallRecord, *, is_met: bool, now_ms: int) -> None:
        """The caller has asked for an agent inside, and perhaps speaks to one already."""
        call.place_requested_ms = now_ms
        self._today(call, now_ms).asked += 1
        self.asking += 1
        if is_met:
            self._met(call, now_ms)

    def ended(self, call: CallRecord, reason: str, now_ms: int) -> None:
        self.let_go(call)
        if call.connected_ms is None:
            self._exclude(call, reason, now_ms)
        if call.outcome is Outcome.ABANDONED or call.outcome is Outcome.FALLBACK:
            stage = self.stage_of(call)
            if stage is not None and call.ended_ms is not None and not call.callback:
                stage.lose(call.ended_ms - call.arrived_ms)
        if call.place_requested_ms is not None and not call.is_place_met:
            self._day_of_request(call).unmet += 1
            self._asks_no_more()

    def refused(self, contract: ContractRecord, now_ms: int) -> None:
        """A call was not answered for the sake of the share."""
        contract.refuse(contract.contract.countries[0], now_ms)

    def _exclude(self, call: CallRecord, reason: str, now_ms: int) -> None:
        """What is no answered call of a contract, and why."""
        if self.are_any:
            self.exclusions.add(call.portfolio.company, self._local_day(call, now_ms), reason)

    # --- What operations want of a move plan ---

    def plan_commanded(self, event: PlanEvent, now_ms: int) -> list[ReportPlan]:
        """Do what is wanted.

        Raises:
            EventRejected: It cannot be done; the plan stands as it did.
        """
        record = self.moves.find(event.move_plan_id)
        match event:
            case PlanHoldRequested():
                reports = record.hold(event.by, now_ms)
            case PlanAdvanceRequested():
                reports = record.advance(event.by, now_ms, override=event.override)
            case PlanRollbackRequested():
                risk = self._share_at_risk(record, now_ms)
                if risk is not None and not event.override:
                    raise EventRejected(Rejection.SHARE_AT_RISK, f"{risk}; override it to go back all the same")
                reports = record.roll_back(event.by, now_ms, at_risk=risk)
            case _:
                raise TypeError(f"{type(event).__name__} is no command")
        self.plans_changed()
        return reports

    def plans_changed(self) -> None:
        """Steps were taken or undone: the waiting calls keep their places, and are looked at again."""
        self.moves.find_stages()
        self.may_have_opened = True

    def _share_at_risk(self, record: MoveRecord, now_ms: int) -> str | None:
        """The contract's share that the shares of the step before would break, in words."""
        for portfolio_id in record.concerned_by(record.step_or_refuse()):
            amounts = self.moves.amounts_before(record, portfolio_id)
            for contract in self.shares.in_force(now_ms):
                terms = contract.contract
                if terms.company != self.moves.company_of(portfolio_id):
                    continue
                inside, total = self.moves.split(amounts, terms.supplier_id, terms.countries)
                if inside * 10_000 < terms.goal_bp * total:
                    return (
                        f"without step {record.step_or_refuse().step_id}, {inside * 100 // total} % of {portfolio_id} "
                        f"would be answered in {contract.territory}, and contract {terms.contract_id} wants "
                        f"{terms.goal_bp / 100:g} %"
                    )
        return None

    def _met(self, call: CallRecord, now_ms: int) -> None:
        assert call.place_requested_ms is not None, "only what was asked for can be met"
        call.is_place_met = True
        record = self._day_of_request(call)
        record.met += 1
        record.met_ms += now_ms - call.place_requested_ms
        self._asks_no_more()

    def _asks_no_more(self) -> None:
        self.asking -= 1
        self.may_have_opened = True

    def _day_of_request(self, call: CallRecord) -> PlaceRecord:
        assert call.place_requested_ms is not None, "only a request has a day"
        return self._today(call, call.place_requested_ms)

    def _today(self, call: CallRecord, now_ms: int) -> PlaceRecord:
        return self.place_book.record(call.portfolio.company, self._local_day(call, now_ms))

    def _local_day(self, call: CallRecord, now_ms: int) -> date:
        time_zone = call.portfolio.portfolio.time_zone
        calendar = self._calendars.get(time_zone)
        if calendar is None:
            calendar = self._calendars[time_zone] = LocalDays(time_zone)
        return calendar.day_of(now_ms)


def _expected_ms(group: Group) -> int:
    """How long a call at an agent of the group may be expected to take."""
    team = group.team
    return team.handling.mean_ms if team.handling.count else team.team.handling_s * 1000
