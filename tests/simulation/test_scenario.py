"""Scenarios as people write them: what is wrong is said at once, with where it stands and what to do."""

from pathlib import Path

import msgspec
import pytest

from router.core.model import OrganisationDescription
from router.simulation.scenario import ScenarioError
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario
from tests.core.builders import agent, organisation, portfolio, site, team

DESCRIPTION = organisation(
    sites=(site("laquila", "IT", seats=3),),
    teams=(team("a"), team("b")),
    portfolios=(portfolio("gold", "a"), portfolio("iron", "b")),
    agents=(agent("a1", "a"), agent("a2", "a"), *(agent(f"b{number}", "b") for number in range(3))),
)
FLAT = f"[{', '.join(['1'] * 24)}]"

CALLS_BY_HOUR = f"by_hour = {FLAT}\ntalk_s"
SUNDAY = '[[rosters]]\nteam_id = "a"\ndays = "sun"\n'
AGENTS_BY_HOUR = f"by_hour = {FLAT}\n\n[[sites"

SOUND = f"""\
config = "there"
starts = 2017-05-04
ends = 2017-05-06
time_zone = "Europe/Rome"
seed = 1
asks_inside = 0.1
misses = 0.1

[[calls]]
portfolio_id = "gold"
a_day = 100
by_hour = {FLAT}
talk_s = 60
patience_s = 30

[[rosters]]
team_id = "a"
days = "mon-sun"
by_hour = {FLAT}

[[sites]]
site_id = "laquila"
talk_percent = 110
"""


def problems(directory: Path, text: str, description: OrganisationDescription = DESCRIPTION) -> list[str]:
    file = directory / "s.toml"
    file.write_text(text, encoding="utf-8")
    try:
        return [str(each) for each in problems_of(read_scenario(file), description)]
    except ScenarioError as error:
        return [str(each) for each in error.problems]


def test_a_sound_scenario_has_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path, SOUND) == []
    assert read_scenario(tmp_path / "s.toml").config == tmp_path / "there"


@pytest.mark.parametrize(
    ("line", "instead", "problem"),
    [
        (
            'portfolio_id = "gold"',
            'portfolio_id = "god"',
            "calls entry 1, portfolio_id: there is no portfolio 'god': did you mean gold?",
        ),
        ('team_id = "a"', 'team_id = "c"', "rosters entry 1, team_id: there is no team 'c'"),
        ('site_id = "laquila"', 'site_id = "roma"', "sites entry 1, site_id: there is no site 'roma'"),
        ("a_day = 100", "a_day = -1", "calls entry 1, a_day: -1 is not possible: write 0 or more"),
        ("a_day = 100", 'a_day = "many"', "calls entry 1, a_day: 'many' is not a number"),
        ("talk_s = 60", "talk_s = 0", "calls entry 1, talk_s: 0 is not possible: write more than 0"),
        (
            "talk_s = 60",
            "talk_s = 60\nday_variation = nan",
            "calls entry 1, day_variation: nan is not possible: write 0 or more",
        ),
        ("patience_s = 30", "patience_s = -30", "calls entry 1, patience_s: -30 is not possible: write more than 0"),
        (
            "patience_s = 30",
            "patient_s = 30",
            "calls entry 1, patient_s: there is no such field: did you mean patience_s?",
        ),
        ("ends = 2017-05-06", "ends = 2017-05-04", "ends: 2017-05-04 is not after starts, 2017-05-04"),
        ("ends = 2017-05-06", "ends = 2117-05-06", "ends: is more than 3660 days after starts: write a shorter time"),
        ("ends = 2017-05-06\n", "", "ends: is missing: it must be a date such as 2026-12-31"),
        ("seed = 1", "seed = -1", "seed: -1 is negative: write 0 or more"),
        ("misses = 0.1", "misses = 1", "misses: nobody would ever answer: write less than 1"),
        ("asks_inside = 0.1", "asks_inside = 1.5", "asks_inside: 1.5 is no share: write a number from 0 to 1"),
        (
            '"Europe/Rome"',
            '"Europe/Romulus"',
            "time_zone: 'Europe/Romulus' is no time zone: write one such as Europe/Rome",
        ),
        ("talk_percent = 110", "talk_percent = 0", "sites entry 1, talk_percent: 0 is not more than 0"),
        (
            CALLS_BY_HOUR,
            CALLS_BY_HOUR.replace(FLAT, "[1, 2]"),
            "calls entry 1, by_hour: has 2 weights: write 24, that of 00:00 first",
        ),
        (
            CALLS_BY_HOUR,
            CALLS_BY_HOUR.replace("1", "0"),
            "calls entry 1, by_hour: has no weights but 0: leave the calls out, or give one more than 0",
        ),
        (
            "talk_s = 60",
            "talk_s = 60\nby_weekday = [1, 1, 1, 1, 1, 1, -1]",
            "calls entry 1, by_weekday: has negative weights: write 0 or more",
        ),
        (
            AGENTS_BY_HOUR,
            AGENTS_BY_HOUR.replace("1", "-1"),
            "rosters entry 1, by_hour: has negative agents: write 0 or more",
        ),
        (
            AGENTS_BY_HOUR,
            AGENTS_BY_HOUR.replace("1", "3", 2),
            "rosters entry 1, by_hour: 3 are wanted at 00:00, but team a has 2",
        ),
        (
            "[[sites]]",
            '[[rosters]]\nteam_id = "b"\n' + AGENTS_BY_HOUR.replace("1", "3", 1) + "]]",
            "rosters: 4 on mon at 00:00, but site laquila has 3 seats",
        ),
        (
            'portfolio_id = "gold"',
            'portfolio_id = "iron"',
            "calls entry 1, portfolio_id: nobody is rostered who could answer iron: its teams are b",
        ),
        (
            "[[sites]]",
            SUNDAY + "by_hour = []\n\n[[sites]]",
            "rosters entry 2, by_hour: has 0 agents: write 24, that of 00:00 first",
        ),
        (
            "[[sites]]",
            SUNDAY + f"by_hour = {FLAT}\n\n[[sites]]",
            "rosters entry 2, days: sun of a stands twice, first in s.toml, rosters entry 1",
        ),
    ],
)
def test_each_mistake_is_one_clear_line(tmp_path: Path, line: str, instead: str, problem: str) -> None:
    assert SOUND.count(line) == 1

    assert problems(tmp_path, SOUND.replace(line, instead)) == [f"s.toml, {problem}"]


def test_nobody_calls_and_nobody_is_there(tmp_path: Path) -> None:
    heading = SOUND.partition("[[calls]]")[0]

    assert problems(tmp_path, heading) == [
        "s.toml, calls: nobody calls: write [[calls]] with a portfolio_id",
        "s.toml, rosters: there are no agents: write [[rosters]] with a team_id, or name a roster file",
    ]


def test_a_load_without_end_is_seen_before_it_is_played(tmp_path: Path) -> None:
    """1,441 minutes of talk a day are more than one agent has, if nobody ever leaves the queue."""
    endless = SOUND.replace("patience_s = 30\n", "").replace("a_day = 100", "a_day = 1441")
    waiting = msgspec.structs.replace(
        DESCRIPTION, portfolios=tuple(msgspec.structs.replace(each, max_wait_s=None) for each in DESCRIPTION.portfolios)
    )

    assert problems(tmp_path, endless) == []
    assert problems(tmp_path, endless.replace("1441", "1439"), waiting) == []
    assert problems(tmp_path, endless, waiting) == [
        "s.toml, calls entry 1, patience_s: callers of gold never hang up, and make 168 hours of work a week for 168 "
        "hours of agents: say how patient they are, or roster more"
    ]


def test_rosters_may_follow_each_other(tmp_path: Path) -> None:
    """Two of one team and day, but never at once: three seats are enough for three, and then three others."""
    before = AGENTS_BY_HOUR.replace("1", "2").replace("[[sites", "valid_until = 2017-05-05\n\n[[sites")
    after = '[[rosters]]\nteam_id = "a"\nvalid_from = 2017-05-05\n' + AGENTS_BY_HOUR.replace("1", "2")
    followed = SOUND.replace(AGENTS_BY_HOUR, before.replace("[[sites", after))

    assert problems(tmp_path, followed) == []
    assert problems(tmp_path, followed.replace("valid_from = 2017-05-05", "valid_from = 2017-05-04")) == [
        "s.toml, rosters entry 2, days: mon of a stands twice, first in s.toml, rosters entry 1"
    ]


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    wrong = SOUND.replace("a_day = 100", "a_day = -1").replace("seed = 1", "seed = -1")

    assert len(problems(tmp_path, wrong)) == 2


def test_no_file_and_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="there is no such file"):
        read_scenario(tmp_path / "none.toml")
    assert "is not valid TOML" in problems(tmp_path, "starts = ")[0]
    assert "must be tables" in problems(tmp_path, SOUND.replace("[[rosters]]", "[rosters]"))[0]
