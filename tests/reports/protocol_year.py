"""A journal of a contract's year that can be counted by hand: [4 May 2017, 4 May 2018), local time.

Company tel has two contracts: ``out`` with supplier bpo (80 % in Italy, from February 85 %, valid from 4 May 2017) and
``own`` with its own house (95 %, valid from 15 June, in the organisation from 20 June). Agent I of bpo sits in Italy, A
of bpo in Albania, H of the house in Italy. The router counts from 2 May.

- 3 May, the last millisecond: I answers; no contract is valid yet.
- 4 May: I answers four calls, the first of them in the first millisecond; A answers one, which leaves exactly 80 %.
- 10 June: H answers, before its contract. 20 June: H answers.
- 29 October, 25 hours long: I answers in its first and in its last millisecond, and in the first of the 30th.
- December: a hang-up, and a call-back that is cancelled. A caller asks for an agent inside and gets I after 30 s,
  unannounced; another asks and hangs up.
- 5 March: A takes a call after 10 s in which nobody in Italy was free, as an override.
- 3 May 2018, the last millisecond: I answers, and talks into the next day; I answers again at midnight.
- 10 May: a call too many of 4 May 2017 is taken off A; of 20 March one is added for I.
"""

from datetime import date
from functools import cache
from typing import Any

import msgspec

from router.core import decisions as d
from router.core import events as e
from router.core.events import Event
from router.core.model import (
    Area,
    CallId,
    Contract,
    Membership,
    OrganisationDescription,
    PlacePolicy,
    SharePeriod,
    Supplier,
    SupplierId,
)
from tests.core.builders import agent, organisation, portfolio, site, team
from tests.reports.half_year import Day, ms

BPO, HOUSE = SupplierId("bpo"), SupplierId("house")
FROM_MS, UNTIL_MS = ms(2017, 5, 4), ms(2018, 5, 4)
_NEVER: dict[str, Any] = {"presence_lease_s": 86_400, "wrap_up_s": 0, "talk_lease_s": 86_400}

OUT = Contract(
    contract_id="out",
    company="tel",
    supplier_id=BPO,
    countries=("IT",),
    territory="Italy",
    target_bp=8_000,
    margin_bp=0,
    period=SharePeriod.CONTRACT,
    wait_s=10,
    valid_from=date(2017, 5, 4),
)
OWN = msgspec.structs.replace(
    OUT, contract_id="own", supplier_id=HOUSE, target_bp=9_500, baseline_bp=9_000, valid_from=date(2017, 6, 15)
)


def description(*contracts: Contract) -> OrganisationDescription:
    return organisation(
        [
            team("italy", supplier_id=BPO, **_NEVER),
            team("albania", supplier_id=BPO, site_id="tirana", **_NEVER),
            team("home", supplier_id=HOUSE, **_NEVER),
        ],
        [portfolio("gold", "italy", "albania", "home", company="tel", max_wait_s=None)],
        [agent("I", "italy"), agent("A", "albania"), agent("H", "home")],
        sites=(site("laquila", "IT"), site("tirana", "AL")),
        suppliers=(Supplier(supplier_id=BPO, in_house=False), Supplier(supplier_id=HOUSE)),
        areas=(Area(area_id="eu", members=(Membership("IT"),)),),
        place=PlacePolicy(area_id="eu"),
        contracts=contracts,
    )


class ProtocolDay(Day):
    """The platform announces where the agent sits, unless it forgets."""

    announces = True

    def connected(self, offer: d.OfferCall) -> e.CallConnected:
        return e.CallConnected(call_id=offer.call_id, announced=offer.agent_country if self.announces else None)

    def wait(self, until_ms: int) -> None:
        """Let time pass until a deadline."""
        decisions = self.engine.expire(until_ms)
        self.records.append((until_ms, e.TimePassed()))
        self.take(until_ms, decisions)

    def answer(self, at_ms: int, who: str, call_id: str, *, for_ms: int = 60_000) -> None:
        """*who* signs in for this one call."""
        self.sign_in(at_ms, who)
        self.call(at_ms, call_id)
        self.end(at_ms + for_ms, call_id)
        self.sign_out(at_ms + for_ms, who)


@cache
def records() -> tuple[tuple[int, Event], ...]:
    day = ProtocolDay(description(OUT), ms(2017, 5, 2))
    day.answer(FROM_MS - 1, "I", "y0", for_ms=1)
    for number in range(4):
        day.answer(FROM_MS + number * 60_000, "I", f"y{number + 1}", for_ms=30_000)
    day.answer(FROM_MS + 300_000, "A", "y5")
    day.answer(ms(2017, 6, 10, 9), "H", "j1")
    day.at(ms(2017, 6, 20), e.OrganisationChanged(description=description(OUT, OWN)))
    day.answer(ms(2017, 6, 20, 9), "H", "j2")

    autumn = ms(2017, 10, 29)
    day.answer(autumn, "I", "o1")
    day.answer(autumn + 25 * 3_600_000 - 1, "I", "o2", for_ms=1)
    day.answer(autumn + 25 * 3_600_000, "I", "o3")

    _december(day, ms(2017, 12, 4, 9))
    raised = msgspec.structs.replace(OUT, target_bp=8_500)
    day.at(ms(2018, 2, 1), e.OrganisationChanged(description=description(raised, OWN)))
    start = ms(2018, 3, 5, 9)
    day.sign_in(start, "A")
    day.call(start, "m1")
    day.wait(start + 10_000)
    day.end(start + 60_000, "m1")
    day.sign_out(start + 60_000, "A")
    day.answer(UNTIL_MS - 1, "I", "last", for_ms=3_600_000)
    day.answer(UNTIL_MS + 3_600_000, "I", "late")

    correct: dict[str, Any] = {"contract_id": "out", "made_by": "ada"}
    made_ms = ms(2018, 5, 10, 12)
    day.at(made_ms, e.ShareAdjusted(day=date(2017, 5, 4), country="AL", calls=-1, reason="test call", **correct))
    day.at(made_ms, e.ShareAdjusted(day=date(2018, 3, 20), country="IT", calls=1, reason="on paper", **correct))
    return tuple(day.records)


def _december(day: ProtocolDay, start: int) -> None:
    day.call(start, "d1")
    day.hang_up(start + 5_000, "d1")
    day.call(start + 10_000, "d2")
    day.at(start + 11_000, e.CallbackRequested(call_id=CallId("d2")))
    day.end(start + 12_000, "d2")
    day.call(start + 20_000, "d3")
    day.at(start + 20_000, e.PlaceRequested(call_id=CallId("d3")))
    day.announces = False
    day.sign_in(start + 50_000, "I")
    day.announces = True
    day.call(start + 60_000, "d4")
    day.at(start + 60_000, e.PlaceRequested(call_id=CallId("d4")))
    day.hang_up(start + 70_000, "d4")
    day.end(start + 80_000, "d3")
    day.sign_out(start + 80_000, "I")


def after(at_ms: int) -> int:
    """How many records came before this moment."""
    return sum(each[0] < at_ms for each in records())
