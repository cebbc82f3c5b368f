"""The routing engine: no I/O, no clock, no logging, no randomness."""

from router.core.engine import Engine, Limits
from router.core.errors import EventRejected, OrganisationError, Problem, Rejection, RouterError

__all__ = ["Engine", "EventRejected", "Limits", "OrganisationError", "Problem", "Rejection", "RouterError"]
