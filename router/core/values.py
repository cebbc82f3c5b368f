"""Small values that records hold and snapshots keep as they are.

They stand apart from the records because msgspec reads their annotations, of which compiled modules keep too little.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from router.core.model import AgentId, OfferId, SiteId, Skill, SkillNeed, SupplierId, TeamId

__all__ = ["NOTHING", "Block", "BlockReason", "GroupKey", "Requirement", "Step"]


class Requirement(NamedTuple):
    """What a call needs of an agent, its portfolio's needs included."""

    skills: tuple[SkillNeed, ...]
    language: str | None
    countries: tuple[str, ...]
    """Where the agent may sit; empty: anywhere."""


NOTHING: Final = Requirement((), None, ())
"""What a call asks for that asks for nothing itself."""


class GroupKey(NamedTuple):
    """Everything about an agent that routing looks at. Agents with the same key are interchangeable to a call."""

    team_id: TeamId
    site_id: SiteId
    supplier_id: SupplierId
    country: str
    after_ms: int
    skills: tuple[tuple[Skill, int], ...]
    languages: tuple[str, ...]


class BlockReason(StrEnum):
    EXCLUDED = "excluded"
    DECLINED = "declined"
    MISSED = "missed"
    CONNECT_FAILED = "connect_failed"
    TRANSFERRED = "transferred"


class Block(NamedTuple):
    """Why, and until when, an agent is not offered a call."""

    reason: BlockReason
    since_ms: int
    until_ms: int | None
    """None: for good."""


class Step(Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened to a call.

    A struct, made in half the time of a named tuple; it can be part of no cycle, so garbage collection passes it over.
    """

    at_ms: int
    what: str
    agent_id: AgentId | None
    offer_id: OfferId | None
