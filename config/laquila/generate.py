"""Writes the organisation of L'Aquila: ``organisation.toml``, ``agents.csv`` and ``clients.csv``.

    python config/laquila/generate.py [DIRECTORY]

The same three files, byte for byte, on every run: to change the organisation, change the tables below and run
again, or edit the files by hand and forget this script. People, clients and numbers are invented; README.md says
what comes from public sources.
"""

import random
import sys
from collections.abc import Sequence
from datetime import date
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
EASTER_MONDAYS = (date(2026, 4, 6), date(2027, 3, 29))
HOLIDAYS = ((1, 1), (1, 6), (4, 25), (5, 1), (6, 2), (8, 15), (10, 4), (11, 1), (12, 8), (12, 25), (12, 26))
"""National holidays by month and day; 4 October only from 2026 on, where these years start."""

AGENT_COLUMNS = ("agent_id", "team_id", "skills", "languages", "site_id", "supplier_id", "after_s")
CLIENT_COLUMNS = (
    "client_id", "portfolio_id", "owner", "backups", "valid_from", "valid_until", "numbers", "exclusions",
)  # fmt: skip


class Market(NamedTuple):
    """One of the three books of clients that every working group answers for."""

    name: str
    agents: int
    """How many of a group's agents own clients of this book."""
    skill: str
    level_min: int
    """Of the agents who own such clients, in ``skill``."""
    rules: str
    """The lines of its portfolios in organisation.toml."""


MARKETS = (
    Market(
        "gold", 7, "consumer", 2,
        """skills = [{ skill = "consumer", level = 2, relax = [{ after_s = 40, level = 1 }] }]
owner_wait_s = 20
max_wait_s = 600
fallback = { kind = "message", target = "gold-later" }
""",
    ),
    Market(
        "business", 7, "business", 3,
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
        "premium", 6, "consumer", 3,
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
        "agents.csv": agents_csv(members, Dice(SEED)),
        "clients.csv": clients_csv(members, Dice(SEED + 1)),
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

[[sites]]
site_id = "aquila"
country = "IT"
seats = 250

[[sites]]
site_id = "roma"
country = "IT"
seats = 50

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
{market.rules}{opening()}"""


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
{opening()}"""


def opening() -> str:
    days = [date(monday.year, month, day) for monday in EASTER_MONDAYS for month, day in HOLIDAYS]
    closed = sorted(day for day in (*days, *EASTER_MONDAYS) if day.isoweekday() != 7)
    return f"""\
hours = {{ days = "mon-sat", opens = "08:00", closes = "21:00" }}
closed_on = "{" ".join(map(str, closed))}"
"""


# --- agents.csv -------------------------------------------------------------------------------------------


def agents_csv(members: list[Member], dice: Dice) -> str:
    rows = [laquila_agent(member, dice) for member in members]
    for team in range(1, ROMA_TEAM_COUNT + 1):
        for place in range(TEAM_SIZE):
            agent_id = f"R{(team - 1) * TEAM_SIZE + place + 1:02}"
            skills = {"consumer": dice.number(2, 4), "business": dice.number(1, 4), "billing": dice.number(1, 3)}
            rows.append([agent_id, f"roma-{team}", skills_cell(skills), languages(dice), "", "", ""])
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
    of_operator = member.team <= TEAM_COUNT - TEAMS_OF_THE_OPERATOR and member.is_reserve
    supplier = "operator" if of_operator else ""
    after_s = "45" if member.is_reserve else ""
    return [member.agent_id, f"aquila-{member.team:02}", skills_cell(skills), spoken, "", supplier, after_s]


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


def clients_csv(members: list[Member], dice: Dice) -> str:
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
                rows += owner_change(row, called, dice)
            else:
                rows.append([*row, "", "", called, excluded])
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


def csv_text(columns: Sequence[str], rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\n" for row in [list(columns), *rows])


if __name__ == "__main__":
    main()
