"""Key figures of a set of calls, recorded or replayed, and the two side by side.

The service level is variant C, answered within the threshold / offered: every abandoned call counts against it.
Wherever it is shown, variant and threshold are shown with it. A share of nothing is None, "no data", never 0.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec
from msgspec import Struct
from rich.table import Table

__all__ = ["ALL_KINDS", "CallResult", "Kpis", "Results", "as_json", "as_table", "summarise"]

SERVICE_LEVEL_VARIANT = "C"
SERVICE_LEVEL_THRESHOLD_S = 20
NO_DATA = "no data"
ALL_KINDS = "all"


class CallResult(NamedTuple):
    """How one offered call ended."""

    kind: str
    wait_ms: int
    """Until answered, or until the caller hung up."""
    answered: bool
    by_owner: bool
    """Answered by the owner of the client."""
    has_owner: bool
    owner_on_shift: bool
    """The owner was signed in when the call arrived."""
    service_ms: int


class Kpis(Struct, frozen=True, kw_only=True):
    """Key figures of a set of calls. Shares run from 0 to 1; None: no data."""

    offered: int
    answered: int
    answered_within: int
    """Answered after waiting for at most the threshold."""
    service_level: float | None
    """``answered_within / offered``: variant C."""
    abandoned_share: float | None
    """Of the offered."""
    mean_wait_answered_s: float | None
    mean_service_s: float | None
    """Of the answered."""
    owner_share: float | None
    """Answered by the owner, of all answered."""
    owner_share_owned: float | None
    """Answered by the owner, of the answered whose client has one."""
    owner_share_on_shift: float | None
    """Answered by the owner, of the answered whose client has one who was on shift."""


class Results(Struct, frozen=True, kw_only=True):
    """Key figures in all and by kind of call."""

    threshold_s: int
    variant: str
    total: Kpis
    by_kind: dict[str, Kpis]
    """In order of the kinds' names."""
    occupancy: float | None
    """Busy time / staffed time of all agents; may pass 1 where calls outlast the shifts."""


def summarise(
    calls: Iterable[CallResult],
    *,
    busy_ms: int | None,
    staffed_ms: int | None,
    threshold_s: int = SERVICE_LEVEL_THRESHOLD_S,
) -> Results:
    """Work out the key figures.

    Args:
        calls: Every offered call, in any order.
        busy_ms: Time that agents spent on calls, summed over agents; None: unknown.
        staffed_ms: Time that agents were signed in and not in a break, summed over agents; None: unknown.
        threshold_s: A call counts as answered in time after waiting for at most so long.
    """
    by_kind: defaultdict[str, list[CallResult]] = defaultdict(list)
    for call in calls:
        by_kind[call.kind].append(call)
    return Results(
        threshold_s=threshold_s,
        variant=SERVICE_LEVEL_VARIANT,
        total=_kpis([call for kind in by_kind.values() for call in kind], threshold_s),
        by_kind={kind: _kpis(by_kind[kind], threshold_s) for kind in sorted(by_kind)},
        occupancy=None if busy_ms is None or staffed_ms is None else _share(busy_ms, staffed_ms),
    )


def as_table(*, log: Results, replayed: Results, title: str = "Log and replay") -> Table:
    """Log beside replay, for a terminal: all calls first, then each kind of either."""
    table = Table(title=title, caption=_definition(log, replayed))
    table.add_column("Calls")
    table.add_column("Figure")
    table.add_column("Log", justify="right")
    table.add_column("Replayed", justify="right")
    for kind, *both in _pairs(log, replayed):
        for number, figure in enumerate(_FIGURES):
            table.add_row(
                kind if number == 0 else "", figure.name, *(figure.show(kpis) if kpis else NO_DATA for kpis in both)
            )
        if kind == ALL_KINDS:
            table.add_row("", "occupancy", _percent(log.occupancy), _percent(replayed.occupancy))
        table.add_section()
    return table


def as_json(*, log: Results, replayed: Results) -> str:
    """Log beside replay, for programs. Keys are sorted and figures rounded, so that reruns agree to the byte."""
    document = {"log": _rounded(msgspec.to_builtins(log)), "replayed": _rounded(msgspec.to_builtins(replayed))}
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2).decode()


def _kpis(calls: list[CallResult], threshold_s: int) -> Kpis:
    answered = [call for call in calls if call.answered]
    within = sum(call.wait_ms <= 1_000 * threshold_s for call in answered)
    by_owner = sum(call.by_owner for call in answered)
    on_shift = [call for call in answered if call.has_owner and call.owner_on_shift]
    return Kpis(
        offered=len(calls),
        answered=len(answered),
        answered_within=within,
        service_level=_share(within, len(calls)),
        abandoned_share=_share(len(calls) - len(answered), len(calls)),
        mean_wait_answered_s=_share(sum(call.wait_ms for call in answered), 1_000 * len(answered)),
        mean_service_s=_share(sum(call.service_ms for call in answered), 1_000 * len(answered)),
        owner_share=_share(by_owner, len(answered)),
        owner_share_owned=_share(by_owner, sum(call.has_owner for call in answered)),
        owner_share_on_shift=_share(sum(call.by_owner for call in on_shift), len(on_shift)),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


class _Figure(NamedTuple):
    name: str
    show: Callable[[Kpis], str]


def _percent(share: float | None) -> str:
    return NO_DATA if share is None else f"{100 * share:.1f} %"


def _seconds(seconds: float | None) -> str:
    return NO_DATA if seconds is None else f"{seconds:.1f} s"


_FIGURES = (
    _Figure("offered", lambda kpis: str(kpis.offered)),
    _Figure("answered in time / offered", lambda kpis: _percent(kpis.service_level)),
    _Figure("abandoned", lambda kpis: _percent(kpis.abandoned_share)),
    _Figure("mean wait of the answered", lambda kpis: _seconds(kpis.mean_wait_answered_s)),
    _Figure("mean service", lambda kpis: _seconds(kpis.mean_service_s)),
    _Figure("by the owner, of answered", lambda kpis: _percent(kpis.owner_share)),
    _Figure("by the owner, of owned", lambda kpis: _percent(kpis.owner_share_owned)),
    _Figure("by the owner, of owned, owner on shift", lambda kpis: _percent(kpis.owner_share_on_shift)),
)


def _pairs(log: Results, replayed: Results) -> Iterable[tuple[str, Kpis | None, Kpis | None]]:
    yield ALL_KINDS, log.total, replayed.total
    for kind in sorted({*log.by_kind, *replayed.by_kind}):
        yield kind, log.by_kind.get(kind), replayed.by_kind.get(kind)


def _definition(log: Results, replayed: Results) -> str:
    thresholds = " and ".join(f"{seconds} s" for seconds in sorted({log.threshold_s, replayed.threshold_s}))
    return (
        f"In time: variant {SERVICE_LEVEL_VARIANT}, within {thresholds} / offered; all abandoned calls count against."
    )


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(member) for key, member in value.items()}
    return round(value, 6) if isinstance(value, float) else value
