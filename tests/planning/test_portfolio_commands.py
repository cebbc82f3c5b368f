"""``router portfolio`` as planners meet it, on copies of the examples."""

import json
import os
import re
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from router import cli, command_line
from router.organisation_files import load_organisation

CONFIG = Path(__file__).parents[2] / "config"


class Done(NamedTuple):
    status: int
    out: str
    error: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    for name in [name for name in os.environ if name.startswith("ROUTER_")]:
        monkeypatch.delenv(name)
    # As in a pipe, wherever pytest writes to.
    monkeypatch.setattr(command_line.console, "width", 200)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["router", "portfolio", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, error = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Done(exit_.value.code, out, error)

    return run


def copy(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(CONFIG / name, folder / name, ignore=shutil.ignore_patterns("var", "secrets")))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The small example with its clients in a CSV file."""
    folder = copy("small", tmp_path)
    file = folder / "organisation.toml"
    text, _, _ = file.read_text().partition("[[clients]]")
    file.write_text('clients_file = "clients.csv"\n' + text)
    (folder / "clients.csv").write_text(
        "client_id;portfolio_id;owner;backups;valid_from;valid_until;minutes_a_month\n"
        "C17;gold-north;A101;A102;;;90\nC18;gold-north;;;;;\nC19;gold-north;A102;;;;30\n"
    )
    return folder


@pytest.fixture
def laquila(tmp_path: Path) -> Path:
    return copy("laquila", tmp_path)


def clients(folder: Path) -> str:
    return (folder / "clients.csv").read_text()


def test_sizes_are_shown(main: Any, small: Path) -> None:
    shown = main("sizes", small, "--minutes", "60")
    document = main("sizes", small, "--minutes", "60", "--json").document

    assert shown.status == 0
    assert "one agent can do 60, give or take 20 %" in shown.out
    assert re.search(r"A101 +aquila-3 +1 +90 +150 % +too much", shown.out)
    assert re.search(r"A102 +aquila-3 +1 +30 +50 % +too little", shown.out)
    assert "1 clients without owner: C18" in shown.out
    assert "1 clients say no minutes_a_month and count with 1 calls a month" in shown.out
    assert document["without_owner"] == ["C18"]
    assert [(agent["agent_id"], agent["verdict"]) for agent in document["agents"]] == [
        ("A101", "too_much"), ("A102", "too_little"), ("A203", None), ("A204", None),
    ]  # fmt: skip


def test_without_a_measure_sizes_say_how_to_set_one(main: Any, small: Path) -> None:
    assert "to compare, set portfolios.net_hours_a_year, or give --minutes" in main("sizes", small).out


def test_the_settings_say_what_an_agent_can_do(main: Any, small: Path) -> None:
    with (small / "router.toml").open("a") as file:
        file.write("\n[portfolios]\nnet_hours_a_year = 1396\noccupancy_percent = 75\n")

    assert "one agent can do 5,235, give or take 20 %" in main("sizes", small).out


def test_a_preview_writes_nothing(main: Any, small: Path) -> None:
    before = clients(small)

    shown = main("rebalance", small, "--leaving", "A101", "--on", "2040-01-01")

    assert shown.status == 0
    assert re.search(r"C17 +gold-north +A101 +A102 +from 2040-01-01 +90 +same group, backup 1 so far", shown.out)
    assert re.search(r"A102 +1 +2 +30 +120", shown.out)
    assert "a preview: nothing was written; --write does it" in shown.out
    assert clients(small) == before
    assert not (small / "clients.csv.before").exists()


def test_a_rebalance_is_written_and_taken_back(main: Any, small: Path) -> None:
    before = clients(small)

    done = main("rebalance", small, "--leaving", "A101", "--on", "2040-01-01", "--write")

    assert "router portfolio undo takes it back" in done.out
    assert "SIGHUP" in done.out
    assert clients(small) == (
        "client_id;portfolio_id;owner;backups;valid_from;valid_until;minutes_a_month\n"
        "C17;gold-north;A101;A102;;2040-01-01;90\nC17;;A102;A203;2040-01-01;;\n"
        "C18;gold-north;;;;;\nC19;gold-north;A102;;;;30\n"
    )
    load_organisation(small / "organisation.toml", pseudonym=str)

    undone = main("undo", small)
    assert undone.status == 0
    assert "taken back: rebalance: A101 gone from 2040-01-01" in undone.out
    assert clients(small) == before
    assert "there is nothing to take back" in main("undo", small).error


def test_a_delegation_is_written_and_ends_by_itself(main: Any, small: Path) -> None:
    days = ("--from", "2040-01-01", "--until", "2040-01-14")

    done = main("delegate", small, "--agent", "A101", *days, "--write", "--json")

    assert done.document["written"] is True
    assert [(move["client_id"], move["to_agent"]) for move in done.document["moves"]] == [("C17", "A102")]
    assert clients(small).splitlines()[1:4] == [
        "C17;gold-north;A101;A102;;2040-01-01;90",
        "C17;;A102;;2040-01-01;2040-01-15;",
        "C17;;A101;A102;2040-01-15;;",
    ]


def test_nothing_to_do_is_said_and_nothing_written(main: Any, small: Path) -> None:
    done = main("rebalance", small, "--leaving", "A204", "--write")

    assert (done.status, done.error) == (0, "")
    assert "nothing to do" in done.out
    assert not (small / "clients.csv.before").exists()


def test_who_cannot_be_placed_stands_out(main: Any, small: Path) -> None:
    done = main("rebalance", small, "--leaving", "A101", "--leaving", "A102", "--leaving", "A203", "--leaving", "A204")

    assert re.search(r"C17 +gold-north +A101 +nobody ", done.out)
    assert "0 of 2 clients get another owner" in done.out
    assert "nobody takes C17 C19" in done.out


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["rebalance"], 2, "say who leaves: --leaving AGENT, or --ending-by DATE"),
        (["rebalance", "--leaving", "A999"], 1, "there is no agent 'A999'"),
        (["rebalance", "--ending-by", "2040-01-01"], 1, "nobody's contract_until is 2040-01-01 or earlier"),
        (["rebalance", "--leaving", "A101", "--on", "2020-01-01"], 2, "--on 2020-01-01 is past"),
        (["rebalance", "--leaving", "A101", "--on", "soon"], 2, "'soon' does not match the format"),
        (["delegate", "--agent", "A101", "--until", "2020-01-01"], 1, "is before the first"),
        (["delegate", "--agent", "A101"], 2, "Missing option '--until'"),
        (["undo"], 1, "there is nothing to take back"),
    ],
)
def test_an_error_is_one_line(main: Any, small: Path, arguments: list[str], status: int, words: str) -> None:
    done = main(arguments[0], small, *arguments[1:])

    assert done.status == status
    (line,) = done.error.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize("command", [["rebalance", "--leaving", "A101", "--write"], ["undo"]])
def test_clients_in_toml_are_not_written(main: Any, command: list[str]) -> None:
    done = main(command[0], CONFIG / "small", *command[1:])

    assert done.status == 1
    assert "names no clients_file, and this writes no TOML: move its clients to a CSV file" in done.error


def test_contracts_that_end_are_handed_over_in_laquila(main: Any, laquila: Path) -> None:
    """Within the group, which afterwards has as much work as before; a second time there is nothing left to do."""
    path = laquila / "clients.csv"
    before = path.read_bytes()
    people = load_organisation(laquila / "organisation.toml", pseudonym=str)
    teams = {agent.agent_id: agent.team_id for agent in people.agents}
    day = date(2026, 12, 31)
    leaving = {agent.agent_id for agent in people.agents if agent.contract_until == day}

    done = main("rebalance", laquila, "--ending-by", day, "--write", "--json").document

    assert len(leaving) == 36
    assert {move["from_agent"] for move in done["moves"]} == leaving
    assert all(teams[move["to_agent"]] == teams[move["from_agent"]] for move in done["moves"])
    for team in set(teams.values()):
        loads = [load for load in done["loads"] if teams[load["agent_id"]] == team]
        assert sum(load["after_s"] for load in loads) == sum(load["before_s"] for load in loads)
    after = load_organisation(laquila / "organisation.toml", pseudonym=str)
    assert not {client.ownerships[-1].owner for client in after.clients} & leaving
    assert main("rebalance", laquila, "--ending-by", day, "--json").document["moves"] == []
    main("undo", laquila)
    assert path.read_bytes() == before
