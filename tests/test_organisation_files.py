"""The organisation's files: what can be written, and how every mistake is reported where it can be mended."""

import gzip
import json
import runpy
from collections import Counter
from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.core.errors import OrganisationError, Problem
from router.core.model import (
    Agent,
    AgentId,
    Client,
    ClientId,
    Fallback,
    FallbackKind,
    Hours,
    Link,
    OrganisationDescription,
    Ownership,
    PortfolioId,
    Relaxation,
    Skill,
    SkillNeed,
    TeamId,
    Weekday,
)
from router.core.organisation import Organisation
from router.organisation_files import load_organisation, read_organisation
from router.pseudonym import Pseudonymiser
from router.settings import load_settings

CONFIG = Path(__file__).parent.parent / "config"
PSEUDONYM = Pseudonymiser(b"a key for the tests of the files").of

AGENTS_HEADER = "agent_id,team_id,skills,languages,site_id,supplier_id,after_s\n"
CLIENTS_HEADER = "client_id,portfolio_id,owner,backups,valid_from,valid_until,numbers,exclusions\n"
NAMES_FILES = 'agents_file = "agents.csv"\nclients_file = "clients.csv"\n'


def write(folder: Path, **texts: str) -> Path:
    """Writes ``organisation.toml``, and ``agents.csv`` and ``clients.csv`` where given."""
    for name, text in texts.items():
        (folder / f"{name}.{'toml' if name == 'organisation' else 'csv'}").write_text(text, encoding="utf-8")
    return folder / "organisation.toml"


def load(folder: Path, **texts: str) -> OrganisationDescription:
    return load_organisation(write(folder, **texts), pseudonym=PSEUDONYM)


def problems(folder: Path, **texts: str) -> list[Problem]:
    with pytest.raises(OrganisationError) as caught:
        load(folder, **texts)
    return list(caught.value.problems)


# --- What can be written ----------------------------------------------------------------------------------


def test_short_and_full_forms_say_the_same(tmp_path: Path) -> None:
    short = """
    [[portfolios]]
    portfolio_id = "gold"
    teams = ["aquila-3", { team_id = "cagliari-1", after_s = 20 }]
    skills = ["data", "gold:2", { skill = "retention", level = 3, relax = { after_s = 30, level = 1 } }]
    countries = "IT"
    max_wait_s = "none"
    fallback = { kind = "portfolio", target = "p2" }
    hours = [{ days = "mon-wed sat", opens = "08:00", closes = "24:00" }]
    closed_on = "2026-12-25"
    [[agents]]
    agent_id = "A1"
    team_id = "aquila-3"
    skills = "gold:3 data"
    languages = "it en"
    [[clients]]
    client_id = "C1"
    owner = "A1"
    backups = "A2 A3"
    """
    full = """
    [[portfolios]]
    portfolio_id = "gold"
    teams = [{ team_id = "aquila-3", after_s = 0 }, { team_id = "cagliari-1", after_s = 20 }]
    skills = [
      { skill = "data", level = 1 },
      { skill = "gold", level = 2, relax = [] },
      { skill = "retention", level = 3, relax = [{ after_s = 30, level = 1 }] },
    ]
    countries = ["IT"]
    max_wait_s = "none"
    fallback = { kind = "portfolio", target = "p2" }
    hours = [{ days = ["mon", "tue", "wed", "sat"], opens = 08:00:00, closes = 00:00:00 }]
    closed_on = [2026-12-25]
    [[agents]]
    agent_id = "A1"
    team_id = "aquila-3"
    skills = { gold = 3, data = 1 }
    languages = ["it", "en"]
    [[clients]]
    client_id = "C1"
    owner = "A1"
    backups = ["A2", "A3"]
    """

    described = load(tmp_path, organisation=short)

    assert described == load(tmp_path, organisation=full)
    (portfolio,) = described.portfolios
    assert portfolio.teams == (Link(TeamId("aquila-3")), Link(TeamId("cagliari-1"), after_s=20))
    retention = SkillNeed(Skill("retention"), 3, (Relaxation(30, 1),))
    assert portfolio.skills == (SkillNeed(Skill("data")), SkillNeed(Skill("gold"), 2), retention)
    assert portfolio.max_wait_s is None
    assert portfolio.fallback == Fallback(FallbackKind.PORTFOLIO, "p2")
    days = (Weekday.MON, Weekday.TUE, Weekday.WED, Weekday.SAT)
    assert portfolio.hours == (Hours(days=days, opens=time(8), closes=time(0)),)
    assert portfolio.closed_on == (date(2026, 12, 25),)
    assert described.agents[0].skills == {"gold": 3, "data": 1}
    assert described.clients[0].ownerships == (Ownership(owner=AgentId("A1"), backups=(AgentId("A2"), AgentId("A3"))),)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ('"mon-fri"', "mon tue wed thu fri"),
        ('"fri-mon"', "fri sat sun mon"),
        ('"sun-sun"', "sun"),
        ('"mon, wed-thu"', "mon wed thu"),
        ('["mon-tue", "sun"]', "mon tue sun"),
        ("[]", ""),
    ],
)
def test_days_are_words_and_ranges(tmp_path: Path, days: str, expected: str) -> None:
    hours = f'hours = {{ days = {days}, opens = "08:30", closes = "20:00" }}'

    described = load(tmp_path, organisation=f'[[portfolios]]\nportfolio_id = "p"\nteams = "t"\n{hours}')

    assert list(described.portfolios[0].hours[0].days) == expected.split()


def test_rows_know_where_they_stand(tmp_path: Path) -> None:
    described = load(
        tmp_path,
        organisation=NAMES_FILES + '[[sites]]\nsite_id = "a"\ncountry = "IT"\n[[agents]]\nagent_id="A0"\nteam_id="t"',
        agents=AGENTS_HEADER + "A1,t,,,,,\n\nA2,t,,,,,\n",
        clients=CLIENTS_HEADER + "C1,,,,,,,\n",
    )

    assert described.where == "organisation.toml"
    assert described.sites[0].where == "organisation.toml, sites entry 1"
    assert [agent.where for agent in described.agents] == [
        "organisation.toml, agents entry 1",
        "agents.csv, row 2",
        "agents.csv, row 4",
    ]
    assert described.clients[0].where == "clients.csv, row 2"


def test_cells_are_read_like_their_fields_and_empty_ones_are_defaults(tmp_path: Path) -> None:
    agents = 'team_id,agent_id,skills,languages,after_s\n t , A1 ,"gold:3, data",it en,45\nt,A2,,,\n'

    described = load(tmp_path, organisation='agents_file = "agents.csv"', agents=agents)

    assert described.agents == (
        Agent(
            agent_id=AgentId("A1"),
            team_id=TeamId("t"),
            skills={Skill("gold"): 3, Skill("data"): 1},
            languages=("it", "en"),
            after_s=45,
            where="agents.csv, row 2",
        ),
        Agent(agent_id=AgentId("A2"), team_id=TeamId("t"), where="agents.csv, row 3"),
    )


def test_planners_fields_are_read_and_must_agree(tmp_path: Path) -> None:
    agents = "agent_id,team_id,contract_until\nA1,t,2026-12-31\nA2,t,\n"
    header = "client_id,owner,valid_from,valid_until,minutes_a_month\n"
    organisation = 'agents_file = "agents.csv"\nclients_file = "clients.csv"\n'
    rows = "C1,A1,,2027-01-01,90\nC1,A2,2027-01-01,,\nC2,A1,,,0\nC3,A1,,,\n"

    described = load(tmp_path, organisation=organisation, agents=agents, clients=header + rows)

    assert [agent.contract_until for agent in described.agents] == [date(2026, 12, 31), None]
    assert [client.minutes_a_month for client in described.clients] == [90, 0, None]
    wrong = rows.replace("2027-01-01,,\n", "2027-01-01,,80\n").replace("C2,A1,,,0", "C2,A1,,,44641")
    assert [
        str(each) for each in problems(tmp_path, organisation=organisation, agents=agents, clients=header + wrong)
    ] == [
        "clients.csv, row 3, minutes_a_month: differs from clients.csv, row 2: "
        "repeat what that says, or leave this empty",
        "clients.csv, row 4, minutes_a_month: '44641' is not a whole number from 0 to 44640",
    ]


@pytest.mark.parametrize(
    ("content"),
    [
        b"agent_id,team_id\nA1,t\n",
        b"agent_id;team_id\r\nA1;t\r\n",
        b"agent_id\tteam_id\nA1\tt",
        b'\xef\xbb\xbf"agent_id","team_id"\n"A1","t"\n,\n',
    ],
)
def test_spreadsheets_of_any_country_are_understood(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "agents.csv").write_bytes(content)

    described = load(tmp_path, organisation='agents_file = "agents.csv"')

    assert [(agent.agent_id, agent.team_id) for agent in described.agents] == [("A1", "t")]


def test_packed_files_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "clients.csv.gz").write_bytes(gzip.compress(b"client_id,owner\nC1,A1\n"))

    described = load(tmp_path, organisation='clients_file = "clients.csv.gz"')

    assert described.clients[0].ownerships[0].owner == "A1"
    assert described.clients[0].where == "clients.csv.gz, row 2"


def test_rows_of_one_client_become_its_ownerships(tmp_path: Path) -> None:
    rows = "C1,gold,A1,A2,,2026-06-01,+390862000001,A9\nC2,gold,,,,,,\nC1,,A2,A1,2026-06-01,,,\n"

    described = load(tmp_path, organisation=NAMES_FILES, agents=AGENTS_HEADER, clients=CLIENTS_HEADER + rows)

    changes_on = date(2026, 6, 1)
    assert described.clients == (
        Client(
            client_id=ClientId("C1"),
            portfolio_id=PortfolioId("gold"),
            ownerships=(
                Ownership(owner=AgentId("A1"), backups=(AgentId("A2"),), valid_until=changes_on),
                Ownership(owner=AgentId("A2"), backups=(AgentId("A1"),), valid_from=changes_on),
            ),
            callers=(PSEUDONYM("+390862000001"),),
            exclusions=(AgentId("A9"),),
            where="clients.csv, row 2; clients.csv, row 4",
        ),
        Client(client_id=ClientId("C2"), portfolio_id=PortfolioId("gold"), where="clients.csv, row 3"),
    )


def test_numbers_become_pseudonyms_and_are_not_kept(tmp_path: Path) -> None:
    rows = "C1,gold,,,,,+390862000001 0862/000002,\n"

    described = load(tmp_path, organisation='clients_file = "clients.csv"', clients=CLIENTS_HEADER + rows)

    assert described.clients[0].callers == (PSEUDONYM("+390862000001"), PSEUDONYM("+390862000002"))
    assert "00000" not in repr(described)


# --- What is refused --------------------------------------------------------------------------------------

MISTAKEN_ORGANISATION = """
skills = ["gold", "two words"]
default_portfolio = 7
agent_file = "agents.csv"
agents_file = "agents.csv"
clients_file = "clients.csv"
[[sites]]
site_id = "aquila"
country = "Italy"
seats = -1
[[sites]]
country = "IT"
[[teams]]
team_id = "aquila-1"
site_id = "aquila"
supplier_id = "outsourcer"
stratgy = "longest_idle"
strategy = "longest idle"
own_first = "yes"
backups = ["aquila-2", { team_id = "aquila-3", after = 20 }]
[[portfolios]]
portfolio_id = "gold"
teams = ["aquila-1", { team_id = "aquila-2", after_s = "20" }]
skills = [{ skill = "gold", levle = 3, relax = [{ after_s = 30 }] }]
hours = { days = "mon-fri sum", opens = "8:00", closes = "20:00" }
closed_on = [2026-12-25, "26/12/2026"]
"""
MISTAKEN_AGENTS = """\
agent_id,team_id,skils,skills,languages,after_s
A1,aquila-1,,gold:11 gold:2,it english,soon
A2,,,gold:11,it,20
A3,aquila-1,gold
A 4,aquila-1,,gold:0,it,20.5
"""
MISTAKEN_CLIENTS = """\
client_id,portfolio_id,owner,backups,valid_from,valid_until,numbers,exclusions
C1,gold,A1,A2 A/3,2026-02-30,,+390862000001 n/a,
C2,gold,A1,,,,,
C2,silver,A1,,,,+390862000002,
C3,+39 0862 000003,A1,1 2 3 4 5 6 7 8 9,,,,
"""
ID = "is not an id: 1 to 64 letters, digits and . _ : @ - without spaces"
EXPECTED = [
    "organisation.toml, agent_file: there is no such key: did you mean agents_file?",
    f"organisation.toml, skills entry 2: 'two words' {ID}",
    f"organisation.toml, default_portfolio: 7 {ID}",
    "organisation.toml, sites entry 1, country: 'Italy' is not a country code of two capital letters, such as IT",
    "organisation.toml, sites entry 1, seats: -1 is not a whole number from 0 to 1000000",
    (
        "organisation.toml, sites entry 2, site_id: is missing: it must be an id: 1 to 64 letters, "
        "digits and . _ : @ - without spaces"
    ),
    "organisation.toml, teams entry 1, stratgy: there is no such field: did you mean strategy?",
    (
        "organisation.toml, teams entry 1, strategy: 'longest idle' is not one of longest_idle, "
        "least_occupied, most_skilled, least_flexible, idlest_team: did you mean longest_idle?"
    ),
    "organisation.toml, teams entry 1, own_first: 'yes' is not true or false",
    "organisation.toml, teams entry 1, backups entry 2, after: there is no such field: did you mean after_s?",
    "organisation.toml, portfolios entry 1, teams entry 2, after_s: '20' is not a whole number from 0 to 604800",
    "organisation.toml, portfolios entry 1, skills, levle: there is no such field: did you mean level?",
    "organisation.toml, portfolios entry 1, skills, relax, level: is missing: it must be a whole number from 0 to 10",
    (
        "organisation.toml, portfolios entry 1, hours, days: 'sum' is not one of mon, tue, wed, thu, "
        "fri, sat, sun: did you mean sun?"
    ),
    "organisation.toml, portfolios entry 1, hours, opens: '8:00' is not a time such as 08:30",
    "organisation.toml, portfolios entry 1, closed_on entry 2: '…' is not a date such as 2026-12-31",
    "agents.csv, row 1, skils: there is no such column: did you mean skills?",
    "agents.csv, row 2, skills: 'gold:11 gold:2' names a skill twice: keep one level of it",
    (
        "agents.csv, row 2, languages entry 2: 'english' is not a language code of two or three small "
        "letters, such as it"
    ),
    "agents.csv, row 2, after_s: 'soon' is not a whole number from 0 to 604800",
    "agents.csv, row 3, team_id: is missing: it must be an id: 1 to 64 letters, digits and . _ : @ - without spaces",
    "agents.csv, row 3, skills gold: 11 is not a whole number from 1 to 10",
    "agents.csv, row 4: has 3 cells, the header has 6: mend its separators",
    f"agents.csv, row 5, agent_id: 'A 4' {ID}",
    "agents.csv, row 5, skills gold: 0 is not a whole number from 1 to 10",
    "agents.csv, row 5, after_s: '20.5' is not a whole number from 0 to 604800",
    f"clients.csv, row 2, backups entry 2: 'A/3' {ID}",
    "clients.csv, row 2, valid_from: '2026-02-30' is not a date such as 2026-12-31",
    "clients.csv, row 2, numbers entry 2: 'n/a' is not a telephone number without spaces, such as +390862000001",
    "clients.csv, row 4, portfolio_id: differs from clients.csv, row 3: repeat what that says, or leave this empty",
    "clients.csv, row 4, numbers: differs from clients.csv, row 3: repeat what that says, or leave this empty",
    f"clients.csv, row 5, portfolio_id: '…' {ID}",
    "clients.csv, row 5, backups: '…' is not a list of at most 8",
]


def test_every_mistake_is_reported_with_its_file_row_and_field(tmp_path: Path) -> None:
    found = problems(tmp_path, organisation=MISTAKEN_ORGANISATION, agents=MISTAKEN_AGENTS, clients=MISTAKEN_CLIENTS)

    assert [str(problem) for problem in found] == EXPECTED


def test_what_can_be_read_is_returned_with_the_problems(tmp_path: Path) -> None:
    """One bad field does not make every reference to its row a mistake too."""
    file = write(tmp_path, organisation=MISTAKEN_ORGANISATION, agents=MISTAKEN_AGENTS, clients=MISTAKEN_CLIENTS)

    described, _ = read_organisation(file, PSEUDONYM)

    assert described.skills == ("gold",)
    assert [team.team_id for team in described.teams] == ["aquila-1"]
    assert [link.team_id for link in described.teams[0].backups] == ["aquila-2", "aquila-3"]
    assert [portfolio.portfolio_id for portfolio in described.portfolios] == ["gold"]
    assert [agent.agent_id for agent in described.agents] == ["A1"]
    assert [client.client_id for client in described.clients] == ["C1", "C2", "C3"]


@pytest.mark.parametrize(
    ("organisation", "field", "message"),
    [
        ("sites = 3", "sites", "must be tables: write [[sites]] above each, and its fields below it"),
        ("sites = [3]", "", "3 is not a table with fields such as site_id, country, time_zone"),
        ("agents_file = 3", "agents_file", "3 is not the path of a file"),
        ("[[sites]]\nwhere = 'here'\nsite_id = 'a'\ncountry = 'IT'", "where", "there is no such field: remove it"),
        ("skills = 'gold', 'data'", "", "is not valid TOML: Expected newline or end of document after a statement"),
        ("a = [" + "[" * 5_000, "", "is not TOML that can be read: its brackets are nested too deeply"),
        ("sites = " + "9" * 5_000, "", "is not valid TOML: Exceeds the limit"),
        ("default_portfolio = 0x" + "f" * 5_000, "default_portfolio", "this number is not an id"),
    ],
)
def test_other_mistakes_in_toml(tmp_path: Path, organisation: str, field: str, message: str) -> None:
    (problem,) = problems(tmp_path, organisation=organisation)

    assert problem.where.startswith("organisation.toml")
    assert problem.field == field
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("agents", "where", "field", "message"),
    [
        (b"", "agents.csv, row 1", "", "the header line is missing: name the columns, such as agent_id,team_id"),
        (b"agent_id\n", "agents.csv, row 1", "team_id", "this column is missing: add it to the header line"),
        (b"agent_id,team_id,team_id\n", "agents.csv, row 1", "team_id", "this column stands twice: keep one"),
        (b"agent_id,team_id,\nA1,t,\n", "agents.csv, row 1", "", "column 3 has no name: name it, or remove it"),
        (b"agent_id,team_id,where\nA1,t,x\n", "agents.csv, row 1", "where", "there is no such column: remove it"),
        (b"agent_id,team_id\nA1,citt\xe0\n", "agents.csv", "", "is not UTF-8 text"),
        (b"agent_id,team_id\nA1," + b"t" * 200_000, "agents.csv", "", "is not CSV: field larger than field limit"),
    ],
)
def test_other_mistakes_in_csv(tmp_path: Path, agents: bytes, where: str, field: str, message: str) -> None:
    (tmp_path / "agents.csv").write_bytes(agents)

    (problem,) = problems(tmp_path, organisation='agents_file = "agents.csv"')

    assert (problem.where, problem.field) == (where, field)
    assert problem.message.startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "there is no such file: looked for"),
        ("folder.csv", "cannot be read: it is not a plain file"),
        ("torn.csv.gz", "cannot be read: Compressed file ended before the end-of-stream marker"),
        ("plain.csv.gz", "cannot be read: Not a gzipped file"),
        ("damaged.csv.gz", "cannot be read: Error -3 while decompressing data"),
        ("x" * 300, "cannot be read: File name too long"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    packed = gzip.compress(b"client_id\n" + b"C1\n" * 100)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "torn.csv.gz").write_bytes(packed[:-12])
    (tmp_path / "plain.csv.gz").write_bytes(b"client_id\n")
    (tmp_path / "damaged.csv.gz").write_bytes(packed[:10] + b"\xff" * 20)

    (problem,) = problems(tmp_path, organisation=f'clients_file = "{name}"')

    assert (problem.where, problem.field) == (name, "")
    assert problem.message.startswith(message)


def test_a_missing_organisation_is_named(tmp_path: Path) -> None:
    with pytest.raises(OrganisationError, match="there is no such file: looked for"):
        load_organisation(tmp_path / "organisation.toml", pseudonym=PSEUDONYM)


def test_one_client_in_two_rows_without_dates_is_reported(tmp_path: Path) -> None:
    clients = CLIENTS_HEADER + "C1,gold,,,,,,\nC1,,A1,,,,,\n"

    (problem,) = problems(tmp_path, organisation='clients_file = "clients.csv"', clients=clients)

    assert (problem.where, problem.field) == ("clients.csv, row 3", "client_id")


def test_a_number_is_never_shown(tmp_path: Path) -> None:
    """Not where it belongs, nor in a column that it slipped into, nor as the header of a file without one."""
    organisation = NAMES_FILES + 'default_portfolio = "+39 0863 000001"\n"+390863000001" = 1'
    agents = "+390863000001,agent_id,team_id\n1,+39 0863/000.001,0039-0863-000001\n"
    clients = CLIENTS_HEADER + "C1,gold,,,(0863)000001,,+39() +390863000001x,\n"

    found = problems(tmp_path, organisation=organisation, agents=agents, clients=clients)

    assert len(found) == 7
    assert "0863" not in str(found)


def test_semantic_problems_join_those_of_reading(tmp_path: Path) -> None:
    """A row that can be read stays checkable, so that both kinds can be shown at once."""
    described, found = read_organisation(
        write(tmp_path, organisation='[[agents]]\nagent_id = "A1"\nteam_id = "ghosts"\nafter_s = -1'), PSEUDONYM
    )

    with pytest.raises(OrganisationError) as caught:
        Organisation(described)

    assert [problem.field for problem in found] == ["after_s"]
    assert ("organisation.toml, agents entry 1", "team_id") in {(p.where, p.field) for p in caught.value.problems}


def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    """100 MB of text, from 100 kB; in the header, in a row, and in rows that a forgotten quote makes one."""
    path = write(tmp_path, organisation='agents_file = "agents.csv.gz"')
    rows = (AGENTS_HEADER + "A1,t,,,,,\n").encode()
    for start, piece in ((b"", b","), (rows, b"x"), (rows + b'"', b'\n","')):
        with gzip.open(tmp_path / "agents.csv.gz", "wb", compresslevel=1) as file:
            file.write(start)
            for _ in range(100):
                file.write(piece * (1_000_000 // len(piece)))

        _, (problem,) = read_organisation(path, PSEUDONYM)

        assert problem.where == ("agents.csv.gz, after row 2" if start else "agents.csv.gz")
        assert "a row has more than 1,000,000 characters" in problem.message


def test_toml_that_unpacks_to_far_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "organisation.toml.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(100):
            file.write(b"# \n" * 250_000)

    _, (problem, *_) = read_organisation(path, PSEUDONYM)

    assert "has more than 20,000,000 characters" in problem.message


def test_problems_are_not_collected_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.tables._PROBLEMS_MAX", 10)
    rows = "A1,t,gold:99\n" * 12
    path = write(tmp_path, organisation=NAMES_FILES, agents="agent_id,team_id,skills\n" + rows, clients=CLIENTS_HEADER)

    _, found = read_organisation(path, PSEUDONYM)

    assert found[-1].where == "agents.csv, from row 12"
    assert "10 problems so far" in found[-1].message


# --- Whatever is written ----------------------------------------------------------------------------------

SEEDS = (MISTAKEN_ORGANISATION, NAMES_FILES, AGENTS_HEADER + "A1,t,gold:3,it,,,\n", MISTAKEN_CLIENTS)
KEYS = st.sampled_from([
    "skills", "default_portfolio", "agents_file", "clients_file", "sites", "teams", "portfolios", "agents",
    "clients", "site_id", "country", "team_id", "portfolio_id", "agent_id", "client_id", "backups", "after_s",
    "hours", "days", "opens", "closes", "fallback", "kind", "relax", "level", "closed_on", "numbers", "owner",
    "valid_from", "max_wait_s", "where",
])  # fmt: skip
VALUES = st.recursive(
    st.none().map(lambda _: "none")
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["A1", "mon-sun", "08:00", "25:00", "gold:3", "2026-12-31", "callback", "+390862000001"])
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
PROBE = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


@st.composite
def damaged(draw: st.DrawFn, seed: str) -> bytes:
    """A file, with a piece of it replaced by bytes."""
    content = seed.encode()
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 40)))
    return content[:start] + draw(st.binary(max_size=20)) + content[end:]


def check_reads_or_says_why(folder: Path) -> None:
    described, found = read_organisation(folder / "organisation.toml", PSEUDONYM)

    assert all(problem.where and problem.message for problem in found)
    assert described.where == "organisation.toml"


@PROBE
@given(st.dictionaries(KEYS, VALUES | st.lists(st.dictionaries(KEYS, VALUES), max_size=3), max_size=6))
def test_any_toml_is_read_or_refused_with_reasons(tmp_path: Path, content: dict[str, object]) -> None:
    write(tmp_path, organisation="\n".join(f"{key} = {toml(value)}" for key, value in content.items()))

    check_reads_or_says_why(tmp_path)


@PROBE
@given(*(st.binary(max_size=60) | damaged(seed) for seed in SEEDS[1:]))
def test_any_bytes_are_read_or_refused_with_reasons(
    tmp_path: Path, organisation: bytes, agents: bytes, clients: bytes
) -> None:
    for name, content in (("organisation.toml", organisation), ("agents.csv", agents), ("clients.csv", clients)):
        (tmp_path / name).write_bytes(content)

    check_reads_or_says_why(tmp_path)


@pytest.fixture(scope="module")
def laquila() -> dict[str, list[str]]:
    """The lines of the large example, as many of each file as make a small one."""
    names = ("organisation.toml", "agents.csv", "clients.csv")
    return {name: (CONFIG / "laquila" / name).read_text(encoding="utf-8").splitlines()[:30] for name in names}


CELLS = st.one_of(
    st.sampled_from(["", "+39 0999 87654321", "0999-87654321 ", '"', "gold:3 gold:4", "2026-13-01", "9" * 30, "none"]),
    st.text(max_size=8),
    st.integers(1, 40).map(lambda length: "A1 " * length),
)


@settings(PROBE, derandomize=True)
@given(data=st.data())
def test_laquila_with_other_cells_lines_and_encodings_is_read_or_refused_with_reasons(
    tmp_path: Path, laquila: dict[str, list[str]], data: st.DataObject
) -> None:
    """Whatever is wrong, every problem names file and row, and none shows a telephone number."""
    for name, original in laquila.items():
        lines = list(original)
        for _ in range(data.draw(st.integers(0, 4))):
            place = data.draw(st.integers(0, len(lines) - 1))
            cells = lines[place].split(",")
            cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(CELLS)
            lines[place] = data.draw(st.sampled_from([",", ",", ",", ";", "\t", "|"])).join(cells)
            if data.draw(st.booleans()):
                lines.insert(data.draw(st.integers(0, len(lines))), lines[place])
        encoding = data.draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "latin-1", "utf-16"]))
        content = data.draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\0"])).join(lines)
        (tmp_path / name).write_bytes(content.encode(encoding, errors="replace"))

    _, found = read_organisation(tmp_path / "organisation.toml", PSEUDONYM)

    assert all(problem.where.startswith(tuple(laquila)) and problem.message for problem in found)
    assert "87654321" not in str(found)


# --- The examples -----------------------------------------------------------------------------------------


def example(name: str) -> Organisation:
    file = load_settings(CONFIG / name, {}).organisation.file
    return Organisation(load_organisation(file, pseudonym=PSEUDONYM))


PLAN = """
[[move_plans]]
move_plan_id = "home"
portfolios = "residential business"
to_sites = "lecce"
deadline = 2018-09-30
agents = 220

[[move_plans.steps]]
step_id = "first"
valid_from = 2018-05-14
shares = {shares}
agents_moved = {moved}
{more}
"""


def test_a_move_plan_has_its_steps_below_it(tmp_path: Path) -> None:
    (plan,) = load(tmp_path, organisation=PLAN.format(shares="{ lecce = 10000 }", moved=220, more="")).move_plans

    assert (plan.portfolios, plan.to_sites, plan.where) == (
        ("residential", "business"),
        ("lecce",),
        "organisation.toml, move_plans entry 1",
    )
    assert [(step.step_id, step.valid_from, step.shares) for step in plan.steps] == [
        ("first", date(2018, 5, 14), {"lecce": 10_000})
    ]


def test_mistakes_in_a_step_are_told_with_the_step(tmp_path: Path) -> None:
    text = PLAN.format(shares="{ lecce = 10001, roma = 5.5 }", moved='"many"', more="share = 5\n")

    told = {str(problem) for problem in problems(tmp_path, organisation=text)}

    where = "organisation.toml, move_plans entry 1, steps, "
    assert told == {
        where + "share: there is no such field: did you mean shares?",
        where + "shares lecce: 10001 is not a whole number from 0 to 10000",
        where + "shares roma: 5.5 is not a whole number from 0 to 10000",
        where + "agents_moved: 'many' is not a whole number from 0 to 1000000",
    }


def test_the_script_writes_the_files_of_laquila_again() -> None:
    written = runpy.run_path(str(CONFIG / "laquila/generate.py"))["files"]()

    assert set(written) == {"organisation.toml", "agents.csv", "clients.csv", "roster.csv", "load.csv"}
    for name, text in written.items():
        assert (CONFIG / "laquila" / name).read_bytes() == text.encode(), f"run config/laquila/generate.py: {name}"


def test_laquila_has_the_size_that_is_documented() -> None:
    laquila = example("laquila")
    own = [agent for agent in laquila.agents.values() if agent.team_id.startswith("aquila")]
    clients = laquila.description.clients

    owned = Counter(client.ownerships[0].owner for client in clients)

    assert laquila.sites["aquila"].seats == 250  # type: ignore[index]
    assert set(Counter(agent.team_id for agent in own).values()) == {20}
    assert len(own) == len(owned) == 400
    assert len(laquila.agents) == 460
    assert set(owned) == {agent.agent_id for agent in own}
    assert 30 <= min(owned.values()) <= max(owned.values()) <= 45
    assert 14_500 <= len(clients) <= 15_500
    assert len({client.portfolio_id for client in clients}) == 60
    assert 0.5 <= sum(bool(client.callers) for client in clients) / len(clients) <= 0.6


def test_in_laquila_owner_and_backups_are_of_the_owning_group_and_skilled() -> None:
    laquila = example("laquila")

    for client in laquila.description.clients:
        assert client.portfolio_id is not None
        portfolio = laquila.portfolios[client.portfolio_id]
        for ownership in client.ownerships:
            assert len({ownership.owner, *ownership.backups}) == 3
            assert not {ownership.owner, *ownership.backups} & set(client.exclusions)
            for agent_id in (ownership.owner, *ownership.backups):
                assert agent_id is not None
                agent = laquila.agents[agent_id]
                assert agent.team_id == portfolio.teams[0].team_id
                assert all(agent.skills.get(need.skill, 0) >= need.level for need in portfolio.skills)


def test_in_laquila_a_call_reaches_the_neighbours_and_then_roma() -> None:
    routes = example("laquila").routes[PortfolioId("gold-01")]

    assert [(route.team_id, route.reach_ms) for route in routes] == [
        ("aquila-01", 0),
        ("aquila-02", 20_000),
        ("roma-1", 60_000),
    ]


def test_the_small_example_has_the_path_of_the_first_call() -> None:
    small = example("small")
    client = small.find_client(ClientId("C17"), None)

    route = small.routes[PortfolioId("gold-north")][1]

    assert client is not None
    assert client.portfolio_id == "gold-north"
    assert route.hops == ("portfolio gold-north", "team aquila-3", "after 20 s: team cagliari-1")
    assert small.agents[AgentId("A204")].team_id == "cagliari-1"
