"""The agents of a simulated centre: who is there, what each does now, and wants to do next.

What they tell the router comes from here; of what the router does with them they learn from its decisions alone.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final, NamedTuple

from router.core.events import AgentEvent, AgentNotReady, AgentReady, AgentRefreshed, AgentSignedIn, AgentSignedOut
from router.core.members import (
    AGENT_IDLE,
    AGENT_IN_CALL,
    AGENT_NOT_READY,
    AGENT_OFFERED,
    AGENT_SIGNED_OUT,
    AGENT_WRAP_UP,
)
from router.core.model import AgentId
from router.simulation.scenario import Scenario
from router.simulation.shifts import BREAK
from router.simulation.tally import Person, Tally
from router.simulation.traffic import Purpose, stream_of

__all__ = ["Foreseen", "Staff"]

# Whoever finds no seat tries again so much later.
_SEAT_AGAIN_MS: Final = 60_000
# An agent who was paused for missed offers says so much later that it was a mistake.
_BACK_AFTER_PAUSE_MS: Final = 60_000


class _What(Enum):
    SEAT = auto()
    """Looks for a seat once more."""
    BREAK = auto()
    BACK = auto()
    """From a break."""
    SIGN_OF_LIFE = auto()
    WRAPPED_UP = auto()


class Foreseen(NamedTuple):
    """Something that an agent will do, unless it has lost its point by then."""

    what: _What
    person: Person
    mark: int
    """The visit to which it belongs; of a wrap-up, when its conversation began."""


class Staff:
    """Everybody who answers calls."""

    def __init__(
        self,
        scenario: Scenario,
        tally: Tally,
        replication: int,
        later: Callable[[int, AgentEvent | Foreseen], None],
    ) -> None:
        """*later* takes what will happen at a moment."""
        self._scenario = scenario
        self._tally = tally
        self._replication = replication
        self._later = later
        self.people = tally.people
        self._sign_ins: dict[AgentId, AgentEvent] = {}
        """Of those who want to be there."""

    # --- What they tell the router ---

    def does(self, event: AgentEvent, now_ms: int) -> bool:
        """Whether what a shift foresaw comes true. A sign-in is to be confirmed by `sat_down` or `found_no_seat`."""
        person, kind = self.people[event.agent_id], type(event)
        if kind is AgentSignedIn:
            person.visit += 1
            self._sign_ins[event.agent_id] = event
            return True
        wants_in = event.agent_id in self._sign_ins
        if kind is AgentSignedOut:
            person.visit += 1
            self._sign_ins.pop(event.agent_id, None)
        if not wants_in or person.status is AGENT_SIGNED_OUT:
            return False
        if kind is AgentSignedOut:
            person.leaves = True
            self._step_back(person, now_ms)
        elif kind is AgentNotReady:
            person.pauses = True
            self._step_back(person, now_ms)
        else:
            self._ready(person, now_ms)
        return True

    def event_of(self, foreseen: Foreseen, now_ms: int) -> AgentEvent | None:
        """What the agent tells the router now; None: nothing any more."""
        what, person, mark = foreseen
        agent_id = person.agent_id
        if what is _What.WRAPPED_UP:
            return self._wrapped_up(person, now_ms) if self._is_wrapping_up(person, mark) else None
        if person.visit != mark or agent_id not in self._sign_ins:
            return None
        if what is _What.SEAT:
            return self._sign_ins[agent_id]
        if person.status is AGENT_SIGNED_OUT:
            return None
        if what is _What.SIGN_OF_LIFE:
            self._later(now_ms + person.half_lease_ms, foreseen)
            return AgentRefreshed(agent_id=agent_id)
        if what is _What.BREAK:
            person.takes_break = person.pauses = True
            self._step_back(person, now_ms)
            return AgentNotReady(agent_id=agent_id, reason=BREAK)
        self._ready(person, now_ms)
        return AgentReady(agent_id=agent_id)

    def _is_wrapping_up(self, person: Person, since_ms: int) -> bool:
        return person.status is AGENT_WRAP_UP and person.busy_since_ms == since_ms

    def _wrapped_up(self, person: Person, now_ms: int) -> AgentEvent:
        pauses, leaves = person.pauses, person.leaves
        self._freed(person, now_ms)
        if leaves:
            return AgentSignedOut(agent_id=person.agent_id)
        if pauses:
            return AgentNotReady(agent_id=person.agent_id, reason=BREAK)
        return AgentReady(agent_id=person.agent_id)

    # --- What becomes of them ---

    def sat_down(self, event: AgentSignedIn, now_ms: int, *, is_late: bool) -> None:
        """The sign-in was accepted; *is_late*: only once a seat was free, so that the agent is ready at once."""
        person = self.people[event.agent_id]
        self._tally.sits(person, event.site_id or person.own_site_id)
        person.pauses = person.leaves = person.takes_break = False
        self._tally.becomes(person, AGENT_NOT_READY, now_ms)
        # Twice a lease, as a platform would.
        self._later(now_ms + person.half_lease_ms, Foreseen(_What.SIGN_OF_LIFE, person, person.visit))
        every_s = self._scenario.presence.break_every_s
        if every_s is not None:
            day = self._tally.day
            random = stream_of(self._scenario, Purpose.BREAK, person.agent_id, day, self._replication)
            first_ms = int(random.random() * every_s * 1000)
            self._later(now_ms + first_ms, Foreseen(_What.BREAK, person, person.visit))
        if is_late:
            self._later(now_ms, AgentReady(agent_id=person.agent_id))

    def found_no_seat(self, event: AgentSignedIn, now_ms: int) -> None:
        """The sign-in was refused."""
        person = self.people[event.agent_id]
        if person.status is AGENT_SIGNED_OUT:
            self._later(now_ms + _SEAT_AGAIN_MS, Foreseen(_What.SEAT, person, person.visit))

    def hung_up(self, person: Person, wrap_up_ms: int | None, now_ms: int) -> None:
        """A conversation is over. The work after it takes so long; None: the team's limit."""
        self._tally.hung_up(person, now_ms)
        if not person.wrap_up_limit_ms:
            self._freed(person, now_ms)
            return
        self._tally.becomes(person, AGENT_WRAP_UP, now_ms)
        if wrap_up_ms is not None and wrap_up_ms < person.wrap_up_limit_ms:
            self._later(now_ms + wrap_up_ms, Foreseen(_What.WRAPPED_UP, person, person.busy_since_ms))

    def released(self, person: Person, now_ms: int) -> None:
        """The limit of the work after a call has passed."""
        if person.status is AGENT_WRAP_UP:
            self._freed(person, now_ms)

    def lost_offer(self, person: Person, now_ms: int) -> None:
        """It rings no more."""
        if person.status is AGENT_OFFERED:
            self._freed(person, now_ms)

    def was_paused(self, person: Person, now_ms: int) -> None:
        """By the router, for offers that were missed."""
        person.pauses = True
        self._step_back(person, now_ms)
        self._later(now_ms + _BACK_AFTER_PAUSE_MS, AgentReady(agent_id=person.agent_id))

    def was_signed_out(self, person: Person, now_ms: int) -> None:
        person.leaves = True
        self._step_back(person, now_ms)

    def _ready(self, person: Person, now_ms: int) -> None:
        person.pauses = person.leaves = person.takes_break = False
        if person.status is AGENT_NOT_READY:
            self._tally.becomes(person, AGENT_IDLE, now_ms)
        elif person.status is AGENT_WRAP_UP:
            self._freed(person, now_ms)

    def _step_back(self, person: Person, now_ms: int) -> None:
        """At once, but for a conversation; work after one is left."""
        if person.status is not AGENT_IN_CALL and person.status is not AGENT_SIGNED_OUT:
            self._freed(person, now_ms)

    def _freed(self, person: Person, now_ms: int) -> None:
        """No call, and no work after one, any more."""
        self._tally.handled(person, now_ms)
        if person.leaves:
            person.leaves = person.pauses = person.takes_break = False
            self._tally.becomes(person, AGENT_SIGNED_OUT, now_ms)
        elif person.pauses:
            self._tally.becomes(person, AGENT_NOT_READY, now_ms)
            if person.takes_break:
                self._go_on_break(person, now_ms)
        else:
            self._tally.becomes(person, AGENT_IDLE, now_ms)

    def _go_on_break(self, person: Person, now_ms: int) -> None:
        person.takes_break = False
        presence = self._scenario.presence
        back_ms = now_ms + presence.break_s * 1000
        self._later(back_ms, Foreseen(_What.BACK, person, person.visit))
        if presence.break_every_s is not None:
            next_ms = back_ms + presence.break_every_s * 1000
            self._later(next_ms, Foreseen(_What.BREAK, person, person.visit))
