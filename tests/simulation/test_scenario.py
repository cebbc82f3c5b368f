"""Scenarios as people write them: what is wrong is said at once, with where it stands and what to do."""

import re
from pathlib import Path

import msgspec
import pytest

from router.core.model import OrganisationDescription, PortfolioId, Segment, Skill
from router.simulation.scenario import (
    Calls,
    Log,
    LogPart,
    Presence,
    Roster,
    ScenarioError,
    ScenarioHeading,
    SiteTalk,
    Transfer,
)
from router.simulation.scenario_checks import problems_of
from router.simulation.scenario_files import read_scenario
from router.simulation.times import Times
from tests.core.builders import agent, organisation, portfolio, site, team

DESCRIPTION = organisation(
    sites=(site("laquila", "IT", seats=3),),
    teams=(team("a"), team("b")),
    portfolios=(portfolio("gold", "a"), portfolio("iron", "b")),
    agents=(agent("a1", "a"), agent("a2", "a"), *(agent(f"b{number}", "b") for number in range(3))),
    segments=(Segment(segment="consumer", portfolio_id=PortfolioId("iron")),),
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
        ("seed = 1", "warm_up_days = 2", "warm_up_days: 2 would leave no day to count: write fewer, or 0"),
        ("seed = 1", "declines = -0.1", "declines: -0.1 is no share: write a number from 0 to 1"),
        (
            "seed = 1",
            "declines = 0.9",
            "declines: nobody would ever answer: misses and declines must be less than 1 together",
        ),
        ("seed = 1", "agent_variation = -1", "agent_variation: -1 is not possible: write 0 or more"),
        ("seed = 1", "answer_s = 0", "answer_s: 0 is not possible: write more than 0"),
        (
            "seed = 1",
            'answer_s = { law = "fixed", mean_s = 20 }',
            "answer_s: 20 s, and an offer of team a stands for 20 s: nobody would answer in time",
        ),
        ("seed = 1", "presence = { absence = 1 }", "presence, absence: nobody would ever come: write less than 1"),
        ("seed = 1", "presence = { late = 2 }", "presence, late: 2 is no share: write a number from 0 to 1"),
        (
            "seed = 1",
            "presence = { break_every_s = 5 }",
            "presence, break_every_s: 5 is not possible: write 60 to 86400",
        ),
        (
            "a_day = 100\n",
            "",
            "calls entry 1, a_day: is missing: write how many call, or take days_of a log, or name a load file",
        ),
        (
            "talk_s = 60",
            'talk_s = { law = "normal", mean_s = 3 }',
            "calls entry 1, talk_s, law: 'normal' is not one of exponential, log_normal, fixed, never: did you mean "
            "log_normal?",
        ),
        (
            "talk_s = 60",
            "talk_s = { second = [3] }",
            "calls entry 1, talk_s, second: there is no such field: did you mean seconds?",
        ),
        (
            "talk_s = 60",
            'talk_s = { law = "exponential" }',
            "calls entry 1, talk_s, mean_s: is missing: exponential has a mean",
        ),
        (
            "talk_s = 60",
            'talk_s = { law = "never" }',
            "calls entry 1, talk_s, law: this must end: write exponential, log_normal or fixed",
        ),
        ("talk_s = 60", 'talk_s = { log = "bank" }', "calls entry 1, talk_s: there is no log 'bank'"),
        (
            "talk_s = 60",
            'talk_s = 60\nwrap_up_s = { log = "bank" }',
            "calls entry 1, wrap_up_s: a log says nothing of this: write a law, or seconds",
        ),
        (
            "talk_s = 60",
            "talk_s = 60\nowner_talk_percent = 0",
            "calls entry 1, owner_talk_percent: 0 is not more than 0",
        ),
        (
            "talk_s = 60",
            "talk_s = 60\nunknown = -1",
            "calls entry 1, unknown: -1 is no share: write a number from 0 to 1",
        ),
        (
            "talk_s = 60",
            "talk_s = 60\nrepeats = 2",
            "calls entry 1, repeats: 2 is no share: write a number from 0 to 1",
        ),
        (
            "talk_s = 60",
            "talk_s = 60\nrepeats_max = 21",
            "calls entry 1, repeats_max: 21 is not possible: write 0 to 20",
        ),
        (
            "talk_s = 60",
            'talk_s = 60\ntransfers = { portfolio_id = "tin", share = 0.5 }',
            "calls entry 1, transfers entry 1, portfolio_id: there is no portfolio 'tin'",
        ),
        (
            "talk_s = 60",
            'talk_s = 60\ntransfers = { portfolio_id = "iron", share = 0.5 }',
            "calls entry 1, transfers entry 1, portfolio_id: nobody is rostered who could answer iron: its teams are b",
        ),
        (
            "talk_s = 60",
            'talk_s = 60\ntransfers = { portfolio_id = "iron", share = -0.5 }',
            "calls entry 1, transfers entry 1, share: -0.5 is no share: write a number from 0 to 1",
        ),
        (
            "talk_s = 60",
            'talk_s = 60\ntransfers = { portfolio_id = "gold", share = 0.5, after_percent = 100 }',
            "calls entry 1, transfers entry 1, after_percent: 100 is not possible: write 1 to 99",
        ),
        ("talk_s = 60", 'talk_s = 60\nsegment = "soho"', "calls entry 1, segment: there is no segment 'soho'"),
        (
            "talk_s = 60",
            'talk_s = 60\nsegment = "consumer"',
            "calls entry 1, segment: unknown callers of consumer go to iron, not to gold",
        ),
        (
            "[[sites]]",
            '[[logs]]\nlog_id = "bank"\nfile = "a.csv"\nmapping = "m.toml"\n\n' * 2 + "[[sites]]",
            "logs entry 2, log_id: 'bank' stands twice",
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


def test_portfolios_that_share_their_agents_must_not_be_too_much_together(tmp_path: Path) -> None:
    both = (*DESCRIPTION.portfolios[:1], portfolio("tin", "a"))
    waiting = msgspec.structs.replace(
        DESCRIPTION, portfolios=tuple(msgspec.structs.replace(each, max_wait_s=None) for each in both), segments=()
    )
    gold = SOUND.replace("patience_s = 30\n", "").replace("a_day = 100", "a_day = 720")
    tin = gold.partition("[[calls]]")[2].partition("[[rosters]]")[0].replace("gold", "tin")
    endless = gold.replace("[[rosters]]", f"[[calls]]{tin}[[rosters]]")

    assert problems(tmp_path, gold, waiting) == []
    assert problems(tmp_path, endless, waiting) == [
        "s.toml, calls entry 1, patience_s: callers of gold, tin never hang up, and make 168 hours of work a week for "
        "168 hours of agents: say how patient they are, or roster more"
    ]


def test_a_log_says_how_many_call_and_when(tmp_path: Path) -> None:
    log = '[[logs]]\nlog_id = "bank"\nfile = "a.csv"\nmapping = "m.toml"\n'
    drawn = SOUND.replace("talk_s = 60", 'talk_s = 60\ndays_of = { log = "bank" }') + log

    assert problems(tmp_path, drawn) == [
        "s.toml, calls entry 1, days_of: says how many call and when: remove a_day, by_hour and day_variation"
    ]
    alone = drawn.replace("a_day = 100\n", "").replace(f"by_hour = {FLAT}\ntalk_s", "talk_s")
    assert problems(tmp_path, alone) == [f"s.toml, logs entry 1, {tmp_path / 'm.toml'}: No such file or directory"]


# --- A load file ---

HOURS_LEFT_OUT = SOUND.replace(f"by_hour = {FLAT}\ntalk_s", "talk_s")
LOADED = HOURS_LEFT_OUT.replace("a_day = 100\n", "").replace("seed = 1", 'load = "l.csv"')


def with_load(directory: Path, *rows: str, text: str = LOADED) -> list[str]:
    (directory / "l.csv").write_text("\n".join(["portfolio_id,calls_per_hour,skills,starts,ends", *rows]) + "\n")
    return problems(directory, text)


def test_a_load_file_says_how_many_call(tmp_path: Path) -> None:
    assert with_load(tmp_path, "gold,4.5,,,", "iron,3,,,") == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("iron,3,,,", "s.toml, calls entry 1, a_day: l.csv has no calls of gold: add them, or write a_day"),
        ("gold,-3,,,", "l.csv, row 2, calls_per_hour: must be a number from 0 to 1000000"),
        ("gold,3,,12:00,09:00", "l.csv, row 2, ends: is 09:00, not after 12:00: write two rows"),
        ("gold,many,,,", "l.csv, row 2, calls_per_hour: 'many' is not a number such as 12.5"),
    ],
)
def test_mistakes_of_a_load_file_are_clear_lines(tmp_path: Path, row: str, problem: str) -> None:
    assert with_load(tmp_path, row) == [problem]


def test_callers_of_nobody_are_told_once(tmp_path: Path) -> None:
    assert with_load(tmp_path, "gold,3,,,", text=LOADED.replace('"gold"', '"god"')) == [
        "s.toml, calls entry 1, portfolio_id: there is no portfolio 'god': did you mean gold?"
    ]


def test_a_load_of_callers_with_needs_of_their_own_is_refused(tmp_path: Path) -> None:
    others = (*DESCRIPTION.agents[1:], agent("a1", "a", "data"))
    described = msgspec.structs.replace(DESCRIPTION, skills=(Skill("data"),), agents=others)
    (tmp_path / "l.csv").write_text("portfolio_id,calls_per_hour,skills\ngold,3,data\n")

    assert problems(tmp_path, LOADED, described) == [
        "l.csv, row 2, skills: callers of a scenario need what their portfolio needs, and no more"
    ]


def test_the_load_file_alone_says_when_they_call(tmp_path: Path) -> None:
    twice = SOUND.replace("a_day = 100\n", "").replace("seed = 1", 'load = "l.csv"')

    assert with_load(tmp_path, "gold,3,,,", text=twice) == [
        "s.toml, calls entry 1, by_hour: the load file says when they call: remove by_hour and by_weekday, or write "
        "a_day"
    ]


def test_a_load_without_end_is_seen_in_a_load_file_too(tmp_path: Path) -> None:
    """60 calls an hour keep one agent busy without a moment's rest."""
    waiting = msgspec.structs.replace(
        DESCRIPTION, portfolios=tuple(msgspec.structs.replace(each, max_wait_s=None) for each in DESCRIPTION.portfolios)
    )
    (tmp_path / "l.csv").write_text("portfolio_id,calls_per_hour\ngold,60\n")

    (problem,) = problems(tmp_path, LOADED.replace("patience_s = 30\n", ""), waiting)

    assert "never hang up, and make 168 hours of work a week for 168 hours of agents" in problem


# --- A roster file ---

NO_ROSTERS = SOUND.partition("[[rosters]]")[0].replace("seed = 1", 'roster = "r.csv"')


def with_roster(directory: Path, *rows: str, text: str = NO_ROSTERS) -> list[str]:
    (directory / "r.csv").write_text("\n".join(["agent_id,day,starts,ends,activity", *rows]) + "\n", encoding="utf-8")
    return problems(directory, text)


def test_a_roster_file_takes_the_place_of_rosters(tmp_path: Path) -> None:
    assert with_roster(tmp_path, "a1,2017-05-04,08:00,14:00,work") == []


def test_no_roster_file(tmp_path: Path) -> None:
    assert problems(tmp_path, NO_ROSTERS) == [f"r.csv: there is no such file: looked for {tmp_path / 'r.csv'}"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a3,2017-05-04,08:00,14:00,work", "r.csv, row 2, agent_id: there is no agent 'a3'"),
        ("a1,2017-05-04,08:00,8,work", "r.csv, row 2, ends: '8' is not a time such as 08:30"),
        (
            "a1,2017-05-06,08:00,14:00,work",
            "s.toml, roster: r.csv is about 2017-05-06 to 2017-05-06: nobody works from 2017-05-04 until 2017-05-06",
        ),
        (
            "a1,2017-05-04,08:00,14:00,training",
            "s.toml, calls entry 1, portfolio_id: nobody is rostered who could answer gold: its teams are a",
        ),
    ],
)
def test_mistakes_of_a_roster_file_are_clear_lines(tmp_path: Path, row: str, problem: str) -> None:
    assert with_roster(tmp_path, row) == [problem]


def test_a_roster_file_may_not_be_fuller_than_the_site(tmp_path: Path) -> None:
    rows = [f"{name},2017-05-04,{9 + number:02}:00,14:00,work" for number, name in enumerate(("a1", "a2", "b0", "b1"))]

    assert with_roster(tmp_path, *rows) == ["s.toml, roster: 4 on 2017-05-04 at 12:00, but site laquila has 3 seats"]
    assert with_roster(tmp_path, *rows[:3], rows[3].replace("work", "home")) == []


def test_a_team_is_rostered_in_one_place(tmp_path: Path) -> None:
    both = SOUND.replace("seed = 1", 'roster = "r.csv"')

    assert with_roster(tmp_path, "a1,2017-05-04,08:00,14:00,work", text=both) == [
        "s.toml, rosters entry 1, team_id: agents of a are in r.csv as well: keep one of the two"
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


# --- All that a scenario may say ---

MAPPING = """\
name = "small"
country = "IT"
time_zone = "Europe/Rome"
time_format = "%Y-%m-%d %H:%M:%S"
columns = { call_id = "id", outcome = "what", kind = "kind", arrived = ["at"], wait_s = "wait", service_s = "talk" }
outcomes = { answered = ["yes"], abandoned = ["no"] }
"""
EVERYTHING = f"""\
config = "there"
starts = 2017-05-04
ends = 2017-05-06
time_zone = "Europe/Rome"
seed = 1
warm_up_days = 1
roster = "r.csv"
load = "l.csv"
presence = {{ absence = 0.1, late = 0.1, late_s = 60, break_every_s = 7200, break_s = 900 }}
asks_inside = 0.1
misses = 0.1
declines = 0.1
answer_s = {{ law = "log_normal", mean_s = 4, variation = 0.5 }}
agent_variation = 0.1

[[calls]]
portfolio_id = "gold"
a_day = 100
by_weekday = [1, 1, 1, 1, 1, 1, 0]
by_hour = {FLAT}
day_variation = 0.1
unknown = 0.1
talk_s = {{ log = "small", kinds = "fibre" }}
owner_talk_percent = 90
wrap_up_s = {{ edges_s = [0, 10, 30], weights = [1, 2] }}
patience_s = {{ log = "small" }}
navigation_s = 20
repeats = 0.5
repeat_after_s = {{ seconds = [60, 3600] }}
repeats_max = 2
transfers = [{{ portfolio_id = "iron", share = 0.1, after_percent = 20 }}]

[[calls]]
portfolio_id = "iron"
segment = "consumer"
days_of = {{ log = "small" }}
talk_s = 60
talk_variation = 0.5
patience_s = {{ law = "never" }}

[[rosters]]
team_id = "b"
days = "mon-sun"
by_hour = {FLAT}
valid_from = 2017-05-04
valid_until = 2017-06-01

[[sites]]
site_id = "laquila"
talk_percent = 110

[[logs]]
log_id = "small"
file = "log.csv"
mapping = "map.toml"
"""


def test_a_scenario_may_say_everything(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(MAPPING, encoding="utf-8")
    log = "id,at,what,kind,wait,talk\n1,2026-03-02 09:00:00,yes,fibre,5,100\n2,2026-03-02 10:00:00,no,fibre,40,\n"
    (tmp_path / "log.csv").write_text(log, encoding="utf-8")

    (tmp_path / "l.csv").write_text("portfolio_id,calls_per_hour\ngold,3\n", encoding="utf-8")

    assert with_roster(tmp_path, "a1,2017-05-04,08:00,14:00,work", text=EVERYTHING) == []

    read = read_scenario(tmp_path / "s.toml")
    gold, iron = read.calls
    assert gold.talk_s == Times(seconds=(100.0,))
    assert iron.talk_s == 60
    assert [len(day.arrived_ms) for day in read.recorded[PortfolioId("iron")]] == [2]
    assert len(read.shifts) == 1


@pytest.mark.parametrize("kind", [ScenarioHeading, Calls, Roster, Presence, SiteTalk, Log, LogPart, Transfer, Times])
def test_every_field_is_in_the_manual(kind: type[msgspec.Struct]) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", manual))

    assert set(kind.__struct_fields__) - {"where"} <= words
    assert all(f"{name} = " in EVERYTHING for name in set(kind.__struct_fields__) - {"where"} if name != "law")
