"""The routing engine: no I/O, no clock, no logging, no randomness."""

from router.core.engine import Engine
from router.core.errors import EventRejected, OrganisationError, Problem, Rejection, RouterError, StateError
from router.core.model import Limits

__all__ = [
    "Engine",
    "EventRejected",
    "Limits",
    "OrganisationError",
    "Problem",
    "Rejection",
    "RouterError",
    "StateError",
]
