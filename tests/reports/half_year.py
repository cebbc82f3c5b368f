"""A journal of half a year that can be counted by hand: events as a platform would report them to a real engine.

Portfolio gold serves company tre, silver serves wind. Client G1 of gold is owned by O of team north, with backup C of
the same team; S1 of silver by N of team south. D of south is neither. Months are of local time.

- 2026-01: gold answered after exactly 20 s (navigation 10 s) by O, who signed in after the call had arrived, and after
  20.001 s (navigation unknown) by C, while O talked.
- 2026-02: nothing.
- 2026-03, in which clocks go forward: of gold, a hang-up after 5 s and one after 21 s; answered at once by O in the
  last millisecond, and transferred to N in April.
- 2026-04: gold answered at once by D at midnight (navigation 0 s), while O talked; of silver, a call-back by N.
- 2026-05: silver answered after 200 s by C, while N was signed in.
- 2026-06: of silver, a hang-up after 1 s on the 20th, with which the journal ends.
"""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from router.core import Engine
from router.core import decisions as d
from router.core import events as e
from router.core.events import Event
from router.core.model import AgentId, CallId, ClientId, OrganisationDescription, PortfolioId, Quality
from tests.core.builders import accepted, agent, client, organisation, owned_by, portfolio, team

ROME = ZoneInfo("Europe/Rome")
QUALITY = Quality(within_s=20, short_abandon_s=5, wait_mean_max_s=150, within_share_min_percent=40)


def ms(*when: int) -> int:
    """``ms(2026, 3, 31, 23, 59)``: of local time, since the epoch."""
    return int(datetime(*when, tzinfo=ROME).timestamp()) * 1000  # type: ignore[arg-type,misc] # at most six numbers


def description() -> OrganisationDescription:
    never = {"presence_lease_s": 86_400, "wrap_up_s": 0, "talk_lease_s": 86_400}
    return organisation(
        [team("north", **never), team("south", **never)],
        [
            portfolio("gold", "north", "south", company="tre", max_wait_s=None),
            portfolio("silver", "south", "north", company="wind", max_wait_s=None),
        ],
        [agent("O", "north"), agent("C", "north"), agent("D", "south"), agent("N", "south")],
        [
            client("G1", "gold", ownerships=owned_by("O", "C")),
            client("S1", "silver", ownerships=owned_by("N")),
        ],
        quality=QUALITY,
    )


class Day:
    """Events as a platform would report them, and the engine that answers: offers are taken at once."""

    def __init__(self, described: OrganisationDescription, begins_ms: int) -> None:
        self.engine = Engine(described)
        self.records: list[tuple[int, Event]] = [(begins_ms, e.OrganisationChanged(description=described))]
        self.at(begins_ms, e.RouterResumed(epoch=1))

    def at(self, at_ms: int, event: Event) -> None:
        self.engine.expire(at_ms)
        decisions = self.engine.handle(event, now_ms=at_ms)
        self.records.append((at_ms, event))
        self.take(at_ms, decisions)

    def take(self, at_ms: int, decisions: Iterable[d.Decision]) -> None:
        """Offers are accepted and put through at once."""
        for offer in (each for each in decisions if isinstance(each, d.OfferCall)):
            self.at(at_ms, accepted(offer))
            self.at(at_ms, self.connected(offer))

    def connected(self, offer: d.OfferCall) -> e.CallConnected:
        return e.CallConnected(call_id=offer.call_id)

    def call(self, at_ms: int, call_id: str, client_id: str | None = None, navigation_ms: int | None = None) -> None:
        who = ClientId(client_id) if client_id is not None else None
        self.at(at_ms, e.CallArrived(call_id=CallId(call_id), client_id=who, navigation_ms=navigation_ms))

    def sign_in(self, at_ms: int, *agents: str) -> None:
        for agent_id in agents:
            self.at(at_ms, e.AgentSignedIn(agent_id=AgentId(agent_id)))
            self.at(at_ms, e.AgentReady(agent_id=AgentId(agent_id)))

    def sign_out(self, at_ms: int, *agents: str) -> None:
        for agent_id in agents:
            self.at(at_ms, e.AgentSignedOut(agent_id=AgentId(agent_id)))

    def end(self, at_ms: int, call_id: str) -> None:
        self.at(at_ms, e.CallEnded(call_id=CallId(call_id)))

    def hang_up(self, at_ms: int, call_id: str) -> None:
        self.at(at_ms, e.CallAbandoned(call_id=CallId(call_id)))


def records() -> list[tuple[int, Event]]:
    day = Day(description(), ms(2026, 1, 1))
    start = ms(2026, 1, 12, 9)
    day.call(start, "j1", "G1", navigation_ms=10_000)
    day.sign_in(start + 20_000, "O")
    day.call(start + 30_000, "j2", "G1")
    day.sign_in(start + 50_001, "C")
    for call_id in ("j1", "j2"):
        day.end(start + 60_000, call_id)
    day.sign_out(start + 60_000, "O", "C")

    start = ms(2026, 3, 2, 9)
    day.call(start, "m1", "G1")
    day.hang_up(start + 5_000, "m1")
    day.call(start + 30_000, "m2", "G1")
    day.hang_up(start + 51_000, "m2")
    april = ms(2026, 4, 1)
    day.sign_in(april - 1_000, "O", "D")
    day.call(april - 1, "m3", "G1")
    day.call(april, "a1", "G1", navigation_ms=0)
    day.end(april + 10_000, "a1")
    day.sign_out(april + 10_000, "D")
    day.at(april + 20_000, e.CallTransferred(call_id=CallId("m3"), portfolio_id=PortfolioId("silver")))
    day.sign_out(april + 20_000, "O")
    day.sign_in(april + 30_000, "N")
    day.end(april + 40_000, "m3")
    day.sign_out(april + 40_000, "N")

    start = ms(2026, 4, 15, 9)
    day.call(start, "a2", "S1")
    day.at(start + 10_000, e.CallbackRequested(call_id=CallId("a2")))
    day.sign_in(start + 60_000, "N")
    day.end(start + 90_000, "a2")

    start = ms(2026, 5, 4, 9)
    day.at(start, e.AgentSignedIn(agent_id=AgentId("C")))
    day.at(start, e.AgentSignedIn(agent_id=AgentId("N")))
    day.call(start, "y1", "S1")
    day.at(start + 200_000, e.AgentReady(agent_id=AgentId("C")))
    day.end(start + 260_000, "y1")
    day.sign_out(start + 260_000, "C", "N")

    start = ms(2026, 6, 20, 9)
    day.call(start, "u1", "S1")
    day.hang_up(start + 1_000, "u1")
    return day.records
