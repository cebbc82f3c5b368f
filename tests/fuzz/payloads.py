"""What is sent: payloads made from the schema, payloads that make sense, and ways to spoil both.

Random bytes hardly ever get past the decoder, and random events hardly ever fit the state of the engine. So there is a
platform that heeds the engine's decisions and answers them, and a vandal who changes what the platform would send.
"""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple, cast

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints
from msgspec import inspect

from router.core.decisions import ConnectCall, Decision, OfferCall, WithdrawOffer
from router.core.model import CallId, OrganisationDescription
from router.wire import INPUT_TYPES, VERSION

__all__ = ["MARK", "STEPS_MS", "Message", "Platform", "mutated"]

MARK = "87654321"
"""Part of every phone number that is sent, and of nothing else: no refusal may hold it."""
_NUMBER = f"+39 0999 {MARK}"
STEPS_MS = (0, 0, 0, 1, 50, 400, 2_000, 9_000, 20_000, 31_000, 120_000, 950_000, 7_300_000, 90_000_000)
"""How far time may move on before a message; the longest are longer than every deadline."""
_STEP_WEIGHTS = (30, 20, 20, 10, 10, 10, 10, 6, 3, 2, 1, 0.3, 0.05, 0.01)

_SCHEMA = {tag: cast("inspect.StructType", inspect.type_info(kind)) for tag, kind in INPUT_TYPES.items()}
_TAGS = tuple(tag for tag in INPUT_TYPES if tag != "reload_requested")
_ANSWERS = ("offer_accepted", "offer_declined", "offer_missed")
_PROGRESS = (
    "call_connected", "call_ended", "call_refreshed", "call_transferred", "call_abandoned", "callback_requested",
    "connect_failed",
)  # fmt: skip
_ACTS = ("agent_signed_in", "agent_ready", "agent_not_ready", "agent_signed_out", "agent_refreshed")
_HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 9, 10, 11, 86_400, -86_400, 86_401, 604_800, 604_801, 2**31, 2**53, 2**63 - 1,
    2**64 - 1, -(2**63), 0.0, 1.5, -0.0, 1e308, float("nan"), float("inf"), "", " ", "x", "a/b", "#", "+", "..",
    "x" * 64, "x" * 65, "x" * 20_000, "\x00", "\n", "é", "\u202e", "IT", "it", "0" * 32, "f" * 32, _NUMBER,
    b"", b"\xff" * 9, [], [[]], {}, {"": 0}, {"v": 1}, [0] * 300, {str(key): key for key in range(70)},
    msgpack.ExtType(5, b"abc"), msgpack.Timestamp(1, 2),
)  # fmt: skip


class Message(NamedTuple):
    """One message, and how long after the one before it comes."""

    step_ms: int
    topic: str
    payload: bytes

    def pack(self) -> bytes:
        """As the bytes that the fuzzer's engine mutates."""
        topic = self.topic.encode()[:255]
        return bytes([STEPS_MS.index(self.step_ms), len(topic)]) + topic + self.payload

    @classmethod
    def unpack(cls, data: bytes) -> "Message":
        """Any bytes are a message."""
        step, length = (*data[:2], 0, 0)[:2]
        topic, payload = data[2 : 2 + length], data[2 + length :]
        return cls(STEPS_MS[step % len(STEPS_MS)], topic.decode(errors="replace"), payload)


class Platform:
    """Sends what a platform might send next, since it hears what the router decides.

    Args:
        descriptions: The organisations whose ids are used.
        shard: The router's shard.
    """

    def __init__(self, descriptions: tuple[OrganisationDescription, ...], shard: str) -> None:
        self._shard = shard
        agents = {agent.agent_id for each in descriptions for agent in each.agents}
        self._words: dict[str, list[str]] = {
            "agent_id": [*sorted(agents), "A999"],
            "client_id": [*sorted({c.client_id for each in descriptions for c in each.clients}), "C999"],
            "portfolio_id": [*sorted({p.portfolio_id for each in descriptions for p in each.portfolios}), "tin"],
            "segment": ["business", "none"],
            "skill": [*sorted({skill for each in descriptions for skill in each.skills}) * 3, "juggling"],
            "site_id": [*sorted({s.site_id for each in descriptions for s in each.sites}), "atlantis"],
            "seat": ["s1", "s2", "s3"],
            "session": ["d1", "d2"],
            "reason": ["break", "lunch", "missed_offers"],
            "made_by": ["ada"],
            "contract_id": [*sorted({c.contract_id for each in descriptions for c in each.contracts}), "c999"],
            "caller": [f"{number:032x}" for number in range(4)],
            "language": ["it", "it", "it", "en", "xx"],
            "move_plan_id": [*sorted({p.move_plan_id for each in descriptions for p in each.move_plans}), "away"],
            "by": ["ops", "ana"],
        }
        self._calls: deque[CallId] = deque([CallId("c0")], maxlen=40)
        self._calls_made = 0
        self._events_made = 0
        self._offers: dict[str, OfferCall] = {}
        """The last offer of each agent who has not answered it."""
        self._talks: dict[str, ConnectCall] = {}
        """The last call that each agent has accepted."""

    def heed(self, decision: Decision) -> None:
        """Hear what the router has decided."""
        match decision:
            case OfferCall():
                self._offers[decision.agent_id] = decision
            case WithdrawOffer() | ConnectCall():
                self._offers.pop(decision.agent_id, None)
        if isinstance(decision, ConnectCall):
            self._talks[decision.agent_id] = decision

    # --- Sense ---

    def next(self, random: Random) -> Message:
        """What may well come next."""
        offer = random.choice(list(self._offers.values())) if self._offers else None
        talk = random.choice(list(self._talks.values())) if self._talks else None
        kind = random.choices(("arrival", "answer", "progress", "agent", "any"), (16, 27, 32, 22, 3))[0]
        if kind == "arrival":
            event = self.event("call_arrived", random)
            # Most callers want what everybody wants; the schema's own fancies would mostly be refused.
            if random.random() < 0.7:
                for name in ("skills", "countries", "language"):
                    event.pop(name, None)
            self._calls_made += 1
            event["call_id"] = f"c{self._calls_made}"
            self._calls.append(CallId(event["call_id"]))
        elif kind == "answer" and offer is not None:
            event = self.event(random.choices(_ANSWERS, (8, 1, 1))[0], random)
            event |= {"agent_id": offer.agent_id, "call_id": offer.call_id, "offer_id": offer.offer_id}
        elif kind == "progress":
            event = self.event(random.choices(_PROGRESS, (10, 8, 2, 2, 3, 2, 1))[0], random)
            about = talk if talk is not None and random.random() < 0.8 else offer
            if about is not None and random.random() < 0.9:
                event["call_id"] = about.call_id
                if about is talk and event["type"] in ("call_ended", "call_abandoned", "connect_failed"):
                    del self._talks[about.agent_id]
        elif kind == "agent":
            event = self.event(random.choices(_ACTS, (6, 12, 2, 2, 1))[0], random)
            if random.random() < 0.6:
                event.pop("seat", None)
                event.pop("country", None)
        else:
            event = self.event(random.choice(list(INPUT_TYPES)), random)
            if event["type"] in ("reload_requested", "platform_resynced") and random.random() < 0.8:
                # A reload takes as long as 300 other events, and both forget what has piled up.
                event = self.event("agent_refreshed", random)
        return self._message(event, random)

    def event(self, tag: str, random: Random) -> dict[str, Any]:
        """An event of this type, every field of it drawn from the schema; optional ones are often left out."""
        self._events_made += 1
        event: dict[str, Any] = {"v": VERSION, "id": f"e{self._events_made}", "type": tag}
        event |= self._struct(_SCHEMA[tag], random)
        if "caller" in event and random.random() < 0.5:
            event["caller_number"] = _NUMBER[: random.choice((None, -1, 9))]
            del event["caller"]
        return event

    def _struct(self, kind: inspect.StructType, random: Random) -> dict[str, Any]:
        return {
            field.encode_name: self._value(field.type, field.name, random)
            for field in kind.fields
            if field.required or random.random() < 0.3
        }

    def _value(self, kind: inspect.Type, name: str, random: Random) -> Any:
        match kind:
            case inspect.Metadata():
                return self._value(kind.type, name, random)
            case inspect.UnionType():
                return self._value(random.choice(kind.types), name, random)
            case inspect.NoneType():
                return None
            case inspect.BoolType():
                return random.random() < 0.7
            case inspect.IntType(ge=int(low), le=int(high)):
                return random.choice((low, high, random.randint(low, high), max(low, min(0, high))))
            case inspect.VarTupleType():
                most = min(kind.max_length or 4, 64)
                length = random.choice((0, 1, 1, 2, random.randint(0, most), most if random.random() < 0.1 else 1))
                return [self._value(kind.item_type, name, random) for _ in range(length)]
            case inspect.StructType():
                return self._struct(kind, random)
            case inspect.DateType():
                return random.choice(("2026-03-02", "2026-03-29", "2018-05-04", "9999-12-31"))
            case inspect.StrType():
                return self._word(name, random)
        raise TypeError(f"no way to make up {kind} for field {name}; add one")

    def _word(self, name: str, random: Random) -> str:
        if name == "call_id":
            return random.choice(self._calls)
        if name == "offer_id":
            return f"o{random.randint(1, 20)}"
        if name in ("country", "countries", "announced"):
            return random.choice(("IT", "IT", "IT", "RO", chr(random.randint(65, 90)) + chr(random.randint(65, 90))))
        return random.choice(self._words[name])

    def _message(self, event: dict[str, Any], random: Random) -> Message:
        return Message(_step_ms(random), self._topic(event), msgpack.packb(event))

    def _topic(self, event: dict[str, Any]) -> str:
        """Where such an event belongs, as far as it has what is needed to tell."""
        kind = str(event.get("type"))
        prefix = f"acd/v1/in/{self._shard}"
        if kind.startswith(("agent_", "offer_")):
            return f"{prefix}/agent/{event.get('agent_id')}"
        admin = {"reload_requested": "reload", "platform_resynced": "resync", "share_adjusted": "share"}.get(kind)
        if kind.startswith("plan_"):
            admin = "plan"
        return f"{prefix}/call/{event.get('call_id')}" if admin is None else f"{prefix}/admin/{admin}"

    # --- Nonsense ---

    def spoil(self, message: Message, random: Random, mutate: Callable[[bytes], bytes]) -> Message:
        """Change a message in one of many ways.

        Args:
            message: What to change.
            random: Decides how.
            mutate: Changes some bytes, without knowing what they mean.
        """
        step_ms, topic, payload = message
        if random.random() < 0.3:
            step_ms = _step_ms(random)
        fields = None
        with suppress(Exception):  # It promises no particular ones.
            fields = msgpack.unpackb(payload, strict_map_key=False)
        if not isinstance(fields, dict) or random.random() < 0.25:
            payload = mutate(payload)
        else:
            if "id" in fields and random.random() < 0.8:
                self._events_made += 1
                fields["id"] = f"e{self._events_made}"
            for _ in range(random.choice((1, 1, 1, 2, 5))):
                self._change(fields, random)
            with suppress(Exception):
                # msgpack cannot write all that it has read: lone surrogates, integers as keys of extensions.
                payload = msgpack.packb(fields, strict_types=False)
            if random.random() < 0.8:
                topic = self._topic(fields)
        if random.random() < 0.1:
            topic = self._other_topic(topic, random, mutate)
        return Message(step_ms, topic, payload)

    def _change(self, fields: dict[Any, Any], random: Random) -> None:
        """One change somewhere in the tree of values."""
        place: Any = fields
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                return
            key = random.choice(keys)
            if not isinstance(place[key], (dict, list)) or random.random() < 0.4:
                break
            place = place[key]
        match random.randrange(8):
            case 0:
                del place[key]
            case 1 if isinstance(place, dict):
                place[random.choice((*fields, *self._words, "caller_number", "newer"))] = place.pop(key)
            case 2 if isinstance(place, list):
                place.extend([place[key]] * random.choice((1, 7, 16, 64, 255, 300)))
            case 3:
                place[key] = [place[key]] if random.random() < 0.5 else {"x": place[key]}
            case 4:
                fields["type"] = random.choice((*_TAGS, "router_resumed", "time_passed", "organisation_changed"))
            case 5:
                name = random.choice(list(self._words))
                fields[name] = self._word(name, random)
            case 6 if isinstance(place[key], str):
                # An id of another kind, or of something else of its kind.
                place[key] = random.choice([each for each in fields.values() if isinstance(each, str)] or ["x"])
            case _:
                place[key] = random.choice(_HOSTILE)

    def _other_topic(self, topic: str, random: Random, mutate: Callable[[bytes], bytes]) -> str:
        parts = topic.split("/")
        match random.randrange(4):
            case 0:
                del parts[random.randrange(len(parts))]
            case 1:
                parts[random.randrange(len(parts))] = random.choice(("", "x", "#", "call", "agent", "out", "y" * 70))
            case 2:
                parts.append(parts[-1])
            case _:
                return mutate(topic.encode(errors="replace")).decode(errors="replace")
        return "/".join(parts)


def _step_ms(random: Random) -> int:
    return random.choices(STEPS_MS, _STEP_WEIGHTS)[0]


def mutated(data: bytes, random: Random) -> bytes:
    """Bytes changed at random: where no fuzzing engine does it, guided by what is covered."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        place = random.randint(0, len(changed))
        match random.randrange(5):
            case 0:
                del changed[place : place + random.choice((1, 2, 8, 1_000))]
            case 1:
                changed[place:place] = random.randbytes(random.choice((1, 2, 8)))
            case 2:
                changed[place:place] = changed[: random.choice((1, 8, 1_000))]
            case _ if place < len(changed):
                changed[place] = random.choice((0, 0xFF, 0xC1, 0xDF, 0xDD, 0xDB, random.randrange(256)))
    return bytes(changed)
