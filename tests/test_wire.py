"""The wire: what goes in comes out again, and whatever else goes in is refused."""

import re
import zlib
from contextlib import suppress
from datetime import date, time
from typing import Any

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.core import decisions, events
from router.core.decisions import (
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    ReleaseAgent,
    Rule,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.errors import EventRejected, Rejection
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallArrived,
    CallTransferred,
    Event,
    LiveAgent,
    LiveCall,
    OfferAccepted,
    OrganisationChanged,
    PlatformResynced,
    RouterResumed,
    ShareAdjusted,
    TimePassed,
)
from router.core.model import (
    Agent,
    AgentId,
    CallId,
    Client,
    ClientId,
    FallbackKind,
    Hours,
    Limits,
    Link,
    OfferId,
    OrganisationDescription,
    Ownership,
    Portfolio,
    PortfolioId,
    Relaxation,
    Skill,
    SkillNeed,
    TeamId,
    Weekday,
)
from router.pseudonym import Pseudonymiser
from router.wire import (
    INPUT_TYPES,
    OUTPUT_TYPES,
    PAYLOAD_BYTES_MAX,
    RESYNC_BYTES_MAX,
    Accepted,
    DecisionId,
    Input,
    InputEvent,
    InputRejected,
    PortfolioStatus,
    Rejected,
    ReloadRequested,
    RouterStatus,
    WireError,
    decode_input,
    decode_output,
    decode_record,
    encode_input,
    encode_output,
    encode_record,
    input_topic,
    output_topics,
    reply_topic,
)

pseudonym = Pseudonymiser(b"k" * 32).of

CALL = "acd/v1/in/main/call/c1"
AGENT = "acd/v1/in/main/agent/a1"
RESYNC = "acd/v1/in/main/admin/resync"
ARRIVED: dict[str, Any] = {"v": 1, "id": "e1", "type": "call_arrived", "call_id": "c1"}


def decode(payload: bytes, topic: str = CALL) -> Input:
    return decode_input(topic, payload, shard="main", pseudonym=pseudonym)


def refused(payload: object, topic: str = CALL) -> InputRejected:
    packed = payload if isinstance(payload, bytes) else msgpack.packb(payload)
    with pytest.raises(InputRejected) as refusal:
        decode(packed, topic)
    return refusal.value


# Every type with every field set, from the schema itself, so that a new field is tested from its first day. ----

IDS = st.from_regex(r"\A[A-Za-z0-9._:@-]{1,64}\Z")
SKILL_NEEDS = st.builds(
    SkillNeed,
    skill=IDS,
    level=st.integers(1, 10),
    relax=st.lists(st.builds(Relaxation, st.integers(0, 600), st.integers(0, 10)), max_size=8).map(tuple),
)
COUNTRIES = st.from_regex(r"\A[A-Z]{2}\Z")
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "caller": st.from_regex(r"\A[0-9a-f]{32}\Z"),
    "skills": st.lists(SKILL_NEEDS, max_size=16).map(tuple),
    "language": st.from_regex(r"\A[a-z]{2,3}\Z"),
    **dict.fromkeys(("country", "announced"), COUNTRIES),
    "countries": st.lists(COUNTRIES, max_size=64).map(tuple),
    "head_start_s": st.integers(-86_400, 86_400),
    "rule": st.sampled_from(Rule),
    "kind": st.sampled_from(FallbackKind),
    "path": st.lists(st.text(max_size=20), max_size=5).map(tuple),
    "target": st.text(max_size=40),
    "reason": IDS,
    "detail": st.text(max_size=200),
    **dict.fromkeys(("wait_ms", "expires_at_ms", "position", "misses", "since_ms"), st.integers(0, 2**53)),
    **dict.fromkeys(("expected_wait_ms", "ring", "offset", "epoch", "waiting"), st.integers(0, 2**53)),
    "oldest_wait_ms": st.integers(0, 2**53),
    "day": st.dates(),
    "made_by": st.from_regex(r"\A[^\x00-\x1f\x7f\ud800-\udfff]{1,200}\Z"),
    **dict.fromkeys(("talk_ms", "agent_ms"), st.integers(-(10**12), 10**12)),
    "sequence": st.integers(0, 2**62 - 1),
    "lease_s": st.integers(10, 86_400),
    "navigation_ms": st.integers(0, 3_600_000),
    "calls": st.lists(st.builds(LiveCall, call_id=IDS, agent_id=st.none() | IDS), max_size=5).map(tuple),
    "agents": st.lists(st.builds(LiveAgent, agent_id=IDS, ready=st.booleans()), max_size=5).map(tuple),
    **dict.fromkeys(
        ("unknown_calls", "over_calls", "disputed_calls", "ended_calls", "unknown_agents", "signed_out_agents"),
        st.lists(IDS, max_size=5).map(tuple),
    ),
    **dict.fromkeys(("callback", "ready", "duplicate", "up", "offers_choice", "override"), st.booleans()),
}


@st.composite
def structs(draw: st.DrawFn, types: list[type[msgspec.Struct]]) -> Any:
    chosen = draw(st.sampled_from(types))
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(chosen):
        strategy = FIELDS.get(field.name, IDS)
        if chosen is Rejected and field.name == "reason":
            strategy = st.sampled_from(Rejection)
        elif chosen is ShareAdjusted and field.name == "calls":
            strategy = st.integers(-1_000_000, 1_000_000)
        nullable = type(None) in getattr(field.type, "__args__", ())
        values[field.name] = draw(st.none() | strategy if nullable else strategy)
    return chosen(**values)


INPUTS = structs(list(INPUT_TYPES.values()))
OUTPUTS = structs(list(OUTPUT_TYPES.values()))

ORGANISATION = OrganisationDescription(
    skills=(Skill("mobile"),),
    portfolios=(
        Portfolio(
            portfolio_id=PortfolioId("gold"),
            teams=(Link(TeamId("aquila"), 20),),
            max_wait_s=None,
            hours=(Hours((Weekday.MON, Weekday.SUN), time(8, 30), time(0)),),
            closed_on=(date(2030, 12, 25),),
        ),
    ),
    agents=(Agent(agent_id=AgentId("a1"), team_id=TeamId("aquila"), skills={Skill("mobile"): 3}),),
    clients=(
        Client(
            client_id=ClientId("k1"),
            ownerships=(Ownership(owner=AgentId("a1"), valid_from=date(2030, 1, 1)),),
            callers=("0" * 32,),
        ),
    ),
    default_portfolio=PortfolioId("gold"),
    where="config/laquila",
)


# Inputs ---------------------------------------------------------------------------------------------------------


@given(event=INPUTS, event_id=IDS)
def test_every_input_survives_the_wire(event: InputEvent, event_id: str) -> None:
    topic = input_topic(event, "main")

    assert decode(encode_input(event_id, event), topic) == (event_id, event)


def test_the_largest_event_fits() -> None:
    """The bounds of the schema together stay within the bound of the payload."""
    need = SkillNeed(Skill("s" * 64), 10, (Relaxation(604_800, 10),) * 8)
    event = CallArrived(
        call_id=CallId("c" * 64), client_id=ClientId("k" * 64), caller="f" * 32, portfolio_id=PortfolioId("p" * 64),
        segment="g" * 64, skills=(need,) * 16, language="ita", countries=("IT",) * 64, head_start_s=-86_400,
    )  # fmt: skip

    payload = encode_input("e" * 64, event)

    assert decode(payload, input_topic(event, "main")).event == event
    assert len(payload) < PAYLOAD_BYTES_MAX


def test_the_longest_list_of_calls_and_agents_fits() -> None:
    calls = tuple(LiveCall(call_id=CallId(f"call-{number:015}")) for number in range(20_000))
    agents = tuple(LiveAgent(agent_id=AgentId(f"agent-{number:014}"), ready=True) for number in range(20_000))
    event = PlatformResynced(calls=calls, agents=agents)

    payload = encode_input("e1", event)

    assert PAYLOAD_BYTES_MAX < len(payload) < RESYNC_BYTES_MAX
    assert decode(payload, "acd/v1/in/main/admin/resync").event == event
    # Elsewhere it stays too large, before anything of it is read.
    assert refused(payload, "acd/v1/in/main/admin/reload").reason is Rejection.TOO_LARGE


def test_everything_that_happens_outside_can_be_reported() -> None:
    """All events of the core but those that the router makes itself."""
    reported = {each for each in INPUT_TYPES.values() if issubclass(each, Event)}
    public = (getattr(events, name) for name in events.__all__ if name not in ("snake_case", "Event"))
    concrete = {each for each in public if issubclass(each, Event)}
    concrete -= {events.CallEvent, events.AgentEvent, events.PresenceEvent, events.PlanEvent}

    assert reported == concrete - {OrganisationChanged, RouterResumed, TimePassed}


def test_a_number_becomes_a_pseudonym() -> None:
    payload = encode_input("e1", CallArrived(call_id=CallId("c1")), caller_number="06 1234 5678")

    event = decode(payload).event

    assert event == CallArrived(call_id=CallId("c1"), caller=pseudonym("+390612345678"))


def test_unknown_fields_are_ignored() -> None:
    newer = ARRIVED | {"mood": "cross", "trace": {"a": [1, 2.5, None, b"x"]}}

    assert decode(msgpack.packb(newer)) == ("e1", CallArrived(call_id=CallId("c1")))


@pytest.mark.parametrize("number", [None, "", "anonymous", "Restricted", "*123", "06 1234;ext=5"])
def test_a_number_that_is_withheld_or_none_makes_an_unknown_caller(number: str | None) -> None:
    assert decode(msgpack.packb(ARRIVED | {"caller_number": number})).event == CallArrived(call_id=CallId("c1"))


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    pairs = [*ARRIVED.items(), ("call_id", "c1")]
    twice = b"\x85" + b"".join(msgpack.packb(part) for pair in pairs for part in pair)

    assert decode(twice.replace(b"\xa2c1", b"\xa2c0", 1)).event == CallArrived(call_id=CallId("c1"))


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", "not one msgpack value"),
        (b"\xc1", "not one msgpack value"),
        (b"\x81\xa1v", "not one msgpack value"),
        (msgpack.packb(ARRIVED) + b"\x00", "not one msgpack value"),
        (b"\x91" * 4_000 + b"\x00", "not one msgpack value"),
        (b"\xdf\xff\xff\xff\xff", "not one msgpack value"),
        (b"\xdd\xff\xff\xff\xff", "not one msgpack value"),
        (b"\xdb\xff\xff\xff\xff", "not one msgpack value"),
        (b"\x81\xa2id\xa2\xff\xff", "not one msgpack value"),
        (msgpack.packb({1: 2}), "not one msgpack value"),
        (msgpack.packb(ARRIVED | {"x": msgpack.ExtType(5, b"abc")}), "not one msgpack value"),
        (msgpack.packb(ARRIVED | {"x": msgpack.Timestamp(1, 2)}), "not one msgpack value"),
        (msgpack.packb([1, 2]), "not a msgpack map"),
        (msgpack.packb("call_arrived"), "not a msgpack map"),
        (msgpack.packb(float("nan")), "not a msgpack map"),
        (msgpack.packb({}), "`v`"),
        (msgpack.packb(ARRIVED | {"v": "1"}), "`v`"),
        (msgpack.packb(ARRIVED | {"v": True}), "`v`"),
        (msgpack.packb(ARRIVED | {"v": float("nan")}), "`v`"),
        (msgpack.packb(ARRIVED | {"id": ""}), "`id`"),
        (msgpack.packb(ARRIVED | {"id": "a b"}), "`id`"),
        (msgpack.packb(ARRIVED | {"id": "e1\n"}), "`id`"),
        (msgpack.packb(ARRIVED | {"id": 7}), "`id`"),
        (msgpack.packb(ARRIVED | {"id": b"e1"}), "`id`"),
        (msgpack.packb(ARRIVED | {"id": "x" * 65}), "`id`"),
        (msgpack.packb(ARRIVED | {"type": "call_exploded"}), "`type`"),
        (msgpack.packb(ARRIVED | {"type": None}), "`type`"),
        (msgpack.packb(ARRIVED | {"type": ["call_arrived"]}), "`type`"),
        (msgpack.packb(ARRIVED | {"type": "router_resumed"}), "`type`"),
        (msgpack.packb(ARRIVED | {"type": "organisation_changed", "description": {}}), "`type`"),
        (msgpack.packb({"v": 1, "id": "e1", "type": "call_arrived"}), "`call_id`"),
        (msgpack.packb(ARRIVED | {"call_id": 1}), "`$.call_id`"),
        (msgpack.packb(ARRIVED | {"call_id": "a/b"}), "`$.call_id`"),
        (msgpack.packb(ARRIVED | {"call_id": "#"}), "`$.call_id`"),
        (msgpack.packb(ARRIVED | {"language": "italiano"}), "`$.language`"),
        (msgpack.packb(ARRIVED | {"skills": [{"skill": "mobile", "level": 99}]}), "`$.skills[0].level`"),
        (msgpack.packb(ARRIVED | {"skills": [{"skill": "mobile"}] * 17}), "`$.skills`"),
        (msgpack.packb(ARRIVED | {"head_start_s": 2**64 - 1}), "`$.head_start_s`"),
        (msgpack.packb(ARRIVED | {"head_start_s": 1.5}), "`$.head_start_s`"),
        (msgpack.packb(ARRIVED | {"navigation_ms": -1}), "`$.navigation_ms`"),
        (msgpack.packb(ARRIVED | {"navigation_ms": 3_600_001}), "`$.navigation_ms`"),
        (msgpack.packb(ARRIVED | {"caller": "+390612345678"}), "`caller`"),
        (msgpack.packb(ARRIVED | {"caller": 39}), "`caller`"),
        (msgpack.packb(ARRIVED | {"caller": "0" * 32, "caller_number": "06"}), "`caller_number`"),
        (msgpack.packb(ARRIVED | {"caller_number": 390612345678}), "`caller_number`"),
        (msgpack.packb(ARRIVED | {b"call_id": "c1"}), "key"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_the_detail_says_why(payload: bytes, says: str) -> None:
    refusal = refused(payload)

    assert refusal.reason is Rejection.UNREADABLE
    assert says in refusal.detail
    assert refusal.reply_topic == "acd/v1/out/main/call/c1"


def test_a_payload_of_ten_megabytes_is_refused_unread() -> None:
    refusal = refused(msgpack.packb(ARRIVED | {"caller_number": "1" * 10_000_000}))

    assert refusal.reason is Rejection.TOO_LARGE
    assert str(PAYLOAD_BYTES_MAX) in refusal.detail
    assert refusal.event_id is None


def test_a_sender_learns_before_sending_that_a_payload_is_too_large() -> None:
    with pytest.raises(EventRejected) as refusal:
        encode_input("e1", CallArrived(call_id=CallId("c1")), caller_number="1" * PAYLOAD_BYTES_MAX)

    assert refusal.value.reason is Rejection.TOO_LARGE


@pytest.mark.parametrize(
    ("fields", "topic", "at"),
    [
        ({"type": "call_arrived", "call_id": "c/1"}, CALL, "$.call_id"),
        ({"type": "call_arrived", "call_id": "c1", "client_id": "K 1"}, CALL, "$.client_id"),
        ({"type": "call_arrived", "call_id": "c1", "segment": "+390862"}, CALL, "$.segment"),
        ({"type": "call_transferred", "call_id": "c1", "portfolio_id": "gold\n"}, CALL, "$.portfolio_id"),
        ({"type": "offer_accepted", "agent_id": "a1", "call_id": "c#", "offer_id": "o1"}, AGENT, "$.call_id"),
        ({"type": "offer_accepted", "agent_id": "a1", "call_id": "c1", "offer_id": "é"}, AGENT, "$.offer_id"),
        ({"type": "agent_not_ready", "agent_id": "a1", "reason": "a break"}, AGENT, "$.reason"),
        ({"type": "agent_signed_in", "agent_id": "a1", "seat": "1/2"}, AGENT, "$.seat"),
        ({"type": "platform_resynced", "calls": [{"call_id": "c1"}, {"call_id": "c 2"}]}, RESYNC, "$.calls[1].call_id"),
        (
            {"type": "platform_resynced", "agents": [{"agent_id": "a+", "ready": True}]},
            RESYNC,
            "$.agents[0].agent_id",
        ),
    ],
)
def test_ids_of_other_characters_are_refused_by_name_and_not_repeated(
    fields: dict[str, Any], topic: str, at: str
) -> None:
    refusal = refused({"v": 1, "id": "e1"} | fields, topic)

    assert refusal.reason is Rejection.UNREADABLE
    assert refusal.detail == f"expected letters, digits and ._:@- alone - at `{at}`"


@pytest.mark.parametrize("version", [0, 2, -1, 2**64 - 1])
def test_other_versions_are_refused_with_the_event_id(version: int) -> None:
    refusal = refused(ARRIVED | {"v": version})

    assert refusal.reason is Rejection.UNSUPPORTED_VERSION
    assert refusal.event_id == "e1"


@pytest.mark.parametrize(
    ("topic", "says", "answered_on"),
    [
        ("acd/v1/in/main/call/c2", "`call_id`", "acd/v1/out/main/call/c2"),
        ("acd/v1/in/main/agent/c1", "in/main/call/", "acd/v1/out/main/agent/c1"),
        ("acd/v1/in/main/admin/reload", "in/main/call/", "acd/v1/out/main/admin/reload"),
        ("acd/v1/in/main/fax/c1", "in/main/call/", None),
        ("acd/v1/in/main/call/c1/x", "`call_id`", None),
        ("acd/v1/in/main/call/", "`call_id`", None),
        ("acd/v1/in/main", "acd/v1/in/main/#", None),
        ("acd/v1/in/other/call/c1", "acd/v1/in/main/#", None),
        ("acd/v1/out/main/call/c1", "acd/v1/in/main/#", None),
        ("acd/v2/in/main/call/c1", "acd/v1/in/main/#", None),
        ("", "acd/v1/in/main/#", None),
    ],
)
def test_wrong_topics_are_refused(topic: str, says: str, answered_on: str | None) -> None:
    refusal = refused(ARRIVED, topic)

    assert refusal.reason is Rejection.WRONG_TOPIC
    assert says in refusal.detail
    assert refusal.event_id == "e1"
    assert refusal.reply_topic == answered_on


def test_reload_belongs_on_its_own_topic() -> None:
    payload = encode_input("e1", ReloadRequested())

    assert decode(payload, "acd/v1/in/main/admin/reload").event == ReloadRequested()
    assert "admin/reload" in refused(payload, "acd/v1/in/main/admin/restart").detail


@pytest.mark.parametrize(
    ("field", "value"),
    [("reason", ""), ("reason", "two\nlines"), ("made_by", ""), ("day", "4 May"), ("country", "Italy"), ("calls", "1")],
)
def test_a_correction_is_of_a_day_and_country_and_says_why_and_by_whom(field: str, value: str) -> None:
    fields = {"contract_id": "c", "day": "2018-05-03", "country": "IT", "reason": "why", "made_by": "ada", field: value}

    refusal = refused({"v": 1, "id": "e1", "type": "share_adjusted", **fields}, "acd/v1/in/main/admin/share")

    assert refusal.reason is Rejection.UNREADABLE
    assert field in refusal.detail


def test_no_refusal_repeats_a_number() -> None:
    number = "+39 333 765 43 21 withheld"
    for fields in (
        {"caller": number},
        {"client_id": number},
        {"type": number},
        {"call_id": number},
        {"skills": number},
        {"caller_number": number, "v": 2},
        {number: number, 5: 5},
    ):
        refusal = refused(ARRIVED | fields)

        assert "765" not in f"{refusal}{refusal.detail}"
        assert refusal.__cause__ is None


@pytest.mark.parametrize("event_id", ["", "a b", "a/b", "x" * 65, "e\n"])
def test_event_ids_of_another_form_are_not_sent(event_id: str) -> None:
    with pytest.raises(ValueError, match="event id"):
        encode_input(event_id, ReloadRequested())


def test_only_an_arriving_call_has_a_number() -> None:
    with pytest.raises(ValueError, match="caller_number"):
        encode_input("e1", AgentReady(agent_id=AgentId("a1")), caller_number="06")
    with pytest.raises(ValueError, match="caller_number"):
        encode_input("e1", CallArrived(call_id=CallId("c1"), caller="0" * 32), caller_number="06")


@settings(max_examples=500)
@given(payload=st.binary(max_size=200))
def test_random_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(InputRejected):
        decode(payload)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
    | st.binary(max_size=5) | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4)),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from([*ARRIVED, "skills", "caller", "caller_number", "x"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=150)
@given(
    event=INPUTS,
    changes=st.dictionaries(st.sampled_from([*ARRIVED, "skills", "caller", "caller_number", "x"]), VALUES),
    topic=st.text(max_size=10) | st.just(None),
)
def test_changed_fields_are_read_or_refused(event: InputEvent, changes: dict[str, Any], topic: str | None) -> None:
    payload = msgpack.packb(msgpack.unpackb(encode_input("e1", event)) | changes)

    read_or_refused(payload, input_topic(event, "main") if topic is None else topic)


@settings(max_examples=150)
@given(event=INPUTS, data=st.data())
def test_damaged_payloads_are_read_or_refused(event: InputEvent, data: st.DataObject) -> None:
    payload = bytearray(encode_input("e1", event))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))

    read_or_refused(bytes(payload[: data.draw(st.integers(0, len(payload)))]), input_topic(event, "main"))


def read_or_refused(payload: bytes, topic: str) -> None:
    """Nothing but an event or a refusal comes out, and an event is one that could have been sent."""
    try:
        event_id, event = decode(payload, topic)
    except InputRejected:
        return
    assert decode(encode_input(event_id, event), topic) == (event_id, event)


# Outputs --------------------------------------------------------------------------------------------------------


@given(message=OUTPUTS, numbers=st.tuples(*[st.integers(0, 2**62)] * 3))
def test_every_output_survives_the_wire(message: Any, numbers: tuple[int, int, int]) -> None:
    decision_id = DecisionId(*numbers) if isinstance(message, Decision) else None

    output = decode_output(encode_output(message, decision_id))

    assert output == (decision_id, message)


def test_every_decision_can_be_sent() -> None:
    every = {getattr(decisions, name) for name in decisions.__all__ if name not in ("Rule", "Decision", "CallDecision")}

    assert every <= set(OUTPUT_TYPES.values())


OFFER = OfferCall(
    rule=Rule.OWNER, path=("client k1", "agent a1"), call_id=CallId("c1"), wait_ms=0, ring=0, offer_id=OfferId("o1"),
    agent_id=AgentId("a1"), expires_at_ms=20_000, portfolio_id=PortfolioId("gold"), agent_country="IT",
)  # fmt: skip


def test_a_decision_looks_like_this_on_the_wire() -> None:
    """For those who write the other side in another language. None is left out."""
    assert msgpack.unpackb(encode_output(OFFER, DecisionId(3, 41, 0))) == {
        "v": 1,
        "id": "3.41.0",
        "type": "offer_call",
        "rule": "owner",
        "path": ["client k1", "agent a1"],
        "call_id": "c1",
        "wait_ms": 0,
        "ring": 0,
        "offer_id": "o1",
        "agent_id": "a1",
        "expires_at_ms": 20_000,
        "portfolio_id": "gold",
        "agent_country": "IT",
        "offers_choice": False,
        "callback": False,
    }


def test_replies_look_like_this_on_the_wire() -> None:
    accepted = encode_output(Accepted(event_id="e1", offset=41))
    rejected = encode_output(Rejected(reason=Rejection.UNREADABLE, detail="no map"))

    assert msgpack.unpackb(accepted) == {
        "v": 1, "type": "accepted", "event_id": "e1", "offset": 41, "duplicate": False,
    }  # fmt: skip
    assert msgpack.unpackb(rejected) == {"v": 1, "type": "rejected", "reason": "unreadable", "detail": "no map"}


CALL_SIDE, AGENT_SIDE = "acd/v1/out/main/call/c1", "acd/v1/out/main/agent/a1"
OF_CALL: dict[str, Any] = {"rule": Rule.RANK, "call_id": CallId("c1"), "wait_ms": 0}
OF_AGENT: dict[str, Any] = {"rule": Rule.RANK, "agent_id": AgentId("a1")}
OF_OFFER: dict[str, Any] = OF_CALL | OF_AGENT | {"offer_id": OfferId("o1")}


@pytest.mark.parametrize(
    ("message", "topics"),
    [
        (OFFER, (CALL_SIDE, AGENT_SIDE)),
        (WithdrawOffer(**OF_OFFER), (CALL_SIDE, AGENT_SIDE)),
        (ConnectCall(**OF_OFFER, agent_country="IT"), (CALL_SIDE, AGENT_SIDE)),
        (EndCall(**OF_CALL | OF_AGENT), (CALL_SIDE, AGENT_SIDE)),
        (QueueCall(**OF_CALL, portfolio_id=PortfolioId("gold"), position=1, expected_wait_ms=None), (CALL_SIDE,)),
        (FallbackCall(**OF_CALL, kind=FallbackKind.NUMBER, target="119"), (CALL_SIDE,)),
        (PauseAgent(**OF_AGENT, misses=3), (AGENT_SIDE,)),
        (ReleaseAgent(**OF_AGENT, ready=True), (AGENT_SIDE,)),
        (SignOutAgent(**OF_AGENT), (AGENT_SIDE,)),
        (RouterStatus(up=True, since_ms=0, epoch=1), ("acd/v1/out/main/status/router",)),
        (
            PortfolioStatus(portfolio_id=PortfolioId("gold"), waiting=0, oldest_wait_ms=0),
            ("acd/v1/out/main/status/portfolio/gold",),
        ),
    ],
)
def test_a_message_goes_to_all_whom_it_concerns(message: Any, topics: tuple[str, ...]) -> None:
    assert output_topics(message, "main") == topics


@pytest.mark.parametrize(
    ("event", "topic"),
    [
        (CallTransferred(call_id=CallId("c1")), "acd/v1/in/s2/call/c1"),
        (AgentSignedIn(agent_id=AgentId("a1")), "acd/v1/in/s2/agent/a1"),
        (
            OfferAccepted(agent_id=AgentId("a1"), call_id=CallId("c1"), offer_id=OfferId("o1")),
            "acd/v1/in/s2/agent/a1",
        ),
        (ReloadRequested(), "acd/v1/in/s2/admin/reload"),
        (
            ShareAdjusted(contract_id="c", day=date(2018, 5, 3), country="IT", calls=1, reason="why", made_by="ada"),
            "acd/v1/in/s2/admin/share",
        ),
    ],
)
def test_an_event_is_reported_where_it_happened_and_answered_there(event: InputEvent, topic: str) -> None:
    assert input_topic(event, "s2") == topic
    assert reply_topic(topic, "s2") == topic.replace("/in/", "/out/")


def test_what_has_no_topic_is_our_mistake() -> None:
    with pytest.raises(TypeError, match="RouterResumed"):
        input_topic(RouterResumed(epoch=3), "main")
    with pytest.raises(TypeError, match="Accepted"):
        output_topics(Accepted(event_id="e1", offset=0), "main")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\xc1", "not one msgpack value"),
        (b"\x91" * 5_000, "not one msgpack value"),
        (msgpack.packb([]), "not a msgpack map"),
        (msgpack.packb({"v": 2, "type": "accepted"}), "version 2"),
        (msgpack.packb({"v": 1, "type": "explode_call"}), "newer version"),
        (msgpack.packb({"v": 1, "type": "accepted", "event_id": "e1"}), "`offset`"),
        (msgpack.packb({"v": 1, "type": "accepted", "event_id": "e1", "offset": 1, "id": "1.2.3"}), "`id`"),
        (encode_output(OFFER), "`id`"),
        (encode_output(OFFER, DecisionId(1, 2, 3)).replace(b"1.2.3", b"1.2_3"), "decision id"),
        (encode_output(OFFER, DecisionId(1, 2, 3)).replace(b"1.2.3", b"1.2.x"), "decision id"),
        (encode_output(OFFER, DecisionId(1, 2, 3)).replace(b"owner", b"ownex"), "`$.rule`"),
    ],
)
def test_outputs_of_another_make_are_refused(payload: bytes, says: str) -> None:
    with pytest.raises(WireError, match=re.escape(says)):
        decode_output(payload)


def test_decision_ids_sort_by_their_numbers() -> None:
    texts = ["1.10.0", "1.9.2", "1.9.10", "0.11.0"]

    assert sorted(texts, key=DecisionId.parse) == ["0.11.0", "1.9.2", "1.9.10", "1.10.0"]


# Records --------------------------------------------------------------------------------------------------------


@given(event=structs([each for each in INPUT_TYPES.values() if issubclass(each, Event)]), at_ms=st.integers(0, 2**53))
def test_every_event_survives_the_journal(event: Event, at_ms: int) -> None:
    assert decode_record(encode_record(at_ms, event)) == (at_ms, event)


@pytest.mark.parametrize(
    "event", [RouterResumed(epoch=3, limits=Limits()), TimePassed(), OrganisationChanged(description=ORGANISATION)]
)
def test_the_router_own_events_survive_the_journal(event: Event) -> None:
    """Dates, times, and a None that is not the default among them."""
    assert decode_record(encode_record(7, event)) == (7, event)


def test_large_records_are_compressed() -> None:
    clients = tuple(Client(client_id=ClientId(f"k{n}"), where=f"clients.csv, row {n}") for n in range(2_000))
    event = OrganisationChanged(description=msgspec.structs.replace(ORGANISATION, clients=clients))

    record = encode_record(7, event)

    assert len(record) < 40_000
    assert decode_record(record) == (7, event)


@given(data=st.data())
def test_a_damaged_record_is_noticed(data: st.DataObject) -> None:
    """Whichever bit flips, and wherever it is cut."""
    record = bytearray(encode_record(7, CallArrived(call_id=CallId("c1"))))
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    record[bit // 8] ^= 1 << bit % 8

    with pytest.raises(WireError):
        decode_record(bytes(record))
    with pytest.raises(WireError):
        decode_record(bytes(record[: bit // 8]))


def test_a_record_from_before_planners_had_fields_of_their_own_is_read() -> None:
    description = msgspec.to_builtins(ORGANISATION)
    for row, field in ((description["agents"][0], "contract_until"), (description["clients"][0], "minutes_a_month")):
        del row[field]
    body = msgpack.packb({"at_ms": 7, "type": "organisation_changed", "description": description})

    record = b"\x01\x00" + zlib.crc32(body).to_bytes(4, "big") + body

    assert decode_record(record) == (7, OrganisationChanged(description=ORGANISATION))


def test_a_record_of_a_newer_version_says_so() -> None:
    with pytest.raises(WireError, match="format 2, which this version cannot read"):
        decode_record(b"\x02" + encode_record(7, RouterResumed(epoch=3))[1:])


@pytest.mark.parametrize(
    ("body", "compressed", "says"),
    [
        (b"\xc1", False, "not one msgpack value"),
        (b"no zlib", True, "journal record"),
        (msgpack.packb([]), False, "not a msgpack map"),
        (msgpack.packb({"type": "router_resumed"}), False, "at_ms"),
        (msgpack.packb({"at_ms": 1, "type": "router_exploded"}), False, "newer version"),
        (msgpack.packb({"at_ms": 1, "type": "reload_requested"}), False, "unknown type"),
        (msgpack.packb({"at_ms": 1, "type": "call_arrived"}), False, "`call_id`"),
    ],
)
def test_a_record_with_a_valid_checksum_must_still_hold_an_event(body: bytes, compressed: bool, says: str) -> None:
    head = b"\x01" + bytes([compressed]) + zlib.crc32(body).to_bytes(4, "big")

    with pytest.raises(WireError, match=says):
        decode_record(head + body)


KEYS = st.sampled_from(["v", "id", "type", "at_ms", "rule", "path", "call_id", "epoch", "limits", "description", "x"])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    message=OUTPUTS | st.builds(RouterResumed, epoch=st.integers(0, 9), limits=st.just(Limits())),
    changes=st.dictionaries(KEYS, VALUES, max_size=3),
    damage=st.none() | st.tuples(st.integers(0, 300), st.binary(max_size=4)),
    compressed=st.booleans(),
)
def test_whatever_is_read_back_is_a_message_or_an_error_of_the_wire(
    message: Any, changes: dict[str, Any], damage: tuple[int, bytes] | None, *, compressed: bool
) -> None:
    """Of a broker that anybody may write to, and of records whose checksum is right but whose content is not."""
    body = msgpack.packb({"v": 1, "id": "1.2.3", "at_ms": 7, **msgspec.to_builtins(message), **changes})
    if damage is not None:
        place, piece = damage
        body = body[:place] + piece + body[place + len(piece) :]
    packed = zlib.compress(body) if compressed else body
    record = b"\x01" + bytes([compressed]) + zlib.crc32(packed).to_bytes(4, "big") + packed

    for read in (lambda: decode_output(body), lambda: decode_record(record)):
        with suppress(WireError):
            read()
