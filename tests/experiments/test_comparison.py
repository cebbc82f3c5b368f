"""Policies on the same callers: what is told as a difference, what as chance, and the frontier."""

import csv
import io
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from router.core.model import Quality
from router.experiments.comparison import (
    Compared,
    Comparison,
    Figure,
    Replications,
    Verdict,
    as_csv,
    compare,
    difference_words,
    frontier_of,
)
from router.experiments.comparison_pages import page_of_comparison
from router.experiments.comparison_tables import comparison_view, most_changed
from router.experiments.kpis import Estimate, kpis_of
from router.simulation.counts import Scope
from tests.experiments.counted import calls, run

KPIS = kpis_of(Quality())


def replications(name: str, gold: tuple[int, ...], *, by_owner: int = 20, digests: str = "xyz") -> Replications:
    """Of gold's hundred callers so many are answered in time, a number a replication; iron is always the same."""
    counted = tuple(
        run({9: calls(100, soon=soon, by_owner=by_owner)}, {9: calls(100, soon=80, by_owner=10)}) for soon in gold
    )
    return Replications(name=name, quality=Quality(), counted=counted, digests=tuple(digests))


def today() -> Replications:
    return replications("today", (60, 70, 80))


def compared(*others: Replications) -> Comparison:
    return compare("week.toml", [today(), *others])


def shown(comparison: Comparison, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(comparison_view(comparison, KPIS))
    return out.getvalue()


def figure(comparison: Comparison, name: str, key: str, scope: Scope = Scope.ALL, identity: str = "all") -> Figure:
    (policy,) = (policy for policy in comparison.policies if policy.name == name)
    found = policy.figure(key, scope, identity)
    assert found is not None
    return found


def test_a_steady_gain_is_one_although_the_callers_differ_by_more() -> None:
    found = figure(compared(replications("new", (64, 75, 84))), "new", "service_level", Scope.PORTFOLIO, "gold")

    assert found.verdict is Verdict.BETTER
    assert found.difference is not None
    assert found.difference.value == pytest.approx(4.333, abs=0.001)
    assert found.difference.half_width == pytest.approx(1.434, abs=0.001)
    assert found.found.half_width is not None
    assert found.found.half_width > 20


def test_of_many_portfolios_a_difference_must_be_clearer() -> None:
    """Of two, half as often by chance."""
    comparison = compared(replications("new", (63, 75, 86)))

    gold = figure(comparison, "new", "service_level", Scope.PORTFOLIO, "gold")
    assert gold.difference is not None
    assert (gold.difference.value or 0) > (gold.difference.half_width or 0)
    assert gold.verdict is Verdict.UNCLEAR
    assert figure(comparison, "new", "service_level").verdict is Verdict.BETTER


def test_a_gain_here_and_a_loss_there_is_unclear() -> None:
    comparison = compared(replications("new", (80, 70, 70)))

    assert figure(comparison, "new", "service_level").verdict is Verdict.UNCLEAR
    assert comparison.policies[1].in_short == "no figure of all callers is clearly different"


def test_less_waiting_is_better() -> None:
    comparison = compared(replications("new", (64, 75, 84)))

    wait = figure(comparison, "new", "mean_wait")
    assert wait.verdict is Verdict.BETTER
    assert wait.difference is not None
    assert (wait.difference.value or 0) < 0
    assert "mean wait -1.3" in comparison.policies[1].in_short


def test_who_loses_is_named() -> None:
    comparison = compared(replications("new", (54, 65, 74)))

    assert "worse: within 20 s (B)" in comparison.policies[1].in_short
    assert "clearly fewer answered in time of gold" in comparison.policies[1].in_short
    assert most_changed(comparison) == ["gold"]


def test_the_baseline_may_be_any_of_them() -> None:
    comparison = compare("week.toml", [today(), replications("new", (64, 75, 84))], baseline=1)

    assert comparison.baseline == "new"
    assert figure(comparison, "new", "service_level").verdict is None
    assert figure(comparison, "today", "service_level").verdict is Verdict.WORSE


def test_other_callers_are_told_before_anything_else() -> None:
    comparison = compared(replications("new", (64, 75, 84), digests="xya"))

    assert comparison.notes[0].startswith("not the same callers as under today: new.")
    assert "not the same callers" not in " ".join(compared(replications("new", (64, 75, 84))).notes)


def test_other_thresholds_are_told() -> None:
    new = msgspec.structs.replace(replications("new", (64, 75, 84)), quality=Quality(within_s=30))

    assert any("differ in thresholds" in note for note in compared(new).notes)


def test_days_stand_for_replications_and_one_for_nothing() -> None:
    def notes(*gold: int) -> str:
        both = [replications("today", gold), replications("new", gold)]
        return " ".join(compare("log", both, unit="days").notes)

    assert "days stand for replications" in notes(60, 70)
    assert "there is one day" in notes(60)


def test_a_portfolio_that_only_one_policy_has_is_no_data_under_the_other() -> None:
    new = replications("new", (64, 75, 84))
    for counted in new.counted:
        del counted.by_scope[Scope.PORTFOLIO]["iron"]

    found = figure(compared(new), "new", "service_level", Scope.PORTFOLIO, "iron")

    assert (found.found.value, found.verdict) == (None, Verdict.NO_DATA)


def point(name: str, x: float | None, y: float | None) -> Compared:
    figures = tuple(
        Figure(
            scope=Scope.ALL, id="all", key=key, found=Estimate(value=value, half_width=1.0, above=1, below=1),
            difference=None, verdict=None,
        )
        for key, value in (("owner_share", x), ("service_level", y))
    )  # fmt: skip
    return Compared(name=name, figures=figures, in_short="")


def test_the_frontier_has_those_that_no_other_beats_in_both() -> None:
    policies = [
        point("c", 60, 50),
        point("beaten", 40, 50),
        point("a", 20, 80),
        point("b", 50, 60),
        point("none", None, 1),
    ]

    assert frontier_of(policies) == ["a", "b", "c"]


def test_narrow_differences_have_a_place_more() -> None:
    assert difference_words(Estimate(value=3.26, half_width=1.44, above=0, below=1)) == "+3.3 ± 1.4"
    assert difference_words(Estimate(value=-0.223, half_width=0.214, above=0, below=1)) == "-0.22 ± 0.21"
    assert difference_words(Estimate(value=1.0, half_width=None, above=0, below=1)) == "+1.0"
    assert difference_words(None) == "no data"


def test_csv_has_a_row_a_policy_and_figure() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(compared(replications("new", (64, 75, 84)))))))

    (gold,) = (
        row for row in rows
        if (row["policy"], row["scope"], row["id"], row["key"]) == ("new", "portfolio", "gold", "service_level")
    )  # fmt: skip
    assert (gold["value"], gold["difference"], gold["verdict"]) == ("74.3333", "4.3333", "better")


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_differences_and_the_frontier(width: int) -> None:
    words = shown(compared(replications("new", (64, 75, 84), by_owner=15)), width)

    assert "+2.17 ± 0.72 better" in words
    assert "from the smallest owner share up: new, today." in " ".join(words.split())
    assert max(map(len, words.splitlines())) <= width


class Ids(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]


def test_the_page_stands_alone() -> None:
    comparison = compared(replications("new & old", (64, 75, 84), by_owner=15))

    page = page_of_comparison(comparison, KPIS, what="What was played.")

    parser = Ids()
    parser.feed(page)
    assert "svg" in parser.tags
    assert not parser.tags & {"script", "link", "img", "iframe"}
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<b>new &amp; old</b> against today: better: " in page
    assert "+2.17\u00a0±\u00a00.72 better" in page
    assert page == page_of_comparison(comparison, KPIS, what="What was played.")


def test_without_owners_there_is_no_frontier() -> None:
    without = replications("a", (60, 70)), replications("b", (60, 70))
    for policy in without:
        for counted in policy.counted:
            for rows in counted.by_scope.values():
                for counts in rows.values():
                    counts.owned = 0

    comparison = compare("week.toml", list(without))

    assert comparison.frontier == ()
    assert "there is no frontier" in shown(comparison)
    assert "<svg" not in page_of_comparison(comparison, KPIS, what="")
