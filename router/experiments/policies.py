"""Policies to compare: an organisation of its own, or the scenario's with some fields of portfolios or teams changed.

Written as ``NAME: FIELD=VALUE, FIELD=VALUE``, such as ``wait 20: owner_wait_s=20``; a field is one of portfolios or
teams, and is changed in all of them. ``config=PATH`` takes another organisation.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from router.core.errors import RouterError
from router.core.model import OrganisationDescription, Portfolio, Team
from router.reading import nearest

__all__ = ["PolicyError", "PolicyText", "changed", "parse_policy", "read_fields_of"]

_CONFIG: Final = "config"
# What tells portfolios and teams apart, or is written elsewhere, is nothing that they could all have alike.
_APART: Final = frozenset({"portfolio_id", "team_id", "site_id", "supplier_id", "teams", "backups", "where"})


class PolicyError(RouterError):
    """A policy that cannot be understood; says what would be."""


class PolicyText(NamedTuple):
    """A policy as somebody wrote it."""

    name: str
    config: Path | None
    """None: that of the scenario."""
    changes: dict[str, str]
    """Values by field."""


def parse_policy(text: str) -> PolicyText:
    """Understand ``NAME: FIELD=VALUE, FIELD=VALUE``.

    Raises:
        PolicyError: It is not of this form.
    """
    name, colon, rest = text.partition(":")
    name = name.strip()
    if not colon or not name:
        raise PolicyError(f"policy {text!r}: write NAME: FIELD=VALUE, such as 'wait 20: owner_wait_s=20'")
    changes: dict[str, str] = {}
    for part in rest.split(","):
        field, equals, value = part.partition("=")
        if not equals or not field.strip() or not value.strip():
            raise PolicyError(f"policy {name!r}: {part.strip()!r} is no FIELD=VALUE, such as owner_wait_s=20")
        changes[field.strip()] = value.strip()
    config = changes.pop(_CONFIG, None)
    return PolicyText(name, None if config is None else Path(config), changes)


def changed(description: OrganisationDescription, text: PolicyText) -> OrganisationDescription:
    """The organisation with the policy's fields in all portfolios or teams that have them.

    Raises:
        PolicyError: There is no such field, or it cannot have this value.
    """
    fields = {"portfolios": _fields_of(Portfolio), "teams": _fields_of(Team)}
    for field, value in text.changes.items():
        places = [place for place, types in fields.items() if field in types]
        if not places:
            known = sorted({_CONFIG, *fields["portfolios"], *fields["teams"]})
            raise PolicyError(
                f"policy {text.name!r}: portfolios and teams have no field {field!r}" + nearest(field, known)
            )
        for place in places:
            new = _read(text.name, field, value, fields[place][field])
            rows = tuple(msgspec.structs.replace(each, **{field: new}) for each in getattr(description, place))
            description = msgspec.structs.replace(description, **{place: rows})
    return description


def read_fields_of(kind: type[Struct], text: PolicyText) -> dict[str, Any]:
    """The policy's fields as those of *kind*.

    Raises:
        PolicyError: It has no such field, or it cannot have this value.
    """
    types = _fields_of(kind)
    if text.config is not None:
        raise PolicyError(f"policy {text.name!r}: config is for scenarios; there are {', '.join(types)}")
    for field in text.changes:
        if field not in types:
            raise PolicyError(f"policy {text.name!r}: there is no field {field!r}; there are {', '.join(types)}")
    return {field: _read(text.name, field, value, types[field]) for field, value in text.changes.items()}


def _fields_of(kind: type[Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind) if field.name not in _APART}


def _read(name: str, field: str, value: str, kind: Any) -> Any:
    """The value as its type, such as a number; ``none`` is None."""
    try:
        return msgspec.convert(None if value == "none" else value, kind, strict=False)
    except msgspec.ValidationError as error:
        known = f"; there are {', '.join(kind)}" if isinstance(kind, type) and issubclass(kind, StrEnum) else ""
        words = str(error)[0].lower() + str(error)[1:] + known
        raise PolicyError(f"policy {name!r}, {field}={value}: {words}") from error
