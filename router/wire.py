"""The wire: msgpack bytes <-> events and decisions, and the topics they travel on.

Three kinds of bytes, one schema (the structs of `core`): *inputs* come from platforms and are checked hard,
since anybody who reaches the broker can send anything; *outputs* go to platforms; *records* are what the
journal keeps. Inputs and outputs are msgpack maps with ``v`` (the version, 1), ``id``, ``type`` and the fields
of the struct. Unknown fields are ignored, so that a newer sender may add some; missing and mistyped ones are
refused. A field that is None is left out where None is its default.

What a newcomer gets wrong: a phone number never leaves `decode_input`. It arrives as ``caller_number`` and
becomes the pseudonym ``caller``, and no detail of a refusal repeats what was sent.
"""

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from types import UnionType
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints
import msgspec
from msgspec import Struct

from router.core.decisions import (
    AnswerResync,
    CallDecision,
    ConnectCall,
    Decision,
    EndCall,
    FallbackCall,
    OfferCall,
    PauseAgent,
    QueueCall,
    ReleaseAgent,
    ReportPlan,
    SignOutAgent,
    WithdrawOffer,
)
from router.core.errors import EventRejected, Rejection, RouterError
from router.core.events import (
    AgentEvent,
    AgentNotReady,
    AgentReady,
    AgentRefreshed,
    AgentSignedIn,
    AgentSignedOut,
    AgentSuspected,
    CallAbandoned,
    CallArrived,
    CallbackRequested,
    CallConnected,
    CallEnded,
    CallEvent,
    CallRefreshed,
    CallTransferred,
    ConnectFailed,
    Event,
    LiveAgent,
    LiveCall,
    OfferAccepted,
    OfferDeclined,
    OfferMissed,
    OrganisationChanged,
    PlaceRequested,
    PlanAdvanceRequested,
    PlanEvent,
    PlanHoldRequested,
    PlanRollbackRequested,
    PlatformResynced,
    RouterResumed,
    ShareAdjusted,
    TimePassed,
    snake_case,
)
from router.core.model import PlainId, PortfolioId

__all__ = [
    "INPUT_TYPES",
    "OUTPUT_TYPES",
    "PAYLOAD_BYTES_MAX",
    "RESYNC_BYTES_MAX",
    "VERSION",
    "Accepted",
    "DecisionId",
    "Input",
    "InputEvent",
    "InputRejected",
    "Output",
    "OutputMessage",
    "PortfolioStatus",
    "Rejected",
    "ReloadRequested",
    "RouterStatus",
    "WireError",
    "decode_input",
    "decode_output",
    "decode_record",
    "encode_input",
    "encode_output",
    "encode_record",
    "input_topic",
    "output_topics",
    "portfolio_status_topic",
    "reply_topic",
    "router_status_topic",
]  # fmt: skip

VERSION: Final = 1
PAYLOAD_BYTES_MAX: Final = 16 * 1024
"""The largest event that fits the schema takes 4.7 KiB. The rest is room for fields of newer senders;
more would only let a stranger fill the journal."""

RESYNC_BYTES_MAX: Final = 2 * 1024 * 1024
"""Lists of 20,000 calls and as many agents, with ids of some 20 characters, take 1.6 MiB."""

# Well above what the schema needs (arrays of 64, maps of 20), so that newer senders fit, yet a length in a header of
# five bytes cannot make us set memory aside.
_ARRAY_MAX: Final = 256
_RESYNC_ARRAY_MAX: Final = 20_000

RECORD_FORMAT: Final = 1
# Events take some hundred bytes, where compression costs more than it saves; organisations take megabytes.
_COMPRESS_OVER_BYTES: Final = 4 * 1024
_DETAIL_LENGTH_MAX: Final = 200


class WireError(RouterError):
    """Bytes of our own making that cannot be read: damaged, or written by a newer version."""


class InputRejected(EventRejected):
    """An input that is no event. Says what is wrong with it and where the sender listens for the answer."""

    def __init__(self, reason: Rejection, detail: str, *, event_id: str | None, reply_topic: str | None) -> None:
        super().__init__(reason, detail[:_DETAIL_LENGTH_MAX])
        self.event_id = event_id
        """None: the payload was too damaged to find it."""
        self.reply_topic = reply_topic
        """None: the topic is none of ours, so nobody waits for an answer."""


class ReloadRequested(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case):
    """Operations ask the service to read the organisation's files again. Not for the engine."""


class Accepted(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case):
    """The event is in the journal and will not be lost: the sender may stop resending it."""

    event_id: str
    offset: int
    """Its place in the journal."""
    duplicate: bool = False
    """It had been accepted before; this copy changed nothing."""


class Rejected(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case):
    """The event was refused and changed nothing. Resending it as it is will not help."""

    event_id: str | None = None
    reason: Rejection
    detail: str


class RouterStatus(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case):
    """Whether the router is at work. Retained; the last will says ``up: false``."""

    up: bool
    since_ms: int
    epoch: int


class PortfolioStatus(Struct, frozen=True, kw_only=True, tag_field="type", tag=snake_case):
    """The queue of one portfolio. Retained."""

    portfolio_id: PortfolioId
    waiting: int
    oldest_wait_ms: int


class DecisionId(Struct, frozen=True, order=True):
    """Names a decision for ever: the same input at the same place gives the same decision again."""

    epoch: int
    offset: int
    """Of the journal record that led to the decision."""
    index: int
    """Among the decisions of that record."""

    def __str__(self) -> str:
        return f"{self.epoch}.{self.offset}.{self.index}"

    @classmethod
    def parse(cls, text: str) -> "DecisionId":
        """Read ``"epoch.offset.index"``.

        Raises:
            WireError: It is something else.
        """
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in parts):
            raise WireError("not a decision id; it should read epoch.offset.index")
        return cls(*map(int, parts))


InputEvent: TypeAlias = Event | ReloadRequested
OutputMessage: TypeAlias = Decision | Accepted | Rejected | RouterStatus | PortfolioStatus


class Input(NamedTuple):
    """An event as a platform sent it."""

    event_id: str
    event: InputEvent


class Output(NamedTuple):
    """A message of the router. Only decisions have an ``id``."""

    id: DecisionId | None
    message: OutputMessage


_S = TypeVar("_S", bound=Struct)


def _by_tag(*types: type[_S]) -> Mapping[str, type[_S]]:
    return {str(each.__struct_config__.tag): each for each in types}


INPUT_TYPES: Final[Mapping[str, type[InputEvent]]] = _by_tag(
    CallArrived, CallAbandoned, CallConnected, CallEnded, CallRefreshed, CallTransferred, CallbackRequested,
    ConnectFailed, PlaceRequested, AgentSignedIn, AgentReady, AgentNotReady, AgentSignedOut, AgentRefreshed,
    AgentSuspected, OfferAccepted, OfferDeclined, OfferMissed, PlatformResynced, ReloadRequested, ShareAdjusted,
    PlanHoldRequested, PlanAdvanceRequested, PlanRollbackRequested,
)  # fmt: skip
"""What may come from outside, by ``type``. `OrganisationChanged`, `RouterResumed` and `TimePassed` are our own."""

OUTPUT_TYPES: Final[Mapping[str, type[OutputMessage]]] = _by_tag(
    OfferCall, WithdrawOffer, ConnectCall, QueueCall, FallbackCall, EndCall, PauseAgent, ReleaseAgent,
    SignOutAgent, AnswerResync, ReportPlan, Accepted, Rejected, RouterStatus, PortfolioStatus,
)  # fmt: skip

_RECORD_TYPES: Final[Mapping[str, type[Event]]] = {
    **{tag: each for tag, each in INPUT_TYPES.items() if issubclass(each, Event)},
    **_by_tag(OrganisationChanged, RouterResumed, TimePassed),
}


# Topics -----------------------------------------------------------------------------------------------------


def input_topic(event: InputEvent, shard: str) -> str:
    """Where a platform publishes *event*: the topic of its call or agent.

    An answer to an offer goes to the topic of the agent who gave it.
    """
    match event:
        case CallEvent():
            return f"acd/v1/in/{shard}/call/{event.call_id}"
        case AgentEvent():
            return f"acd/v1/in/{shard}/agent/{event.agent_id}"
        case ReloadRequested():
            return f"acd/v1/in/{shard}/admin/reload"
        case PlatformResynced():
            return f"acd/v1/in/{shard}/admin/resync"
        case ShareAdjusted():
            return f"acd/v1/in/{shard}/admin/share"
        case PlanEvent():
            return f"acd/v1/in/{shard}/admin/plan"
        case _:
            raise TypeError(f"{type(event).__name__} is made by the router and never sent to it")


def output_topics(message: Decision | RouterStatus | PortfolioStatus, shard: str) -> tuple[str, ...]:
    """Where the router publishes *message*: to all whom it concerns, the call's side and the agent's side.

    `Accepted` and `Rejected` go to the `reply_topic` of the input instead.
    """
    match message:
        case OfferCall() | WithdrawOffer() | ConnectCall() | EndCall():
            return (
                f"acd/v1/out/{shard}/call/{message.call_id}",
                f"acd/v1/out/{shard}/agent/{message.agent_id}",
            )
        case CallDecision():
            return (f"acd/v1/out/{shard}/call/{message.call_id}",)
        case PauseAgent() | ReleaseAgent() | SignOutAgent():
            return (f"acd/v1/out/{shard}/agent/{message.agent_id}",)
        case AnswerResync():
            return (f"acd/v1/out/{shard}/admin/resync",)
        case ReportPlan():
            return (f"acd/v1/out/{shard}/admin/plan",)
        case RouterStatus():
            return (router_status_topic(shard),)
        case PortfolioStatus():
            return (portfolio_status_topic(message.portfolio_id, shard),)
        case _:
            raise TypeError(f"{type(message).__name__} has no topic of its own")


def router_status_topic(shard: str) -> str:
    """Where it is said, retained, whether the router is at work."""
    return f"acd/v1/out/{shard}/status/router"


def portfolio_status_topic(portfolio_id: PortfolioId, shard: str) -> str:
    """Where the queue of a portfolio is shown, retained."""
    return f"acd/v1/out/{shard}/status/portfolio/{portfolio_id}"


def reply_topic(topic: str, shard: str) -> str | None:
    """Where the sender of an input listens for `Accepted` and `Rejected`; None where nobody can be meant."""
    matched = _input_topic_pattern(shard).match(topic)
    return f"acd/v1/out/{shard}/{matched[1]}" if matched else None


@cache
def _input_topic_pattern(shard: str) -> re.Pattern[str]:
    return re.compile(rf"acd/v1/in/{re.escape(shard)}/((?:call|agent|admin)/[A-Za-z0-9._:@-]{{1,64}})\Z")


# Inputs -----------------------------------------------------------------------------------------------------

_EVENT_ID = re.compile(r"[A-Za-z0-9._:@-]{1,64}\Z")
# A raw number under the name of its pseudonym would end up in the journal: only what looks like one passes.
_PSEUDONYM = re.compile(r"[0-9a-f]{32}\Z")


def encode_input(event_id: str, event: InputEvent, *, caller_number: str | None = None) -> bytes:
    """The payload that reports *event*.

    Args:
        event_id: The sender's id of this event, the same in every copy: 1 to 64 letters, digits, ``._:@-``.
        event: What happened.
        caller_number: For `CallArrived`: the raw number, which the router replaces by its pseudonym.

    Raises:
        EventRejected: The payload is larger than the router takes.
        ValueError: The event id has another form, or the event has no caller or has one already.
    """
    if not _EVENT_ID.match(event_id):
        raise ValueError("an event id is 1 to 64 letters, digits and ._:@-")
    fields = _fill({"v": VERSION, "id": event_id}, event)
    if caller_number is not None:
        if not isinstance(event, CallArrived) or event.caller is not None:
            raise ValueError("caller_number belongs to a CallArrived without caller")
        fields["caller_number"] = caller_number
    payload = _pack(fields)
    bytes_max = RESYNC_BYTES_MAX if isinstance(event, PlatformResynced) else PAYLOAD_BYTES_MAX
    if len(payload) > bytes_max:
        raise EventRejected(Rejection.TOO_LARGE, _too_large(len(payload), bytes_max))
    return payload


def decode_input(topic: str, payload: bytes, *, shard: str, pseudonym: Callable[[str], str]) -> Input:
    """Read what a platform published. Any bytes are safe to pass.

    Args:
        topic: Where it was published.
        payload: What was published. Of a key that appears twice the last value counts.
        shard: The shard of this router.
        pseudonym: Replaces a phone number, `Pseudonymiser.of`; its ValueError must not repeat the number.

    Raises:
        InputRejected: It is no event for this router: ``UNREADABLE``, ``TOO_LARGE``, ``WRONG_TOPIC`` or
            ``UNSUPPORTED_VERSION``. The detail names the field.
    """
    event_id: str | None = None
    try:
        is_resync = topic == f"acd/v1/in/{shard}/admin/resync"
        bytes_max = RESYNC_BYTES_MAX if is_resync else PAYLOAD_BYTES_MAX
        if len(payload) > bytes_max:
            raise EventRejected(Rejection.TOO_LARGE, _too_large(len(payload), bytes_max))
        fields = _unpack_input(payload, _RESYNC_ARRAY_MAX if is_resync else _ARRAY_MAX)
        event_id = _event_id(fields)
        event = _event(fields, pseudonym)
        if event_id is None:
            raise _unreadable("`id`: the event id, 1 to 64 letters, digits and ._:@-, is missing")
        if input_topic(event, shard) != topic:
            raise EventRejected(Rejection.WRONG_TOPIC, _wrong_topic(topic, event, shard))
    except EventRejected as refusal:
        # Not chained: the exceptions of the libraries below hold the payload, and with it a phone number.
        raise InputRejected(
            refusal.reason, refusal.detail, event_id=event_id, reply_topic=reply_topic(topic, shard)
        ) from None
    return Input(event_id, event)


def _unreadable(detail: str) -> EventRejected:
    return EventRejected(Rejection.UNREADABLE, detail)


def _unpack_input(payload: bytes, array_max: int) -> dict[Any, Any]:
    try:
        # Extension types are not in the schema.
        fields = msgpack.unpackb(payload, max_array_len=array_max, max_map_len=64, max_ext_len=0, strict_map_key=True)
    except Exception as error:  # Beside ValueError, msgpack promises "other exceptions".
        reason = str(error) or type(error).__name__
        raise _unreadable(f"the payload is not one msgpack value ({reason})") from None
    if not isinstance(fields, dict):
        raise _unreadable("the payload is not a msgpack map")
    return fields


def _event_id(fields: dict[Any, Any]) -> str | None:
    event_id = fields.get("id")
    return event_id if isinstance(event_id, str) and _EVENT_ID.match(event_id) else None


def _event(fields: dict[Any, Any], pseudonym: Callable[[str], str]) -> InputEvent:
    version = fields.get("v")
    if type(version) is not int:
        raise _unreadable("`v`: the version of the payload, an integer, is missing")
    if version != VERSION:
        raise EventRejected(Rejection.UNSUPPORTED_VERSION, f"`v`: this router reads version {VERSION} only")
    tag = fields.get("type")
    event_type = INPUT_TYPES.get(tag) if isinstance(tag, str) else None
    if event_type is None:
        raise _unreadable("`type`: missing, or none of the events that a platform may send")
    if event_type is CallArrived:
        _replace_number(fields, pseudonym)
    try:
        event = msgspec.convert(fields, event_type)
    except msgspec.ValidationError as error:
        raise _unreadable(str(error)) from None
    _check_ids(event, "$")
    return event


def _check_ids(of: Struct, path: str) -> None:
    """See `model.PlainId`. What is no id is quoted to nobody: it might be a phone number."""
    for name in _ID_FIELDS[type(of)]:
        value = getattr(of, name)
        if value is not None and not _EVENT_ID.match(value):
            raise _unreadable(f"expected letters, digits and ._:@- alone - at `{path}.{name}`")
    if isinstance(of, PlatformResynced):
        for listed in ("calls", "agents"):
            for number, each in enumerate(getattr(of, listed)):
                _check_ids(each, f"{path}.{listed}[{number}]")


def _id_fields(of: type[Struct]) -> tuple[str, ...]:
    return tuple(name for name, kind in get_type_hints(of, include_extras=True).items() if _holds_id(kind))


def _holds_id(kind: Any) -> bool:
    return any(each == PlainId for each in getattr(kind, "__metadata__", ())) or any(map(_holds_id, _optional(kind)))


def _optional(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Union or isinstance(kind, UnionType) else ()


_ID_FIELDS: Final[Mapping[type[Struct], tuple[str, ...]]] = {
    of: _id_fields(of) for of in (*INPUT_TYPES.values(), LiveCall, LiveAgent)
}


def _replace_number(fields: dict[Any, Any], pseudonym: Callable[[str], str]) -> None:
    caller = fields.get("caller")
    number = fields.pop("caller_number", None)
    if caller is not None and not (isinstance(caller, str) and _PSEUDONYM.match(caller)):
        raise _unreadable("`caller`: not a pseudonym of 32 hexadecimal digits; is it a `caller_number`?")
    if number is None:
        return
    if caller is not None:
        raise _unreadable("`caller_number`: send either this or `caller`")
    if not isinstance(number, str):
        raise _unreadable("`caller_number`: expected `str`")
    # Platforms write all sorts of words for a number that is withheld; nobody is turned away for it.
    with suppress(ValueError):
        fields["caller"] = pseudonym(number)


def _too_large(size: int, bytes_max: int) -> str:
    return f"the payload has {size} bytes; here it may have {bytes_max}, and most events take a few hundred"


def _wrong_topic(topic: str, event: InputEvent, shard: str) -> str:
    prefix = f"acd/v1/in/{shard}/"
    if not topic.startswith(prefix):
        return f"this router listens on {prefix}# only"
    kind, _, _ = input_topic(event, shard).removeprefix(prefix).partition("/")
    tag = event.__struct_config__.tag
    if kind == "admin":
        return f"{tag} belongs on {input_topic(event, shard)}"
    if not topic.startswith(f"{prefix}{kind}/"):
        return f"{tag} belongs under {prefix}{kind}/"
    return f"`{kind}_id`: not the id in the topic"


# Outputs ----------------------------------------------------------------------------------------------------


def encode_output(message: OutputMessage, decision_id: DecisionId | None = None) -> bytes:
    """The payload of *message*; decisions need their id, other messages have none."""
    envelope: dict[str, Any] = {"v": VERSION} if decision_id is None else {"v": VERSION, "id": str(decision_id)}
    return _pack(_fill(envelope, message))


def decode_output(payload: bytes) -> Output:
    """Read what a router published.

    Raises:
        WireError: It is no message of a router of this version, or damaged.
    """
    fields = _unpack_own(payload, "message")
    if fields.get("v") != VERSION:
        raise WireError(f"message of version {fields.get('v')!r:.20}; this side reads {VERSION}")
    message = _convert(fields, OUTPUT_TYPES, "message")
    decision_id = fields.get("id")
    if isinstance(message, Decision) != isinstance(decision_id, str):
        raise WireError("message: a decision has an `id`, and nothing else has")
    return Output(DecisionId.parse(decision_id) if isinstance(decision_id, str) else None, message)


# Records ----------------------------------------------------------------------------------------------------

# Format, is the body compressed, CRC-32 of the body: with a flipped bit it may still make a readable event.
_RECORD_HEAD = struct.Struct(">B?I")
_BODY_AT: Final = _RECORD_HEAD.size
_unpack_head = _RECORD_HEAD.unpack_from


def encode_record(at_ms: int, event: Event) -> bytes:
    """The journal record of *event*, taken off the inbox at *at_ms*, in milliseconds since the epoch."""
    body: bytes = _pack(_fill({"at_ms": at_ms}, event))
    compressed = len(body) > _COMPRESS_OVER_BYTES
    if compressed:
        body = zlib.compress(body)
    return _RECORD_HEAD.pack(RECORD_FORMAT, compressed, zlib.crc32(body)) + body


def decode_record(data: bytes) -> tuple[int, Event]:
    """Read a journal record: when the event was taken off the inbox, and the event.

    Raises:
        WireError: The record is damaged, or was written by a newer version of the router.
    """
    if len(data) < _BODY_AT:
        raise WireError("journal record cut short: the journal is damaged; restore it from a backup")
    record_format, compressed, checksum = _unpack_head(data)
    if record_format != RECORD_FORMAT:
        raise WireError(
            f"journal record of format {record_format}, which this version cannot read: start the one that wrote it"
        )
    body = data[_BODY_AT:]
    if zlib.crc32(body) != checksum:
        raise WireError("journal record with a wrong checksum: the journal is damaged; restore it from a backup")
    if compressed:
        try:
            body = zlib.decompress(body)
        except zlib.error as error:
            raise WireError(f"journal record: {error}") from error
    try:
        # Straight from the bytes: several times faster than by way of a dictionary.
        event = _decode_recorded(body)
        opening, at_ms = _unpack_stamp(body)
        return (at_ms if opening == _STAMP_OPENING else _STAMP.decode(body).at_ms), event
    except Exception:  # Beside its own, msgspec lets through errors of encodings and of depth.
        return _decode_slowly(body)


class _Stamp(Struct):
    # The one field of a record that is not the event's.
    at_ms: int


_STAMP = msgspec.msgpack.Decoder(_Stamp)
# After the byte that opens the map: how `encode_record` begins in this century. Read in place, it saves decoding twice.
_STAMP_OPENING = b"\xa5at_ms\xcf"
_unpack_stamp = struct.Struct(f">x{len(_STAMP_OPENING)}sQ").unpack_from
_RECORDED: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Union[tuple(_RECORD_TYPES.values())])  # noqa: UP007 - of a list
_decode_recorded = _RECORDED.decode


def _decode_slowly(body: bytes) -> tuple[int, Event]:
    # Says of a record that holds no event what is wrong with it.
    fields = _unpack_own(body, "journal record")
    at_ms = fields.get("at_ms")
    if type(at_ms) is not int:
        raise WireError("journal record without `at_ms`")
    return at_ms, _convert(fields, _RECORD_TYPES, "journal record")


# What the three share ---------------------------------------------------------------------------------------


@cache
def _shape(message_type: type[Struct]) -> tuple[str, frozenset[str]]:
    # The tag of a type, and its fields that are None when left out.
    nullable = (field.name for field in msgspec.structs.fields(message_type) if field.default is None)
    return str(message_type.__struct_config__.tag), frozenset(nullable)


def _fill(fields: dict[str, Any], message: Struct) -> dict[str, Any]:
    # Add the type and the fields of the message.
    tag, nullable = _shape(type(message))
    fields["type"] = tag
    for name, value in msgspec.structs.asdict(message).items():
        if value is not None or name not in nullable:
            fields[name] = value
    return fields


def _pack(fields: dict[str, Any]) -> bytes:
    # Nested structs, dates and times become plain values as they are met.
    packed: bytes = msgpack.packb(fields, default=msgspec.to_builtins)
    return packed


def _unpack_own(data: bytes, what: str) -> dict[Any, Any]:
    try:
        fields = msgpack.unpackb(data)
    except Exception as error:  # msgpack promises "other exceptions" beside ValueError.
        raise WireError(f"{what}: not one msgpack value ({str(error) or type(error).__name__})") from error
    if not isinstance(fields, dict):
        raise WireError(f"{what}: not a msgpack map")
    return fields


def _convert(fields: dict[Any, Any], types: Mapping[str, type[_S]], what: str) -> _S:
    tag = fields.get("type")
    message_type = types.get(tag) if isinstance(tag, str) else None
    if message_type is None:
        raise WireError(f"{what} of an unknown type; was it written by a newer version?")
    try:
        return msgspec.convert(fields, message_type)
    except msgspec.ValidationError as error:
        raise WireError(f"{what}: {error}") from error
