"""A call router for portfolio teams: the owner first, then the owning team, then wider rings of the organisation.

What a platform needs is here; the parts have their own modules.
"""

from router.core import Engine, EventRejected, Limits, OrganisationError, Rejection, RouterError
from router.gateway import Gateway, GatewayClosedError
from router.service.mqtt import Access

__all__ = [
    "Access",
    "Engine",
    "EventRejected",
    "Gateway",
    "GatewayClosedError",
    "Limits",
    "OrganisationError",
    "Rejection",
    "RouterError",
]
