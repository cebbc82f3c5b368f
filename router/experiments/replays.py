"""A recorded time under several policies, side by side: the same callers, day by day.

The days of the log take the place of replications: each policy meets each day's callers, and differences are taken day
by day.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from router.core.model import Quality
from router.experiments.comparison import Comparison, Replications, compare
from router.experiments.policies import PolicyError, parse_policy, read_fields_of
from router.simulation.callers import Caller
from router.simulation.calllog import LoggedCall, LogMapping
from router.simulation.counts import Counts, RunCounts, Scope
from router.simulation.inference import ReplayPolicy, infer
from router.simulation.replay import Replay, replay
from router.simulation.results import CallResult

__all__ = ["TODAY", "by_day", "compared", "policies_against", "replayed_under"]

TODAY: Final = "today"
"""The policy that the others are held against."""
_QUALITY: Final = Quality()
_NOT_IN_LOGS: Final = frozenset(
    {"own_team_share", "backup_share", "occupancy", "in_country", "overrides", "transfers", "offers_missed",
     "offers_declined", "called_back", "elsewhere", "repeats"}
)  # fmt: skip
"""Figures of what a replay does not count."""


def policies_against(texts: Sequence[str], today: ReplayPolicy) -> dict[str, ReplayPolicy]:
    """Today's policy with the fields that each text changes, by name.

    Raises:
        PolicyError: One of them cannot be understood, or has the name of another.
    """
    policies: dict[str, ReplayPolicy] = {}
    for each in texts:
        text = parse_policy(each)
        if text.name in (TODAY, *policies):
            raise PolicyError(f"policy {text.name!r}: this name is taken, give it another")
        policies[text.name] = msgspec.structs.replace(today, **read_fields_of(ReplayPolicy, text))
    return policies


def replayed_under(
    calls: Sequence[LoggedCall],
    mapping: LogMapping,
    policy: ReplayPolicy,
    *,
    on_caller: Callable[[Caller], None] = lambda _: None,
) -> Replay:
    """The log under a policy, with all else inferred as ever."""
    return replay(infer(calls, mapping, policy=policy), on_caller=on_caller)


def compared(title: str, callers: Sequence[Caller], replays: dict[str, Replay], zone: ZoneInfo) -> Comparison:
    """The replays, against that under today's policy.

    Args:
        title: Of the log.
        callers: In the order of the replays' calls.
        replays: By the name of the policy, today's among them.
        zone: Whose days are taken.
    """
    policies = [
        Replications(name=name, quality=_QUALITY, counted=by_day(callers, each.calls, zone))
        for name, each in replays.items()
    ]
    return compare(title, policies, baseline=list(replays).index(TODAY), unit="days", without=_NOT_IN_LOGS)


def by_day(callers: Sequence[Caller], calls: Iterable[CallResult], zone: ZoneInfo) -> tuple[RunCounts, ...]:
    """What became of the calls of each local day on which there were any, in all and by kind."""
    days: dict[int, RunCounts] = {}
    for caller, call in zip(callers, calls, strict=True):
        day = datetime.fromtimestamp(caller.arrived_ms / 1000, UTC).astimezone(zone).toordinal()
        if day not in days:
            days[day] = RunCounts(by_scope={Scope.ALL: {}, Scope.PORTFOLIO: {}}, days=1)
        counted = days[day]
        for scope, name in ((Scope.ALL, "all"), (Scope.PORTFOLIO, call.kind)):
            _count(counted.by_scope[scope].setdefault(name, Counts()), call)
    return tuple(days[day] for day in sorted(days))


def _count(counts: Counts, call: CallResult) -> None:
    is_soon = call.wait_ms <= 1000 * _QUALITY.within_s
    counts.arrived += 1
    counts.wait_all_ms += call.wait_ms
    if not call.answered:
        counts.abandoned += 1
        counts.abandoned_soon += is_soon
        counts.abandoned_short += call.wait_ms <= 1000 * _QUALITY.short_abandon_s
        return
    counts.answered += 1
    counts.answered_soon += is_soon
    counts.wait_ms += call.wait_ms
    counts.talk_ms += call.service_ms
    counts.by_owner += call.by_owner
    if call.has_owner:
        counts.owned += 1
        counts.on_shift += call.owner_on_shift
        counts.on_shift_by_owner += call.owner_on_shift and call.by_owner
