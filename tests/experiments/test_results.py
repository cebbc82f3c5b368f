"""Key figures of replications as a terminal, CSV and the page show them."""

import csv
import io
from collections import Counter
from datetime import date
from html.parser import HTMLParser

import pytest
from rich.console import Console

from router.core.model import Quality
from router.core.organisation import Organisation
from router.experiments.findings import findings_of
from router.experiments.kpis import kpis_of
from router.experiments.pages import page_of_results
from router.experiments.replications import Stopped
from router.experiments.results import Results, as_csv, results_of
from router.experiments.tables import columns_of, results_view, stopped_words
from router.simulation.centre import Run
from router.simulation.counts import RunCounts, Scope
from router.simulation.scenario import Scenario
from tests.experiments.counted import calls, description, run, short_of_people

KPIS = kpis_of(Quality())
SCENARIO = Scenario(starts=date(2027, 6, 14), ends=date(2027, 6, 15), seed=7, calls=(), rosters=(), where="day.toml")


def played(*counted: RunCounts, stopped: Stopped | None = None) -> Results:
    runs = [
        Run(
            off=None, replication=number, counts=each, days=(), breaches=(), breach_count=0, plan_changes=(),
            overrides_in_books=0, records=1, rejected={}, left=0, callers_digest="c", decisions_digest="d",
        )
        for number, each in enumerate(counted)
    ]  # fmt: skip
    return results_of(SCENARIO, Quality(), runs, stopped)


def shown(*counted: RunCounts, width: int = 120) -> str:
    out = io.StringIO()
    findings = findings_of(Organisation(description()), counted)
    Console(file=out, width=width, highlight=False).print(results_view(played(*counted), findings, KPIS))
    return out.getvalue()


def page(*counted: RunCounts, stopped: Stopped | None = None) -> str:
    findings = findings_of(Organisation(description()), counted)
    return page_of_results(played(*counted, stopped=stopped), findings, KPIS, description())


def owned_day(more: int = 0) -> RunCounts:
    return run(
        {9: calls(60, soon=30 + more, by_owner=25 + more), 10: calls(60, soon=30, abandoned=10)},
        {9: calls(60, soon=50, by_owner=10), 10: calls(60, soon=50)},
    )


def test_every_scope_has_its_rows() -> None:
    rows = played(short_of_people(), short_of_people(more=2)).rows

    assert [(row.scope, row.id) for row in rows] == [
        (Scope.ALL, "all"), (Scope.PORTFOLIO, "gold"), (Scope.PORTFOLIO, "iron"), (Scope.TEAM, "a"), (Scope.TEAM, "b"),
        (Scope.SITE, "laquila"),
    ]  # fmt: skip
    assert rows[1].counts.arrived == 202
    assert rows[1].figures["service_level"].value == pytest.approx(100 * 68 / 202)
    assert rows[1].figures["service_level"].half_width is not None
    assert "service_level" not in rows[3].figures


def test_csv_can_be_reckoned_again() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(played(short_of_people())))))

    (wait,) = (row for row in rows if (row["scope"], row["id"], row["key"]) == ("portfolio", "gold", "mean_wait"))
    assert float(wait["value"]) == pytest.approx(int(wait["numerator"]) / 1000 / int(wait["denominator"]), abs=1e-4)
    assert (wait["unit"], wait["half_width"], wait["replications"]) == ("s", "", "1")
    (country,) = (row for row in rows if (row["scope"], row["key"]) == ("all", "in_country"))
    assert (country["value"], country["denominator"]) == ("", "0")


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_says_the_answer_first(width: int) -> None:
    words = shown(short_of_people(), short_of_people(more=2), short_of_people(), width=width)

    lines = words.splitlines()
    assert lines[0] == "day.toml: 3 replications of 1 day"
    assert "1 of 2 portfolios is clearly worse served, worst first: gold" in " ".join(words.split())
    assert words.index("gold: ") < words.index("Teams with more work") < words.index("By portfolio, worst first")
    assert "no data" not in words
    assert max(map(len, lines)) <= width


def test_one_replication_and_few_are_told_as_such() -> None:
    assert "one replication: the figures are those of one set of callers" in shown(short_of_people())
    assert "±" not in shown(short_of_people())
    assert "3 replications are few" in shown(*[short_of_people()] * 3)
    assert "are few" not in shown(*[short_of_people()] * 5)


def test_columns_without_any_data_are_left_out() -> None:
    rows = [row for row in played(short_of_people()).rows if row.scope is Scope.PORTFOLIO]

    keys = [kpi.key for kpi in columns_of(rows, KPIS, Scope.PORTFOLIO)]
    assert "in_country" not in keys
    assert "service_level" in keys
    assert "service_level_b" not in keys


def test_how_the_rule_stopped() -> None:
    met = Stopped(wanted=0.05, reached={"service_level": 0.0432}, is_met=True)
    given_up = Stopped(wanted=0.05, reached={"mean_wait": 0.2}, is_met=False)

    assert stopped_words(played(short_of_people(), stopped=met)) == (
        "half-width / value of at most 5 %: reached (service_level 4.3 %)"
    )
    assert "not reached, the replications ran out (mean_wait 20.0 %)" in page(short_of_people(), stopped=given_up)


class Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()
        self.refers: set[str] = set()
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in ("meta", "br"):
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids[value] += 1
            if name.endswith("href") and value:
                self.refers.add(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(html: str) -> Parser:
    parser = Parser()
    parser.feed(html)
    parser.close()
    return parser


def test_the_page_stands_alone_and_is_well_formed() -> None:
    html = page(owned_day(), owned_day(3))

    found = parsed(html)
    assert found.open == []
    assert found.tags["svg"] == 4
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert all(each.startswith("#") for each in found.refers)
    assert {each[1:] for each in found.refers} <= set(found.ids)
    assert [name for name, count in found.ids.items() if count > 1] == []
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "@import" not in html


def test_the_page_says_who_is_badly_served_before_any_figure() -> None:
    html = page(short_of_people(), short_of_people(more=2), short_of_people())

    answer = html.index("1 of 2 portfolios is clearly worse served")
    why = html.index("Its team a was 97 % busy from 14 to 16")
    assert html.index("Made-up callers and agents of 1 day, ") < answer < why < html.index("<figure>")
    assert '<td>14 to 16</td><td class="limit">too few people</td><td class="limit">a</td>' in html
    assert '<tr class="bad"><td>gold</td>' in html
    assert "owner share against service level" not in html.lower().split("<h2>what the words mean")[0]


def test_where_clients_have_owners_the_page_has_a_point_a_portfolio() -> None:
    html = page(owned_day(), owned_day(3))

    assert "<b>Owner share against service level.</b>" in html
    # Names are drawn as paths, with the text beside them as a comment.
    assert "<!-- gold -->" in html
    assert "<!-- iron -->" in html


def test_the_same_runs_give_the_same_page() -> None:
    assert page(owned_day(), owned_day(3)) == page(owned_day(), owned_day(3))
