import re
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from router.core.model import Site, SiteId
from router.core.organisation import Organisation
from router.reports.drawing import (
    DrawingError,
    draw_organisation,
    draw_portfolio,
    organisation_figure,
    portfolio_figure,
)
from router.reports.graph import UnknownPortfolio
from tests.core.builders import agent, link, need, organisation, portfolio, team


def texts(figure: Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible()]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in texts(figure)]


def assert_legible(figure: Figure) -> None:
    """No text meets another or leaves the sheet."""
    figure.draw_without_rendering()
    drawn = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    # findobj also meets the labels of axes that are switched off.
    drawn = [(text, box) for text, box in drawn if text not in ("0.0", "1.0")]
    for text, box in drawn:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (one, box), (other, other_box) in combinations(drawn, 2):
        assert not box.overlaps(other_box), f"{one!r} meets {other!r}"


def crowded() -> Organisation:
    """Wide names, long chains, waits of nothing, circles, large teams, and more of everything than fits."""
    names = [f"T{n:02}-" + "WM" * 30 if n % 3 == 0 else f"team-{n:02}" for n in range(24)]
    sites = tuple(Site(site_id=SiteId(f"site-{n}"), country="IT") for n in range(8))

    def helpers(n: int) -> Iterable[tuple[str, int]]:
        if n < 23:
            yield names[n + 1], 0 if n % 4 == 2 else 7 * n
        if n % 5 == 0 and n > 0:
            yield names[n - 3], 33
        if n % 7 == 0 and n < 20:
            yield names[n + 3], 0

    needs = (need("gold", 4, (30, 2), (100, 0)), need("gold-plated-service-for-everybody-" + "W" * 20, 2, (0, 0)))
    description = organisation(
        [
            *(
                team(name, site_id=sites[n % 8].site_id, backups=tuple(link(*helper) for helper in helpers(n)))
                for n, name in enumerate(names)
            ),
            *(team(f"lonely-{n}", site_id=sites[0].site_id) for n in range(5)),
        ],
        [
            portfolio("P-" + "WM" * 31, names[0], link(names[9], 0), skills=needs, language="it"),
            portfolio("plain", names[5]),
        ],
        [
            *(
                agent(f"A{n}-{k}", name, f"gold:{1 + k % 5}", languages=("it",), after_s=20 if k % 4 == 3 else 0)
                for n, name in enumerate(names)
                for k in range(3 + n * 3)
            ),
            agent("L1", "lonely-1", str(needs[1].skill)),
        ],
        sites=sites,
    )
    return Organisation(description)


@pytest.mark.parametrize("portfolio_id", ["gold-01", "business-05", "premium-02", "front-consumer"])
def test_portfolios_of_laquila_are_legible(laquila: Organisation, portfolio_id: str) -> None:
    assert_legible(portfolio_figure(laquila, portfolio_id))


def test_laquila_is_legible_and_shows_every_team(laquila: Organisation) -> None:
    figure = organisation_figure(laquila)

    assert_legible(figure)
    assert set(laquila.teams) <= set(words(figure))
    assert "20 agents, 3 portfolios, 752 clients" in words(figure)


def test_crowded_organisations_are_legible_too() -> None:
    crowd = crowded()

    for figure in (organisation_figure(crowd), *(portfolio_figure(crowd, name) for name in crowd.portfolios)):
        assert_legible(figure)
        assert figure.get_figwidth() < 40
        assert figure.get_figheight() < 40


def test_a_portfolio_shows_who_joins_in_when_and_how_they_are_reached(small: Organisation) -> None:
    said = words(portfolio_figure(small, "gold"))

    assert [word for word in said if re.fullmatch(r"\d+ s", word)] == ["0 s", "10 s", "20 s"]
    assert "at once" in said
    assert "+20 s" in said
    assert {"2", "1 more, 3 in all", "1 more, 4 in all"} <= set(said)
    assert said.count("a") == 2
    assert "Agents need: gold of level 3 (1 is enough after 10 s)." in said
    assert "A client's owner and backups are asked before all others; a busy owner is waited for up to 15 s." in said


def test_a_team_through_which_a_call_only_passes_is_shown_as_such(small: Organisation) -> None:
    said = words(portfolio_figure(small, "data"))

    assert "nobody fits" in said
    assert "+20 s" in said


def test_teams_that_nobody_reaches_stand_apart(small: Organisation) -> None:
    said = words(organisation_figure(small))

    assert {"z", "Without helpers, and helping nobody", "no portfolio reaches it"} <= set(said)


def test_very_many_teams_are_drawn_by_site() -> None:
    sites = tuple(Site(site_id=SiteId(name), country="IT") for name in ("north", "south"))
    description = organisation(
        [
            team(f"t{n}", site_id=sites[n % 2].site_id, backups=(link(f"t{n + 1}", 30),) if n % 2 == 0 else ())
            for n in range(100)
        ],
        [portfolio(f"p{n}", f"t{n}") for n in range(0, 100, 2)],
        [agent(f"A{n}", f"t{n}") for n in range(100)],
        sites=sites,
    )

    figure = organisation_figure(Organisation(description))

    assert_legible(figure)
    assert {"north", "50 teams, 50 agents, 50 portfolios", "south", "50 teams, 50 agents", "helps after 30 s"} <= set(
        words(figure)
    )


def test_pictures_are_written_in_the_format_of_their_suffix(small: Organisation, tmp_path: Path) -> None:
    draw_portfolio(small, "gold", tmp_path / "gold.png")
    draw_organisation(small, tmp_path / "all.svg")

    assert (tmp_path / "gold.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    drawing = ElementTree.fromstring((tmp_path / "all.svg").read_text(encoding="utf-8"))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    # Text stays text: it can be searched and copied.
    assert "2 portfolios" in " ".join(drawing.itertext())


def test_the_same_organisation_gives_the_same_picture(small: Organisation, tmp_path: Path) -> None:
    draw_portfolio(small, "gold", tmp_path / "one.svg")
    draw_portfolio(small, "gold", tmp_path / "two.svg")

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_what_cannot_be_drawn_is_said_before_anything_is_written(small: Organisation, tmp_path: Path) -> None:
    with pytest.raises(DrawingError, match=r"name the file \.png or \.svg"):
        draw_organisation(small, tmp_path / "all.docx")
    with pytest.raises(UnknownPortfolio, match="silver"):
        draw_portfolio(small, "silver", tmp_path / "silver.png")
    with pytest.raises(DrawingError, match="No such file or directory"):
        draw_organisation(small, tmp_path / "nowhere" / "all.png")
    assert list(tmp_path.iterdir()) == []
