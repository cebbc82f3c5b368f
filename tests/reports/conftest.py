"""An organisation small enough to know every answer, and one of a real size."""

from pathlib import Path

import pytest

from router.core.model import Site, SiteId
from router.core.organisation import Organisation
from router.organisation_files import load_organisation
from tests.core.builders import agent, client, link, need, organisation, owned_by, portfolio, team

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def laquila() -> Organisation:
    return Organisation(load_organisation(PROJECT / "config/laquila/organisation.toml", pseudonym=str))


@pytest.fixture(scope="session")
def small() -> Organisation:
    """Gold: A1 and A2 at once, A3 (below the level) after 10 s, B1 after 20 s. Data: B1 alone. No way to Z1 and Z2."""
    north, south = (Site(site_id=SiteId(name), country="IT") for name in ("north", "south"))
    return Organisation(
        organisation(
            [
                team("a", site_id=north.site_id, backups=(link("b", 20),)),
                team("b", site_id=south.site_id),
                team("z", site_id=south.site_id),
            ],
            [
                portfolio("gold", "a", skills=(need("gold", 3, (10, 1)),), owner_wait_s=15),
                portfolio("data", "a", skills=(need("data"),), language="it"),
            ],
            [
                agent("A1", "a", "gold:4", languages=("it",)),
                agent("A2", "a", "gold:3", languages=("it", "fr")),
                agent("A3", "a", "gold:1"),
                agent("B1", "b", "gold:5 data:2", languages=("it",)),
                agent("Z1", "z", "gold:5"),
                agent("Z2", "z"),
            ],
            [
                client("C1", "gold", ownerships=owned_by("A1")),
                client("C2", "gold", ownerships=owned_by("Z1")),
                client("C3", "gold", ownerships=owned_by("Z1")),
                client("C4", "data", ownerships=owned_by("A2")),
                client("C5", None),
                client("C6", "data"),
            ],
            sites=(north, south),
        )
    )
