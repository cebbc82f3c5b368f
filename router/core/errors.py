"""What the router raises on purpose, from the core outwards."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

__all__ = ["EventRejected", "OrganisationError", "Problem", "Rejection", "RouterError", "StateError"]


class RouterError(Exception):
    """Base of every error that the router raises on purpose."""


class Rejection(StrEnum):
    """Why an input was refused. A closed set, so that it can label a metric."""

    UNREADABLE = "unreadable"
    """The payload is not a msgpack map, or a field is missing, mistyped or out of range."""
    TOO_LARGE = "too_large"
    WRONG_TOPIC = "wrong_topic"
    UNSUPPORTED_VERSION = "unsupported_version"
    DUPLICATE_CALL = "duplicate_call"
    UNKNOWN_CALL = "unknown_call"
    UNKNOWN_AGENT = "unknown_agent"
    UNKNOWN_PORTFOLIO = "unknown_portfolio"
    UNKNOWN_SKILL = "unknown_skill"
    UNKNOWN_SITE = "unknown_site"
    CALL_OVER = "call_over"
    WRONG_CALL_STATE = "wrong_call_state"
    WRONG_AGENT_STATE = "wrong_agent_state"
    OFFER_OVER = "offer_over"
    """The offer was withdrawn, expired or answered before: the clear reply to the loser of a race."""
    UNKNOWN_OFFER = "unknown_offer"
    SITE_FULL = "site_full"
    SEAT_TAKEN = "seat_taken"
    UNKNOWN_COUNTRY = "unknown_country"
    """Nothing says in which country the agent sits, so no call may be offered there."""
    NO_CHOICE = "no_choice"
    """The organisation does not let callers choose where their agent sits."""
    UNKNOWN_CONTRACT = "unknown_contract"
    WRONG_DAY = "wrong_day"
    """The day is to come, or outside of the contract."""
    WRONG_AMOUNT = "wrong_amount"
    """A correction of nothing, or one that takes away more than there is."""
    UNKNOWN_PLAN = "unknown_plan"
    WRONG_PLAN_STATE = "wrong_plan_state"
    GATE_FAILED = "gate_failed"
    """The gate before the next step of a move plan has not passed, and nobody has overridden it."""
    SHARE_AT_RISK = "share_at_risk"
    """Going back would break the share of a contract, and nobody has overridden it."""
    QUEUE_FULL = "queue_full"
    STALE = "stale"
    """Presence older than what has been heard since: a copy kept by the broker, or the end of an old connection."""
    ORGANISATION_INVALID = "organisation_invalid"


class EventRejected(RouterError):
    """An event that cannot apply to the present state. Nothing has changed.

    Expected in operation: brokers redeliver, and people hang up while a phone rings. The service counts
    these by ``reason``, answers the sender with ``detail``, and carries on.
    """

    def __init__(self, reason: Rejection, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Problem(NamedTuple):
    """One mistake in an organisation: where it stands and what is wrong with it."""

    where: str
    """File and row, such as ``agents.csv, row 12``."""
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}, {self.field}: {self.message}" if self.field else f"{self.where}: {self.message}"


class StateError(RouterError):
    """A state of the engine that does not fit the organisation with which it is to be restored."""


class OrganisationError(RouterError):
    """An organisation that cannot be used, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        plural = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"{len(problems)} {plural} in the organisation: " + "; ".join(map(str, problems[:3])))
        self.problems = tuple(problems)
