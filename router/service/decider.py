"""The engine and its place in the journal: every decision gets the name it will have in every replay.

A decision is named ``(epoch, offset, index)``: the claim under which the router ran, the journal record that was
handled last, and a count since then. Live service and recovery go through the same few lines here, which makes their
names agree.

Deadlines are served at a journalled time only: that of an event, or of a `TimePassed` that is written when something is
due and nothing arrives. So nothing is published that a replay would not decide again.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from router.core import Engine, EventRejected, Limits
from router.core.decisions import Decision
from router.core.events import Event, OrganisationChanged, RouterResumed, TimePassed
from router.core.model import OrganisationDescription
from router.journal import JournalError, Record
from router.wire import DecisionId, decode_record

__all__ = ["Decided", "Decider", "recover"]

# What a broker or a platform may have missed when either side stopped: some seconds of a busy router.
_RECORDS_REMEMBERED: Final = 1_000


class Decided(NamedTuple):
    decision_id: DecisionId
    decision: Decision


class _Outcome:
    """What one record led to, deadlines served after it included."""

    __slots__ = ("decided", "rejected")

    def __init__(self) -> None:
        self.decided: list[Decided] = []
        self.rejected: EventRejected | None = None


class Decider:
    """Applies journal records, and deadlines between them, to an engine."""

    def __init__(self, engine: Engine, description: OrganisationDescription, offset: int) -> None:
        self.engine = engine
        self.description = description
        """The version of the organisation that is in force."""
        self.now_ms = 0
        """The latest moment that the engine has heard of."""
        self._epoch = 0
        self._offset = offset
        self._index = 0
        self._recent: OrderedDict[int, _Outcome] = OrderedDict({offset: _Outcome()})

    def apply(self, offset: int, at_ms: int, event: Event) -> list[Decided]:
        """Handle the record at *offset*, received at *at_ms*.

        What was due by then is served first and not returned: the live service has called `serve_deadlines` itself,
        and a replay has no use for it.

        Raises:
            EventRejected: The event was refused.
        """
        if isinstance(event, RouterResumed):
            self._epoch = event.epoch
        elif not isinstance(event, TimePassed):
            self.serve_deadlines(at_ms)
        self._offset, self._index = offset, 0
        self._recent[offset] = outcome = _Outcome()
        if len(self._recent) > _RECORDS_REMEMBERED:
            self._recent.popitem(last=False)
        self.now_ms = max(self.now_ms, at_ms)
        if isinstance(event, TimePassed):
            return self.serve_deadlines(at_ms)
        try:
            decisions = self.engine.handle(event, now_ms=self.now_ms)
        except EventRejected as rejected:
            outcome.rejected = rejected
            raise
        if isinstance(event, OrganisationChanged):
            self.description = event.description
        return self._name(decisions)

    def serve_deadlines(self, now_ms: int) -> list[Decided]:
        """Serve what is due up to *now_ms*."""
        self.now_ms = max(self.now_ms, now_ms)
        return self._name(self.engine.expire(self.now_ms))

    def outcome_of(self, offset: int) -> tuple[list[Decided], EventRejected | None]:
        """What the record at *offset* led to, as far as it is remembered."""
        outcome = self._recent.get(offset)
        return ([], None) if outcome is None else (list(outcome.decided), outcome.rejected)

    def recent(self) -> Iterator[Decided]:
        """All decisions that are remembered, in order."""
        for outcome in self._recent.values():
            yield from outcome.decided

    def _name(self, decisions: Iterable[Decision]) -> list[Decided]:
        decided = []
        for decision in decisions:
            decided.append(Decided(DecisionId(self._epoch, self._offset, self._index), decision))
            self._index += 1
        if decided:
            self._recent[self._offset].decided.extend(decided)
        return decided


def recover(
    records: Iterable[Record],
    *,
    limits: Limits,
    on_record: Callable[[int], None] = lambda _: None,
) -> Decider | None:
    """Become again what the journal says the router was; None: the journal is empty.

    Args:
        records: The shard's records from the first.
        limits: For the engine.
        on_record: Told of each record's offset, for showing progress.

    Raises:
        JournalError: The journal does not begin with an organisation.
        WireError: A record cannot be read.
    """
    decider: Decider | None = None
    for record in records:
        at_ms, event = decode_record(record.body)
        if decider is None:
            if not isinstance(event, OrganisationChanged):
                raise JournalError("the journal does not begin with an organisation; it was not written by a router")
            decider = Decider(Engine(event.description, limits=limits), event.description, record.offset)
            decider.now_ms = at_ms
        else:
            # What was refused then is refused again.
            with suppress(EventRejected):
                decider.apply(record.offset, at_ms, event)
        on_record(record.offset)
    return decider
