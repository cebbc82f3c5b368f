"""What is in no share, and why: counted by the engine, by company and local day."""

from datetime import date
from typing import Any

import msgspec

from router.core.events import OrganisationChanged, ShareAdjusted
from router.core.model import (
    Area,
    Contract,
    Fallback,
    FallbackKind,
    Membership,
    OrganisationDescription,
    PlacePolicy,
    Supplier,
    SupplierId,
)
from tests.core.builders import SUPPLIER, Bench, agent, offers, organisation, portfolio, site, team

BPO = SupplierId("bpo")
DAY = date(1970, 1, 1)


def two_suppliers(**of_contract: object) -> OrganisationDescription:
    """Portfolio gold of company tel: B1 of supplier bpo in Italy, B2 in Romania, and A1 of a supplier without one."""
    contract = Contract(contract_id="c", company="tel", supplier_id=BPO, countries=("IT",), target_bp=0)
    return organisation(
        [team("own"), team("out", supplier_id=BPO), team("far", supplier_id=BPO, site_id="iasi")],
        [portfolio("gold", "own", "out", "far", company="tel", max_wait_s=60, fallback=Fallback(FallbackKind.MESSAGE))],
        [agent("A1", "own"), agent("B1", "out"), agent("B2", "far")],
        sites=(site("laquila", "IT"), site("iasi", "RO")),
        suppliers=(SUPPLIER, Supplier(supplier_id=BPO, in_house=False)),
        contracts=(msgspec.structs.replace(contract, **of_contract),),
    )


def excluded(bench: Bench) -> dict[str, int]:
    """By reason, on the only day."""
    (day,) = bench.engine.books(now_ms=bench.now_ms).excluded_days
    assert (day.company, day.day) == ("tel", DAY)
    return dict(day.reasons)


def test_every_call_is_counted_under_a_contract_or_has_a_reason() -> None:
    bench = Bench(two_suppliers())
    bench.arrive(0, "hangs up")
    bench.hang_up(1, "hangs up")
    bench.arrive(2, "waits in vain")
    bench.until(70)
    bench.arrive(70, "wants to be called")
    bench.call_back(71, "wants to be called")
    bench.end(72, "wants to be called")
    bench.ready("A1", at=80)
    bench.talk(81, "answered by the other")
    bench.ready("B1", at=82)
    bench.talk(83, "answered")
    bench.ready("B2", at=84)
    bench.connect(85, bench.transfer(85, "answered"))
    bench.end(90, "answered")

    assert excluded(bench) == {
        "abandoned": 1,
        "max_wait": 1,
        "callback_cancelled": 1,
        "no_contract": 1,
        "answered_again": 1,
    }
    assert [(day.country, day.calls) for day in bench.engine.books(now_ms=bench.now_ms).contract_days] == [
        ("IT", 1),
        ("RO", 0),
    ]


def test_a_transferred_caller_who_hangs_up_was_answered() -> None:
    bench = Bench(two_suppliers())
    bench.ready("B1")
    bench.talk(1, "c1")
    bench.transfer(2, "c1")

    bench.hang_up(3, "c1")

    assert bench.engine.books(now_ms=3_000).excluded_days == ()


def test_without_contracts_nothing_is_kept() -> None:
    """Also where answers are watched for their announcement."""
    area = Area(area_id="eu", members=(Membership("IT"),))
    bench = Bench(
        msgspec.structs.replace(two_suppliers(), contracts=(), areas=(area,), place=PlacePolicy(area_id="eu"))
    )
    bench.arrive(0, "c1")
    bench.hang_up(1, "c1")
    bench.ready("B1", at=1)
    bench.talk(2, "c2")

    books = bench.engine.books(now_ms=2_000)
    assert books.excluded_days == ()
    assert [day.unannounced for day in books.place_days] == [1]


def test_a_reload_counts_who_is_signed_in_by_the_contracts_before_it() -> None:
    bench = Bench(two_suppliers())
    bench.ready("B1")

    bench.at(60, OrganisationChanged(description=two_suppliers(contract_id="new")))

    days = bench.engine.books(now_ms=90_000).contract_days
    assert [(day.contract_id, day.agent_ms) for day in days] == [("c", 60_000), ("new", 30_000)]


def test_a_correction_opens_the_gate_for_who_waits() -> None:
    """Nothing was answered yet, so a call may not go abroad; after the correction one may."""
    bench = Bench(two_suppliers(target_bp=8_000, margin_bp=0, wait_s=600))
    bench.ready("B2")
    assert [each.rule for each in bench.arrive(1, "c1")] == ["share"]

    fields: dict[str, Any] = {"contract_id": "c", "day": DAY, "country": "IT", "reason": "by hand", "made_by": "ada"}
    decisions = bench.at(2, ShareAdjusted(calls=4, **fields))

    assert offers(decisions) == {"c1": "B2"}
    assert bench.refused(3, ShareAdjusted(calls=-5, **fields)).reason == "wrong_amount"
