"""What it is likely to bring to hold a call for its busy owner: the owner wait, predicted.

Everything is counted in seconds of a caller's wait: an answer by the owner is worth ``owner_worth_s`` of them (W), and
a caller who hangs up costs ``hang_up_cost_s`` more (L). Callers hang up at a rate of one in their mean patience (Θ), so
that a second of waiting costs k = 1 + L / Θ. Whoever would be answered after the service level's threshold because of
the hold costs the threshold once more (Q). For a call that is held until *x* from now, unless the owner is free before,

    gain(x) = W P(X <= x) - k (E min(X, x) + w P(X <= x)) - Q P(late)

where X is the rest of the owner's conversation and w what follows it: the wrap-up's limit, and a whole handling time
for each call that the owner would take before. The call is held until the *x* of the largest gain, if that is a gain
at all. In wrap-up X is none and w is known, so that there is nothing to choose: W - k w - Q [late].

P comes from the lengths of recent conversations (`handling.TalkTimes`), the owner's own and those of the team, of which
only those are looked at that lasted longer than the present one does already. Log-normal conversations are the less
likely to end the longer they last, once they have lasted for long; nothing needs to be assumed for that to be seen.

Sooner or later the owner is free or *x* is over, and at no moment in between would the same question be answered
otherwise: the gain has been looked at as a whole. So nobody looks again unless the owner begins or ends something.

That is asked of calls which somebody else could have now. Whoever becomes free asks it of the calls in the queue, and
of those whose wait does not pay, too, lets one pass that has no `Hope`.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from router.core.handling import TALK_EDGES_MS, TalkTimes, talk_bin
from router.core.matching import handling_ms, is_on_shift
from router.core.members import AGENT_ACCEPTED, AGENT_IN_CALL, AGENT_OFFERED, AGENT_WRAP_UP
from router.core.state import AgentRecord, CallRecord, TeamRecord

__all__ = ["Foresight", "Hope", "Prospect", "certain_prospect", "learn_talk", "prospect_of", "prospect_words"]

# So many of the team's conversations weigh as the owner's own: fewer than thirty do not make a shape.
_TEAM_WEIGHT: Final = 30
# About two weeks of an agent, and two days of a team of thirty: hours of the day even out, seasons are followed.
_OWN_MOST: Final = 512
_TEAM_MOST: Final = 4_096
# A phone rings for some seconds before it is picked up; a hold must end so much before the threshold to count as met.
_ANSWER_MS: Final = 5_000
# Counts are small whole numbers; parts of a bin are not.
_PARTS: Final = 1_024


class Hope(IntEnum):
    """Whether a call had better be left for its owner."""

    NONE = 0
    SOME = 1
    """The owner may be free in time."""
    CERTAIN = 2
    """The owner is in wrap-up and will be free in time."""
    PAYS = 3
    """The wait is likely to pay even for an agent who idles meanwhile."""


class Prospect(NamedTuple):
    """What holding a call for its owner is likely to bring. Times in milliseconds."""

    until_ms: int | None
    """Until when it pays; None: it does not."""
    within_ms: int
    """The wait that the other figures are about: until then, or the longest that is allowed."""
    likely_ppm: int
    """The chance that the owner is free by then, in millionths."""
    worth_ms: int
    cost_ms: int
    expected_ms: int
    """Until the owner is free or the hold is over."""
    is_certain: bool
    """The owner is in wrap-up, whose end is known."""
    longest_ms: int
    """How long the call may be held at most."""

    @property
    def hope(self) -> Hope:
        if self.until_ms is not None:
            return Hope.PAYS
        if self.is_certain:
            return Hope.CERTAIN if self.within_ms <= self.longest_ms else Hope.NONE
        return Hope.SOME


Foresight = Callable[[CallRecord, AgentRecord, int, int], Prospect | None]
"""As `prospect_of`, which is the one that runs live."""


def prospect_of(call: CallRecord, owner: AgentRecord, now_ms: int, target_ms: int) -> Prospect | None:
    """What holding the call from now on is likely to bring; None: nothing that could be foreseen.

    Args:
        call: A call that somebody else could have now, or that is held.
        owner: Its owner, who is not free.
        now_ms: The present.
        target_ms: The service level's threshold, from arrival.
    """
    portfolio = call.portfolio.portfolio
    longest_ms = call.arrived_ms + portfolio.owner_wait_s * 1000 - now_ms
    if longest_ms <= 0 or owner.next_reason is not None or not is_on_shift(owner):
        return None
    if owner.status is AGENT_WRAP_UP:
        return certain_prospect(call, owner, now_ms, target_ms=target_ms, free_ms=owner.deadline_ms)
    before_ms = _ahead(call, owner) * handling_ms(owner)
    if owner.status is AGENT_IN_CALL:
        age_ms = now_ms - owner.busy_since_ms
    elif owner.status is AGENT_OFFERED or owner.status is AGENT_ACCEPTED:
        age_ms = 0
    else:
        return None
    after_ms = owner.team.wrap_up_ms + before_ms
    if after_ms >= longest_ms:
        return None
    return _of_call(_prices(call, now_ms, target_ms), _Rest(owner, age_ms), after_ms, longest_ms, now_ms)


def certain_prospect(call: CallRecord, owner: AgentRecord, now_ms: int, *, target_ms: int, free_ms: int) -> Prospect:
    """As `prospect_of`, of an owner who is known to be done with the present call at *free_ms*."""
    portfolio = call.portfolio.portfolio
    prices = _prices(call, now_ms, target_ms)
    longest_ms = call.arrived_ms + portfolio.owner_wait_s * 1000 - now_ms
    rest_ms = free_ms - now_ms + _ahead(call, owner) * handling_ms(owner)
    late_ms = prices.late_ms if rest_ms > prices.in_time_ms else 0
    cost_ms = prices.rate * rest_ms // 1000 + late_ms
    is_worth = rest_ms <= longest_ms and prices.worth_ms > cost_ms
    return Prospect(
        # Never now: the owner's own deadline of this moment may come after the call's.
        until_ms=now_ms + max(1, rest_ms) if is_worth else None,
        within_ms=rest_ms,
        likely_ppm=1_000_000,
        worth_ms=prices.worth_ms,
        cost_ms=cost_ms,
        expected_ms=rest_ms,
        is_certain=True,
        longest_ms=longest_ms,
    )


def prospect_words(prospect: Prospect, owner: AgentRecord) -> str:
    """What was weighed, for people."""
    what = "waits" if prospect.until_ms is not None else "does not wait"
    return (
        f"{what} for owner {owner.agent_id}: {prospect.likely_ppm // 10_000} % likely to be free within "
        f"{_seconds(prospect.within_ms)}, worth {_seconds(prospect.worth_ms)}, cost {_seconds(prospect.cost_ms)}"
    )


def learn_talk(agent: AgentRecord, talk_ms: int) -> None:
    """Remember how long a conversation was."""
    if agent.talk is None:
        agent.talk = TalkTimes()
    agent.talk.add(talk_ms, most=_OWN_MOST)
    team = agent.team
    if team.talk is None:
        team.talk = _talk_of(team)
    team.talk.add(talk_ms, most=_TEAM_MOST)


def _talk_of(team: TeamRecord) -> TalkTimes:
    if team.talk is not None:
        return team.talk
    return TalkTimes.planned(1000 * max(1, team.team.handling_s - team.team.wrap_up_s))


class _Prices(NamedTuple):
    worth_ms: int
    """Of an answer by the owner."""
    rate: int
    """Of waiting: thousandths of a second for each second."""
    late_ms: int
    """Of being answered late."""
    in_time_ms: int
    """How much longer the call may be held without being late; meaningless where being late costs nothing any more."""


def _prices(call: CallRecord, now_ms: int, target_ms: int) -> _Prices:
    portfolio = call.portfolio.portfolio
    # Nobody is on the line of a call-back.
    hang_up_ms = 0 if call.callback else portfolio.hang_up_cost_s * 1000
    rate = 1000 + 1000 * hang_up_ms // call.portfolio.hang_ups.patience_ms
    in_time_ms = call.arrived_ms + target_ms - _ANSWER_MS - now_ms
    return _Prices(portfolio.owner_worth_s * 1000, rate, target_ms if in_time_ms > 0 else 0, in_time_ms)


def _ahead(call: CallRecord, owner: AgentRecord) -> int:
    """How many of the calls that wait for the owner in person come before this one."""
    if owner.personal is None:
        return 0
    place = (call.rank_ms, call.call_id)
    return len({other.call_id for other in owner.personal.living() if (other.rank_ms, other.call_id) < place})


class _Rest:
    """How a conversation that has lasted for so long goes on, told by those that lasted longer."""

    __slots__ = ("_age_ms", "_bin", "_counts", "left")

    def __init__(self, owner: AgentRecord, age_ms: int) -> None:
        self._age_ms = age_ms
        self._bin = first = talk_bin(age_ms)
        team, own = _talk_of(owner.team), owner.talk
        if own is None:
            counts = [_PARTS * count for count in team.counts[first:]]
        else:
            mine, theirs = _PARTS * max(1, team.total), _PARTS * _TEAM_WEIGHT
            pairs = zip(own.counts[first:], team.counts[first:], strict=True)
            counts = [mine * count + theirs * others for count, others in pairs]
        self._counts = counts
        whole_ms = _width_ms(first)
        self.left = sum(counts[1:]) + counts[0] * (whole_ms - (age_ms - TALK_EDGES_MS[first])) // whole_ms
        """Conversations, weighted, that lasted longer."""

    def steps(self, marks_ms: list[int], longest_ms: int) -> Iterator[tuple[int, int, int]]:
        """(from, until, weight of those that end between) in milliseconds from now, by bins, cut at the marks."""
        marks_ms = sorted(mark for mark in {*marks_ms, longest_ms} if 0 < mark <= longest_ms)
        from_ms, number = 0, self._bin
        for mark_ms in marks_ms:
            while from_ms < mark_ms:
                if number == len(TALK_EDGES_MS):
                    # Whoever is said to talk for days; nobody is remembered to have talked longer.
                    return
                edge_ms = _end_ms(number) - self._age_ms
                until_ms = min(edge_ms, mark_ms)
                yield from_ms, until_ms, self._counts[number - self._bin] * (until_ms - from_ms) // _width_ms(number)
                from_ms = until_ms
                number += edge_ms == until_ms


def _end_ms(number: int) -> int:
    # The last bin is open; nobody ever talks so long.
    return TALK_EDGES_MS[number + 1] if number + 1 < len(TALK_EDGES_MS) else 2 * TALK_EDGES_MS[number]


def _width_ms(number: int) -> int:
    return _end_ms(number) - TALK_EDGES_MS[number]


def _of_call(prices: _Prices, rest: _Rest, after_ms: int, longest_ms: int, now_ms: int) -> Prospect | None:
    """Look for the best moment to give up.

    At the ends of bins alone: within one, conversations are taken to end evenly, so that if it pays to wait for some
    of them it pays for the rest of them the more.
    """
    worth_ms, rate, late_ms, in_time_ms = prices
    whole = left = rest.left
    if whole <= 0:
        # Longer than any that is remembered.
        return None
    freed_late, freed, waited = 0, 0, 0
    value = 1000 * worth_ms - rate * after_ms
    best, best_at = 0, None
    at_end: tuple[int, int, int, int] = (0, 0, 0, 0)
    for from_ms, until_ms, ending in rest.steps([in_time_ms - after_ms, in_time_ms], longest_ms - after_ms):
        ending = min(ending, left)
        waited += (2 * left - ending) * (until_ms - from_ms) // 2
        left -= ending
        freed += ending
        if until_ms + after_ms > in_time_ms:
            freed_late += ending
        late = freed_late + (left if until_ms > in_time_ms else 0)
        gain = value * freed - rate * waited - 1000 * late_ms * late
        at_end = (until_ms, freed, waited, late)
        if gain > best:
            best, best_at = gain, at_end
    until_ms, freed, waited, late = best_at or at_end
    waited += after_ms * freed
    return Prospect(
        until_ms=now_ms + until_ms if best_at is not None else None,
        within_ms=until_ms,
        likely_ppm=1_000_000 * freed // whole,
        worth_ms=worth_ms * freed // whole,
        cost_ms=rate * waited // whole // 1000 + late_ms * late // whole,
        expected_ms=waited // whole,
        is_certain=False,
        longest_ms=longest_ms,
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.0f} s"
