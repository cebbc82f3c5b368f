"""The engine and its place in the journal: every decision gets the name it will have in every replay.

A decision is named ``(epoch, offset, index)``: the claim under which the router ran, the journal record that was
handled last, and a count since then. Live service and recovery go through the same few lines here, which makes their
names agree.

Deadlines are served at a journalled time only: that of an event, or of a `TimePassed` that is written when something is
due and nothing arrives. So nothing is published that a replay would not decide again; and should it, the digest that
each `TimePassed` carries shows from where on.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, Self

import msgspec
from msgspec import Struct
from msgspec.msgpack import Encoder

from router.core import Engine, EventRejected
from router.core.decisions import Decision
from router.core.events import Event, OrganisationChanged, RouterResumed, TimePassed
from router.core.model import Contract, OrganisationDescription, SupplierId
from router.wire import OUTPUT_TYPES, DecisionId

__all__ = ["RECORDS_REMEMBERED", "Decided", "Decider", "Outcome", "Position", "Version"]

# What a broker or a platform may have missed when either side stopped: some seconds of a busy router.
RECORDS_REMEMBERED: Final = 1_000
# Whoever was refused must not be told "accepted" when asking again, however late a copy comes: of some 2 in 100 events
# that are refused, the last quarter of a million.
_REFUSALS_REMEMBERED: Final = 5_000
_DIGEST_BYTES: Final = 20
# Of older versions, and made in another way: not compared.
_OLD_DIGEST_BYTES: Final = 16
# A hash a record would be a tenth of a recovery; without `TimePassed` in between this bounds what waits for one.
_RECORDS_PER_FOLD: Final = 256


class Decided(NamedTuple):
    decision_id: DecisionId
    decision: Decision


class Outcome:
    """What one record led to, deadlines served after it included."""

    __slots__ = ("decided", "rejected")

    def __init__(self, decided: Iterable[Decided] = (), rejected: EventRejected | None = None) -> None:
        self.decided = list(decided)
        self.rejected = rejected


class Version(Struct, frozen=True, array_like=True):
    """A version of the organisation that was put into force, and what reports of contracts must know of it."""

    offset: int
    """Of its record, which may have been purged since."""
    at_ms: int
    sha256: bytes
    """Of its description as JSON with sorted keys."""
    contracts: tuple[Contract, ...]
    in_house: tuple[SupplierId, ...]
    """Suppliers of its contracts that are the company itself."""


class Position(Struct, frozen=True, array_like=True):
    """How far a decider has come."""

    now_ms: int
    """The latest moment that the engine has heard of."""
    epoch: int
    offset: int
    index: int
    organisation_offset: int
    """The record of the organisation that is in force."""
    folded: bytes
    """A digest over all decisions but the last."""
    unfolded: tuple[int | str, ...]
    """The last ones, in words."""
    versions: tuple[Version, ...] = ()
    """All that have been in force, oldest first; empty in snapshots from before, which did not tell."""


class Decider:
    """Applies journal records, and deadlines between them, to an engine."""

    def __init__(
        self,
        engine: Engine,
        description: OrganisationDescription,
        position: Position,
        outcomes: Iterable[tuple[int, Outcome]] = (),
    ) -> None:
        """Go on from *position*, at which *outcomes* by offset are remembered, oldest first."""
        self.engine = engine
        self.description = description
        """The version of the organisation that is in force."""
        self.diverged_at: int | None = None
        """The first offset at which a replay was seen to decide otherwise than the router that wrote the journal."""
        self.now_ms = position.now_ms
        """The latest moment that the engine has heard of."""
        self._epoch = position.epoch
        self._offset = position.offset
        self._index = position.index
        self._organisation_offset = position.organisation_offset
        self._folded = position.folded
        self._unfolded: list[int | str] = list(position.unfolded)
        self._versions = list(position.versions)
        if not self._versions:
            self._note_version(position.organisation_offset)
        self._recent: dict[int, Outcome] = {}
        """By offset, of the last records; one that led to nothing has none."""
        self._remembers_from = 0
        """The first offset whose decisions get names and are remembered."""
        self._refused: OrderedDict[int, Outcome] = OrderedDict()
        """Refusals that are older than what is in `_recent`."""
        for offset, outcome in outcomes:
            is_recent = offset > self._offset - RECORDS_REMEMBERED
            (self._recent if is_recent else self._refused)[offset] = outcome

    @classmethod
    def of_first_record(cls, engine: Engine, description: OrganisationDescription, offset: int, at_ms: int) -> Self:
        """A decider that has seen nothing but its organisation, in the record at *offset*."""
        return cls(engine, description, Position(at_ms, 0, offset, 0, offset, b"", ()))

    def go_through(self, last_offset: int) -> None:
        """Be ready for a replay up to *last_offset*.

        What its older records led to would be forgotten before its end: `apply` decides it and counts it into the
        digest, but neither names nor returns it. Refusals are remembered as ever.
        """
        self._remembers_from = last_offset - RECORDS_REMEMBERED + 1

    @property
    def offset(self) -> int:
        """Of the record that was applied last."""
        return self._offset

    @property
    def position(self) -> Position:
        return Position(
            self.now_ms,
            self._epoch,
            self._offset,
            self._index,
            self._organisation_offset,
            self._folded,
            tuple(self._unfolded),
            tuple(self._versions),
        )

    @property
    def versions(self) -> tuple[Version, ...]:
        """Every version of the organisation that was in force, oldest first.

        One that says the same as the one before it is not told again.
        """
        return tuple(self._versions)

    @property
    def digest(self) -> bytes:
        """Over all decisions so far: equal digests, equal decisions."""
        if not self._unfolded:
            return self._folded
        return hashlib.blake2b(self._folded + _encode(self._unfolded), digest_size=_DIGEST_BYTES).digest()

    def apply(self, offset: int, at_ms: int, event: Event) -> list[Decided]:
        """Handle the record at *offset*, received at *at_ms*.

        What was due by then is served first and not returned: the live service has called `serve_deadlines` itself,
        and a replay has no use for it.

        Raises:
            EventRejected: The event was refused.
        """
        # A recovery comes through here a hundred thousand times: comparing types costs a third of `isinstance`, and
        # what is written out here saves four calls a record, a tenth of the whole.
        if at_ms > self.now_ms:
            self.now_ms = at_ms
        if type(event) is RouterResumed:
            self._epoch = event.epoch
        elif type(event) is not TimePassed and (due := self.engine.expire(self.now_ms)):
            self._name(due)
        self._offset, self._index = offset, 0
        if offset % _RECORDS_PER_FOLD == 0:
            self._fold()
        if self._recent:
            self._forget(offset - RECORDS_REMEMBERED)
        if type(event) is TimePassed:
            self._fold()
            told = event.digest
            is_comparable = told is not None and len(told) != _OLD_DIGEST_BYTES
            if is_comparable and told != self._folded and self.diverged_at is None:
                self.diverged_at = offset
            return self.serve_deadlines(at_ms)
        try:
            decisions = self.engine.handle(event, now_ms=self.now_ms)
        except EventRejected as rejected:
            # A copy: the one that is raised holds on to every frame it passes, and one of them to the outcome.
            self._outcome().rejected = EventRejected(rejected.reason, rejected.detail)
            raise
        if type(event) is OrganisationChanged:
            self.description, self._organisation_offset = event.description, offset
            self._note_version(offset)
        return self._name(decisions) if decisions else []

    def _note_version(self, offset: int) -> None:
        description = self.description
        sha256 = hashlib.sha256(_as_json(description)).digest()
        if self._versions and self._versions[-1].sha256 == sha256:
            return
        suppliers = {contract.supplier_id for contract in description.contracts}
        in_house = (each.supplier_id for each in description.suppliers if each.in_house)
        self._versions.append(
            Version(offset, self.now_ms, sha256, description.contracts, tuple(sorted(suppliers.intersection(in_house))))
        )

    def serve_deadlines(self, now_ms: int) -> list[Decided]:
        """Serve what is due up to *now_ms*."""
        if now_ms > self.now_ms:
            self.now_ms = now_ms
        decisions = self.engine.expire(self.now_ms)
        return self._name(decisions) if decisions else []

    def outcome_of(self, offset: int) -> tuple[list[Decided], EventRejected | None]:
        """What the record at *offset* led to, as far as it is remembered."""
        outcome = self._recent.get(offset) or self._refused.get(offset)
        return ([], None) if outcome is None else (list(outcome.decided), outcome.rejected)

    def outcomes(self) -> list[tuple[int, Outcome]]:
        """What is remembered of what records led to, by offset, oldest first; copies."""
        remembered = (*self._refused.items(), *self._recent.items())
        return [(offset, Outcome(each.decided, each.rejected)) for offset, each in remembered]

    def recent(self) -> Iterator[Decided]:
        """All decisions that are remembered, in order."""
        for outcome in self._recent.values():
            yield from outcome.decided

    def _outcome(self) -> Outcome:
        """Of the present record."""
        outcome = self._recent.get(self._offset)
        if outcome is None:
            outcome = self._recent[self._offset] = Outcome()
        return outcome

    def _forget(self, offset: int) -> None:
        # Offsets have no gaps, so that one goes with each that comes.
        outcome = self._recent.pop(offset, None)
        if outcome is not None and outcome.rejected is not None:
            self._refused[offset] = Outcome(rejected=outcome.rejected)
            if len(self._refused) > _REFUSALS_REMEMBERED:
                self._refused.popitem(last=False)

    def _name(self, decisions: Sequence[Decision]) -> list[Decided]:
        epoch, offset, index = self._epoch, self._offset, self._index
        self._index += len(decisions)
        unfolded = self._unfolded
        unfolded += (offset, index)
        for decision in decisions:
            unfolded.append(type(decision).__name__)
            unfolded += _WORDS_OF[type(decision)](decision)
        if offset < self._remembers_from:
            return []
        decided = [
            Decided(DecisionId(epoch, offset, place), decision) for place, decision in enumerate(decisions, index)
        ]
        self._outcome().decided += decided
        return decided

    def _fold(self) -> None:
        # At moments that the journal alone decides, so that a router and its replay fold alike.
        if self._unfolded:
            self._folded = self.digest
            self._unfolded.clear()


# The rule twice, since one name alone would not give a tuple.
_WORDS_OF: Final = {
    kind: attrgetter(*(name for name in ("call_id", "agent_id") if name in kind.__struct_fields__), "rule", "rule")
    for kind in OUTPUT_TYPES.values()
    if issubclass(kind, Decision)
}
"""All that tells one run's decisions from another's, by type of decision."""
_as_json: Final = msgspec.json.Encoder(order="sorted").encode
_encode: Final = Encoder().encode
