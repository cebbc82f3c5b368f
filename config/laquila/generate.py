"""Writes the organisation of L'Aquila: ``organisation.toml``, ``agents.csv`` and ``clients.csv``.

And for planners ``roster.csv``, who works when in one week, and ``load.csv``, how much work comes in.

    python config/laquila/generate.py [DIRECTORY]

The same files, byte for byte, on every run: to change the organisation, change the tables below and run
again, or edit the files by hand and forget this script. People, clients and numbers are invented; README.md says
what comes from public sources.
"""

import random
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

SEED = 2010

TEAM_COUNT = 20
TEAM_SIZE = 20
TEAMS_OF_THE_OPERATOR = 8
"""The last so many working groups are the operator's own people; the outsourcer employs the others."""
ROMA_TEAM_COUNT = 3
CLIENTS_PER_AGENT_MIN = 30
CLIENTS_PER_AGENT_MAX = 45
RESERVES_PER_TEAM = 2
"""The last agents of a team coach the others, and are asked for calls of clients not their own after a wait."""

OWNER_CHANGES = (date(2026, 3, 1), date(2026, 9, 1), date(2027, 1, 1), date(2027, 3, 1))

ROSTER_MONDAY = date(2027, 6, 7)
"""The week of 10 June, when L'Aquila celebrates its patron and the site is closed."""
PATRON_DAY = date(2027, 6, 10)
MORNING, AFTERNOON = ("08:00", "14:30"), ("14:30", "21:00")

CONTRACT_ENDS = (date(2026, 12, 31), date(2027, 3, 31), date(2027, 6, 30), date(2027, 12, 31))
FIXED_TERM_PERCENT = 60
"""Of the outsourcer's agents, so many are on a contract that ends on one of these days."""
# 400 agents of 1,396 net hours a year at 75 % occupancy, over 15,000 clients: 140 minutes each if all were always full.
MINUTES_A_MONTH_MIN = 40
MINUTES_A_MONTH_MAX = 220

AGENT_COLUMNS = ("agent_id", "team_id", "skills", "languages", "site_id", "supplier_id", "after_s", "contract_until")
CLIENT_COLUMNS = (
    "client_id", "portfolio_id", "owner", "backups", "valid_from", "valid_until", "numbers", "exclusions",
    "minutes_a_month",
)  # fmt: skip
ROSTER_COLUMNS = ("agent_id", "day", "starts", "ends", "activity")
LOAD_COLUMNS = ("portfolio_id", "calls_per_hour", "handling_s", "days", "starts", "ends")


class Market(NamedTuple):
    """One of the three books of clients that every working group answers for."""

    name: str
    agents: int
    """How many of a group's agents own clients of this book."""
    skill: str
    level_min: int
    """Of the agents who own such clients, in ``skill``."""
    hours: str
    rules: str
    """The lines of its portfolios in organisation.toml."""


MARKETS = (
    Market(
        "gold", 7, "consumer", 2, "residential",
        """skills = [{ skill = "consumer", level = 2, relax = [{ after_s = 40, level = 1 }] }]
owner_wait_s = 20
max_wait_s = 600
fallback = { kind = "message", target = "gold-later" }
""",
    ),
    Market(
        "business", 7, "business", 3, "business",
        """skills = [
  { skill = "business", level = 3, relax = [{ after_s = 30, level = 2 }, { after_s = 90, level = 1 }] },
]
head_start_s = 30
owner_wait_s = 25
max_wait_s = 480
fallback = "callback"
""",
    ),
    Market(
        "premium", 6, "consumer", 3, "residential",
        """skills = [
  { skill = "consumer", level = 3, relax = [{ after_s = 45, level = 1 }] },
  { skill = "retention", level = 2, relax = [{ after_s = 20, level = 1 }, { after_s = 60, level = 0 }] },
]
head_start_s = 60
owner_wait_s = 30
max_wait_s = 300
fallback = "callback"
callback_max_wait_s = 86400
""",
    ),
)  # fmt: skip


class Member(NamedTuple):
    """An agent of L'Aquila and the book that the agent's own clients come from."""

    agent_id: str
    team: int
    market: Market
    is_reserve: bool


class Dice:
    """Choices from a seed. Of Python's random numbers only ``random()`` is promised to stay as it is."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        """From *low* to *high*, both included."""
        return low + int(self._random.random() * (high - low + 1))

    def happens(self, percent: int) -> bool:
        return self.number(1, 100) <= percent

    def pick(self, options: Sequence[str]) -> str:
        return options[self.number(0, len(options) - 1)]


def main() -> None:
    """Write the files beside this script, or into the directory named on the command line."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, text in files().items():
        (directory / name).write_text(text, encoding="utf-8", newline="\n")


def files() -> dict[str, str]:
    """The text of every file, by name."""
    members = laquila_members()
    return {
        "organisation.toml": organisation_toml(),
        "agents.csv": agents_csv(members, Dice(SEED), Dice(SEED + 2)),
        "clients.csv": clients_csv(members, Dice(SEED + 1), Dice(SEED + 3)),
        "roster.csv": roster_csv(members),
        "load.csv": load_csv(Dice(SEED + 4)),
    }


def laquila_members() -> list[Member]:
    """Agents A001, A002, ...; within a team, those of one market follow one another."""
    members = []
    for team in range(1, TEAM_COUNT + 1):
        markets = [market for market in MARKETS for _ in range(market.agents)]
        for place, market in enumerate(markets):
            agent_id = f"A{(team - 1) * TEAM_SIZE + place + 1:03}"
            members.append(Member(agent_id, team, market, is_reserve=place >= TEAM_SIZE - RESERVES_PER_TEAM))
    return members


# --- organisation.toml ------------------------------------------------------------------------------------

HEADING = """\
# Written by generate.py; see README.md. People, clients and numbers are invented.

skills = ["consumer", "business", "retention", "data", "billing", "english-service"]
default_portfolio = "front-consumer"
# What AGCOM asks of a contact centre (255/24/CONS): a mean wait of at most 150 s, 40 % answered within 20 s.
quality = { within_s = 20, short_abandon_s = 5, wait_mean_max_s = 150, within_share_min_percent = 40 }
agents_file = "agents.csv"
clients_file = "clients.csv"

# Public holidays of Italy, 4 October among them since 2026.
[[calendars]]
calendar_id = "italy"
country = "IT"
first_year = 2026
last_year = 2030

[[hours]]
hours_id = "residential"
open = { days = "mon-sat", opens = "08:00", closes = "21:00" }
calendar = "italy"

[[hours]]
hours_id = "business"
open = [
  { days = "mon-fri", opens = "08:00", closes = "20:00" },
  { days = "sat", opens = "08:00", closes = "13:00" },
]
calendar = "italy"

# San Massimo. The two training rooms have seats of their own, which are none of the 250.
[[sites]]
site_id = "aquila"
country = "IT"
seats = 250
training_rooms = ["aula-1-", "aula-2-"]
calendar = "italy"
patron_day = "06-10"

# Santi Pietro e Paolo.
[[sites]]
site_id = "roma"
country = "IT"
seats = 50
calendar = "italy"
patron_day = "06-29"

[[suppliers]]
supplier_id = "operator"
name = "The operator's own staff"
in_house = true

[[suppliers]]
supplier_id = "outsourcer"
name = "The outsourcer that runs L'Aquila with the operator"
in_house = false

# Callers whom nobody owns yet are answered in Roma.
[[segments]]
segment = "consumer"
portfolio_id = "front-consumer"

[[segments]]
segment = "business"
portfolio_id = "front-business"
"""


def organisation_toml() -> str:
    blocks = [HEADING]
    blocks += [laquila_team(team) for team in range(1, TEAM_COUNT + 1)]
    blocks += [roma_team(team) for team in range(1, ROMA_TEAM_COUNT + 1)]
    blocks += [client_portfolio(team, market) for team in range(1, TEAM_COUNT + 1) for market in MARKETS]
    blocks += [front_portfolio(name) for name in ("consumer", "business")]
    return "\n".join(blocks)


def laquila_team(team: int) -> str:
    # Groups sit in pairs and cover each other, so that after 20 s a call has twice the agents but does not wander
    # round the whole room.
    neighbour = team + 1 if team % 2 else team - 1
    strategy = "least_flexible" if team % 5 == 0 else "longest_idle"
    supplier = "operator" if team > TEAM_COUNT - TEAMS_OF_THE_OPERATOR else "outsourcer"
    return f"""\
[[teams]]
team_id = "aquila-{team:02}"
site_id = "aquila"
supplier_id = "{supplier}"
strategy = "{strategy}"
own_first = true
backups = [
  {{ team_id = "aquila-{neighbour:02}", after_s = 20 }},
  {{ team_id = "roma-{(team - 1) // 2 % ROMA_TEAM_COUNT + 1}", after_s = 60 }},
]
wrap_up_s = 40
handling_s = 370
"""


def roma_team(team: int) -> str:
    return f"""\
[[teams]]
team_id = "roma-{team}"
site_id = "roma"
supplier_id = "operator"
strategy = "least_occupied"
handling_s = 300
"""


def client_portfolio(team: int, market: Market) -> str:
    return f"""\
[[portfolios]]
portfolio_id = "{market.name}-{team:02}"
teams = ["aquila-{team:02}"]
language = "it"
{market.rules}hours = "{market.hours}"
"""


def front_portfolio(name: str) -> str:
    others = "".join(f', {{ team_id = "roma-{team}", after_s = 15 }}' for team in range(2, ROMA_TEAM_COUNT + 1))
    return f"""\
[[portfolios]]
portfolio_id = "front-{name}"
teams = ["roma-1"{others}]
skills = ["{name}"]
language = "it"
max_wait_s = 900
fallback = {{ kind = "message", target = "front-later" }}
hours = "{"business" if name == "business" else "residential"}"
"""


# --- agents.csv -------------------------------------------------------------------------------------------


def agents_csv(members: list[Member], dice: Dice, contract_dice: Dice) -> str:
    rows = [[*laquila_agent(member, dice), contract_until(member, contract_dice)] for member in members]
    for team in range(1, ROMA_TEAM_COUNT + 1):
        for place in range(TEAM_SIZE):
            agent_id = f"R{(team - 1) * TEAM_SIZE + place + 1:02}"
            skills = {"consumer": dice.number(2, 4), "business": dice.number(1, 4), "billing": dice.number(1, 3)}
            rows.append([agent_id, f"roma-{team}", skills_cell(skills), languages(dice), "", "", "", ""])
    return csv_text(AGENT_COLUMNS, rows)


def laquila_agent(member: Member, dice: Dice) -> list[str]:
    # Everybody can help with everything a little, else widening a call to the team would widen it to few.
    skills = {"consumer": dice.number(1, 4), "business": dice.number(1, 3)}
    skills[member.market.skill] = dice.number(member.market.level_min, 5)
    if member.market.name == "premium":
        skills["retention"] = dice.number(2, 4)
    elif dice.happens(25):
        skills["retention"] = dice.number(1, 2)
    for skill, percent in (("data", 40), ("billing", 30)):
        if dice.happens(percent):
            skills[skill] = dice.number(1, 4)
    spoken = languages(dice)
    if "en" in spoken and dice.happens(50):
        skills["english-service"] = dice.number(1, 3)
    # Where the outsourcer runs the group, those who coach it are the operator's.
    supplier = "operator" if member.is_reserve and is_outsourced(member) else ""
    after_s = "45" if member.is_reserve else ""
    return [member.agent_id, f"aquila-{member.team:02}", skills_cell(skills), spoken, "", supplier, after_s]


def is_outsourced(member: Member) -> bool:
    """Whether the outsourcer runs the member's group."""
    return member.team <= TEAM_COUNT - TEAMS_OF_THE_OPERATOR


def contract_until(member: Member, dice: Dice) -> str:
    if member.is_reserve or not is_outsourced(member) or not dice.happens(FIXED_TERM_PERCENT):
        return ""
    return dice.pick([str(day) for day in CONTRACT_ENDS])


def skills_cell(skills: dict[str, int]) -> str:
    return " ".join(f"{skill}:{level}" for skill, level in skills.items())


def languages(dice: Dice) -> str:
    spoken = ["it"]
    if dice.happens(35):
        spoken.append("en")
    if dice.happens(10):
        spoken.append(dice.pick(["de", "es", "fr", "ro"]))
    return " ".join(spoken)


# --- clients.csv ------------------------------------------------------------------------------------------


def clients_csv(members: list[Member], dice: Dice, work_dice: Dice) -> str:
    rows: list[list[str]] = []
    numbers = 0
    clients = 0
    for member in members:
        peers = [other.agent_id for other in members if other[1:3] == member[1:3] and other is not member]
        group = [other.agent_id for other in members if other.team == member.team and other is not member]
        for _ in range(dice.number(CLIENTS_PER_AGENT_MIN, CLIENTS_PER_AGENT_MAX)):
            clients += 1
            backups = two_of(peers, dice)
            row = [f"C{clients:05}", f"{member.market.name}-{member.team:02}", member.agent_id, " ".join(backups)]
            draw = dice.number(1, 100)
            count = 0 if draw <= 45 else 1 if draw <= 95 else 2
            called = " ".join(synthetic_number(numbers + place) for place in range(1, count + 1))
            numbers += count
            others = [agent_id for agent_id in group if agent_id not in backups]
            excluded = dice.pick(others) if dice.number(1, 1000) <= 3 else ""
            if not excluded and dice.number(1, 1000) <= 4:
                changed = owner_change(row, called, dice)
            else:
                changed = [[*row, "", "", called, excluded]]
            minutes = str(work_dice.number(MINUTES_A_MONTH_MIN, MINUTES_A_MONTH_MAX))
            rows += [[*cells, "" if later else minutes] for later, cells in enumerate(changed)]
    return csv_text(CLIENT_COLUMNS, rows)


def two_of(peers: list[str], dice: Dice) -> list[str]:
    first = dice.pick(peers)
    return [first, dice.pick([peer for peer in peers if peer != first])]


def owner_change(row: list[str], called: str, dice: Dice) -> list[list[str]]:
    """The first backup becomes the owner on a day, and the owner a backup."""
    client_id, portfolio_id, owner, backups = row
    first, second = backups.split()
    day = str(OWNER_CHANGES[dice.number(0, len(OWNER_CHANGES) - 1)])
    return [
        [client_id, portfolio_id, owner, backups, "", day, called, ""],
        [client_id, "", first, f"{owner} {second}", day, "", "", ""],
    ]


def synthetic_number(count: int) -> str:
    """A number in L'Aquila's area, 0862, whose next digit is 0, as no subscriber's is (to be confirmed)."""
    return f"+3908620{count:05}"


# --- roster.csv -------------------------------------------------------------------------------------------


def roster_csv(members: list[Member]) -> str:
    """Monday to Saturday, half a day each: four of five days at L'Aquila, five of six at Roma."""
    rows: list[list[str]] = []
    for day in range(6):
        today = ROSTER_MONDAY + timedelta(days=day)
        if today != PATRON_DAY:
            for number, member in enumerate(members):
                if (2 * number + day) % 5:
                    rows += laquila_shift(member.agent_id, number, day, str(today))
        for number in range(ROMA_TEAM_COUNT * TEAM_SIZE):
            if (number + day) % 6:
                rows.append([f"R{number + 1:02}", str(today), *half_of_day(number, day), "work"])
    return csv_text(ROSTER_COLUMNS, rows)


def half_of_day(number: int, day: int) -> tuple[str, str]:
    # They change places every other day, so that all owners are met in the morning by some of their clients.
    return (MORNING, AFTERNOON)[(number + day // 2) % 2]


def laquila_shift(agent_id: str, number: int, day: int, today: str) -> list[list[str]]:
    starts, ends = half_of_day(number, day)
    if day == 2 and number % TEAM_SIZE == 8:  # Wednesday: one of each group is trained for two hours.
        middle, end = ("10:00", "12:00") if starts == MORNING[0] else ("16:00", "18:00")
        spells = ((starts, middle, "work"), (middle, end, "training"), (end, ends, "work"))
        return [[agent_id, today, *spell] for spell in spells]
    return [[agent_id, today, starts, ends, "home" if number % 10 == 7 else "work"]]


# --- load.csv ---------------------------------------------------------------------------------------------


def load_csv(dice: Dice) -> str:
    """Calls an hour at all hours, and those that come on top in the mornings of Monday."""
    rows = []
    for team in range(1, TEAM_COUNT + 1):
        for market, low, high in zip(MARKETS, (11, 8, 6), (17, 13, 10), strict=True):
            calls = dice.number(low, high)
            portfolio_id = f"{market.name}-{team:02}"
            rows.append([portfolio_id, str(calls), "410", "", "", ""])
            rows.append([portfolio_id, f"{calls * 0.6:.1f}", "410", "mon", "09:00", "12:00"])
    rows.append(["front-consumer", "45", "330", "", "", ""])
    rows.append(["front-business", "20", "330", "", "", ""])
    return csv_text(LOAD_COLUMNS, rows)


def csv_text(columns: Sequence[str], rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in [list(columns), *rows])


if __name__ == "__main__":
    main()
