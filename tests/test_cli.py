"""The commands as their users meet them: real processes, real files, an embedded broker."""

import asyncio
import http.client
import json
import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

from router.core.decisions import ConnectCall, OfferCall, QueueCall, Rule
from router.core.events import (
    AgentReady,
    AgentSignedIn,
    CallAbandoned,
    CallArrived,
    CallConnected,
    CallEnded,
    OfferAccepted,
)
from router.core.model import AgentId, CallId, ClientId
from router.core.shares import Outlook
from router.gateway import Gateway
from router.journal import SqliteJournal
from router.service.mqtt import Access, BrokerError
from tests.brokers import free_port
from tests.service.running import next_of, ready

PROJECT = Path(__file__).parent.parent
CONFIG = PROJECT / "config"
SMALL = CONFIG / "small"
EXAMPLE_LOG = CONFIG / "logs" / "example.csv"
# The licence of the bank's log is unclear: it lies beside the project and is never copied into it.
BANK_LOG = PROJECT.parent / "shared" / "data" / "bank-1999-02.csv.gz"
PATIENCE_S = 20.0


class Done(NamedTuple):
    status: int
    out: str
    error: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Everything that a router writes goes to a directory of the test's own, and it listens on ports of its own."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ROUTER_", "COLUMNS"))}
    return ours | {
        "ROUTER_HTTP__PORT": str(free_port()),
        "ROUTER_MQTT__EMBEDDED_PORT": str(free_port()),
        "ROUTER_JOURNAL__FILE": str(tmp_path / "var" / "journal.db"),
        "ROUTER_PSEUDONYM__KEY_FILE": str(tmp_path / "secrets" / "key"),
    }


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "router", *map(str, arguments)]


def router(environment: Mapping[str, str], *arguments: object) -> Done:
    """Run a command to its end."""
    done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


class Running:
    """``router run``, from the moment it is ready until the block ends."""

    def __init__(self, environment: Mapping[str, str], tmp_path: Path, *arguments: object) -> None:
        self._environment = environment
        self._command = command("run", *arguments)
        self._error = tmp_path / f"stderr-{environment['ROUTER_HTTP__PORT']}"
        self._port = int(environment["ROUTER_HTTP__PORT"])
        self.url = environment.get("ROUTER_MQTT__URL", f"mqtt://127.0.0.1:{environment['ROUTER_MQTT__EMBEDDED_PORT']}")
        self.process: subprocess.Popen[str]

    def __enter__(self) -> Self:
        started_s = time.monotonic()
        with self._error.open("a") as error:
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdout=subprocess.PIPE, stderr=error, text=True
            )
        while self.get("/readyz") is None:
            assert self.process.poll() is None, self.error
            assert time.monotonic() - started_s < PATIENCE_S, "the router is not ready"
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def error(self) -> str:
        return self._error.read_text()

    def get(self, path: str) -> Any:
        """What the router answers; None: nothing yet, or an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return json.loads(answer.read()) if answer.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def portfolios(self) -> dict[str, dict[str, Any]]:
        return {each["portfolio_id"]: each for each in self.get("/api/state")["portfolios"]}

    def portfolio(self) -> dict[str, Any]:
        """The one of config/small."""
        return self.portfolios()["gold-north"]

    def read_until(self, word: str) -> str:
        """The first line of the output that holds *word*."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if word in line:
                return line
        raise AssertionError(f"{word} was never shown:\n{self.error}")

    def players(self) -> list[int]:
        """The processes that it has started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """The exit status after a signal."""
        self.process.send_signal(number)
        self.process.communicate(timeout=10)
        assert "Traceback" not in self.error, self.error
        return self.process.returncode


def wait_gone(process_id: int) -> None:
    give_up_s = time.monotonic() + 10
    while Path(f"/proc/{process_id}").exists():
        assert time.monotonic() < give_up_s, "the process goes on"
        time.sleep(0.05)


@pytest.fixture
def small_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL, tmp_path / "small", ignore=shutil.ignore_patterns("var")))


@pytest.fixture
def main(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """Run a command in this process: what starts no loop and no child is the same there, and twenty times as fast."""
    from router import cli, command_line

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # As in a pipe, wherever pytest writes to.
    monkeypatch.setattr(command_line.console, "width", 200)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["router", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, error = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Done(exit_.value.code, out, error)

    # Commands that talk to a broker have a log, for the rest of the process's life.
    loggers = [logging.getLogger(name) for name in ("", "router", "router.service.mqtt")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield run
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


# --- The command itself ---


def test_version_and_help(environment: dict[str, str], main: Any) -> None:
    assert router(environment, "--version").out.startswith("router 0.")
    alone = main()
    assert alone.status == 2
    assert all(name in alone.error for name in ("run", "check", "play", "replay", "explain", "graph"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["frobnicate"], 2, "No such command 'frobnicate'; see router --help"),
        (["check", "--jsn"], 2, "No such option: --jsn"),
        (["explain"], 2, "Missing argument 'CALL'; see router explain --help"),
        (["run", SMALL, "--play", "0"], 2, "--play"),
        (["play", SMALL, "--speed", "-1"], 2, "--speed"),
        (["play", SMALL, "--hours", "-1"], 2, "--hours"),
        (["play", SMALL, "--seed", "-1"], 2, "--seed"),
        (["play", SMALL, "--mapping", "x.toml"], 2, "--log is to name"),
        (["play", SMALL, "--log", "nothing.csv"], 2, "--mapping is missing"),
        (["replay", "nothing.csv"], 2, "--mapping is missing"),
        (["replay", EXAMPLE_LOG, "--owner-wait-s", "-3"], 2, "--owner-wait-s"),
        (["replay", EXAMPLE_LOG, "--owner-mode", "never"], 2, "--owner-mode"),
        (["replay", EXAMPLE_LOG, "--owner-worth-s", "60"], 2, "--owner-wait-s 300"),
        (["replay", EXAMPLE_LOG, "--mapping", "nothing.toml"], 1, "nothing.toml"),
        (["replay", EXAMPLE_LOG, "--mapping", SMALL / "router.toml"], 1, "unknown field `organisation`"),
        (["replay", EXAMPLE_LOG, "--mapping", CONFIG / "logs" / "bank-1999.toml"], 1, "is `delimiter` right?"),
        (["replay", "nothing.csv", "--mapping", CONFIG / "logs" / "example.toml"], 1, "nothing.csv"),
        (["check", "nowhere"], 1, "there is no such file: looked for"),
        (["run", "nowhere"], 1, "there is no such file: looked for"),
        (["graph", SMALL, "--portfolio", "gold-nort"], 1, "did you mean 'gold-north'?"),
        (["graph", SMALL, "--figure", "x.pdf"], 1, "name the file .png or .svg"),
        (["graph", SMALL, "--figure", "/nowhere/x.png"], 1, "cannot write /nowhere/x.png"),
        (["explain", "c1", SMALL], 1, "no router is running, and there is no journal"),
    ],
)
def test_an_error_is_one_line(main: Any, arguments: list[object], status: int, words: str) -> None:
    done = main(*arguments)

    assert done.status == status
    # `check` answers on standard output, whatever it finds.
    (line,) = (done.error or done.out).splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_output_that_nobody_reads_any_more_is_no_error(environment: dict[str, str]) -> None:
    pipeline = f"{' '.join(command('graph', CONFIG / 'laquila', '--json'))} | head -n 1"

    done = subprocess.run(pipeline, shell=True, env=environment, capture_output=True, text=True, timeout=60)

    assert done.stdout == "{\n"
    assert done.stderr == ""


# --- check ---


def test_check_finds_the_examples_without_problems(main: Any, tmp_path: Path) -> None:
    done = main("check", CONFIG / "laquila")
    document = main("check", SMALL, "--json").document

    assert (done.status, done.error) == (0, "")
    assert "no problems: 2 sites, 23 teams, 460 agents" in done.out
    assert document == {
        "problems": [], "warnings": [], "sites": 2, "teams": 2, "agents": 4, "portfolios": 1, "clients": 3, "skills": 2,
    }  # fmt: skip
    assert not (tmp_path / "secrets").exists(), "whoever only looks makes no key"


def test_check_prints_twenty_mistakes_with_file_row_and_field(main: Any, small_copy: Path) -> None:
    file = small_copy / "organisation.toml"
    agents = "agent_id,team_id,skills\n" + "".join(f"B{row},aquila-3,consumer:{90 + row}\n" for row in range(16))
    (small_copy / "agents.csv").write_text(agents)
    text = (
        file.read_text().replace('language = "it"', 'language = "Italian"').replace("in_house = false", "in_hause = 1")
    )
    text = text.replace('country = "IT"', 'country = "Italy"', 1).replace('owner = "A102"', 'owner = "A999"')
    file.write_text('agents_file = "agents.csv"\n' + text)

    done = main("check", small_copy)
    document = main("check", small_copy, "--json").document

    assert done.status == 1
    shown = " ".join(done.out.split())
    assert "organisation.toml, portfolios entry 1 language 'Italian' is not a language code" in shown
    assert "organisation.toml, suppliers entry 2 in_hause there is no such field: did you mean in_house?" in shown
    assert "organisation.toml, clients entry 3 owner there is no agent 'A999'" in shown
    assert "agents.csv, row 2 skills consumer 90 is not a whole number from 1 to 10" in shown
    assert "agents.csv skills consumer ... and 11 more of this field" in shown
    assert len(document["problems"]) >= 20
    assert {"where": "agents.csv, row 17", "field": "skills consumer"}.items() <= document["problems"][
        -2
    ].items() or any(problem["where"] == "agents.csv, row 17" for problem in document["problems"])


def test_check_reports_settings_too(main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "router.toml"
    file.write_text("[http]\nport = 99999\nhots = 1\n")
    monkeypatch.setenv("ROUTER_HTTP__PROT", "1")

    done = main("check", file)
    document = main("check", file, "--json").document

    assert done.status == 1
    assert "3 problems" in done.out
    assert {problem["field"] for problem in document["problems"]} == {"http.port", "http.hots", "ROUTER_HTTP__PROT"}


def test_check_warns_of_more_backups_than_the_settings_want(main: Any, small_copy: Path) -> None:
    with (small_copy / "router.toml").open("a") as file:
        file.write("\n[portfolios]\nbackups_max = 0\n")

    done = main("check", small_copy)

    assert done.status == 0
    assert "warning: 1 clients have more than 0 backups (portfolios.backups_max), the first of them C17" in done.out


def test_check_warns_of_secrets_in_the_wrong_place(
    main: Any, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key beside the journal, and open to everybody; a token that is not there."""
    key = Path(environment["ROUTER_JOURNAL__FILE"]).with_name("pseudonym.key")
    key.parent.mkdir()
    key.write_text("ab" * 32)
    key.chmod(0o644)
    monkeypatch.setenv("ROUTER_PSEUDONYM__KEY_FILE", str(key))
    monkeypatch.setenv("ROUTER_HTTP__TOKEN_FILE", "/nowhere/token")

    done = main("check", SMALL)
    warnings = main("check", SMALL, "--json").document["warnings"]

    assert done.status == 0
    assert done.out.count("warning: ") == len(warnings) == 3
    assert warnings[0].startswith("http.token_file /nowhere/token does not exist")
    assert "lies in the directory of the journal" in warnings[1]
    assert f"can be read by every user of this machine: chmod 600 {key}" in warnings[2]


# --- graph ---


def test_graph_shows_the_organisation_and_a_portfolio(main: Any, tmp_path: Path) -> None:
    summary = main("graph", SMALL)
    alone = main("graph", SMALL, "--portfolio", "gold-north")
    document = main("graph", SMALL, "--json").document
    figures = [tmp_path / "all.svg", tmp_path / "one.png"]
    drawn = main("graph", SMALL, "--figure", figures[0])
    narrow = main("graph", SMALL, "--portfolio", "gold-north", "--figure", figures[1], "--json").document

    assert summary.status == alone.status == drawn.status == 0
    assert "1 portfolio of 3 clients" in summary.out
    assert "A101" in summary.out
    assert "Portfolio gold-north" in alone.out
    assert document["counts"]["agents"] == 4
    assert [reach["portfolio_id"] for reach in narrow["portfolios"]] == ["gold-north"]
    assert f"drawn to {figures[0]}" in drawn.out
    assert figures[0].read_text().startswith("<?xml")
    assert figures[1].read_bytes().startswith(b"\x89PNG")


# --- replay ---


def test_replay_shows_the_log_beside_the_router(main: Any) -> None:
    done = main("replay", EXAMPLE_LOG, "--owner-wait-s", "20")
    document = main("replay", EXAMPLE_LOG, "--owner-wait-s", "20", "--json").document

    assert done.status == 0
    assert "10 rows read, 9 used, 1 ignored, 0 refused" in done.out
    assert "- Owners: imputed for 2 of 3 identified clients" in done.out
    assert "example.csv: the log, and the router" in done.out
    assert f"{document['decisions']} decisions, digest {document['digest']}" in done.out
    assert document["log"]["total"]["offered"] == document["replayed"]["total"]["offered"] == 9
    assert document["rows"]["rows_used"] == 9


@pytest.mark.parametrize("text", ["", EXAMPLE_LOG.read_text().splitlines()[0] + "\n"], ids=["empty", "header only"])
def test_a_log_without_calls_is_an_error(main: Any, tmp_path: Path, text: str) -> None:
    log = tmp_path / "log.csv"
    log.write_text(text)

    done = main("replay", log, "--mapping", CONFIG / "logs" / "example.toml")

    assert done.status == 1
    assert len(done.error.splitlines()) == 1


def test_refused_rows_are_listed_up_to_a_point(main: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(EXAMPLE_LOG.read_text() + "T-9;too;few\n" * 30)

    done = main("replay", log, "--mapping", CONFIG / "logs" / "example.toml")

    assert "30 refused" in done.out
    assert done.out.count("the header has") == 10
    assert "... and 20 more refused" in done.out


def test_a_month_is_replayed_alike_whatever_the_hash_seed(environment: dict[str, str]) -> None:
    if not BANK_LOG.exists():
        reason = f"the bank's call log is not at {BANK_LOG}, and may not be copied into the project"
        if os.environ.get("ROUTER_TEST_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    before_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    arguments = command("replay", BANK_LOG, "--mapping", CONFIG / "logs" / "bank-1999.toml", "--json")
    running = [
        subprocess.Popen(
            arguments, env=environment | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for seed in ("1", "2")
    ]

    outputs = [process.communicate(timeout=110) for process in running]

    # Of processor time: tests run side by side.
    each_s = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before_s) / len(running)
    assert [process.returncode for process in running] == [0, 0], outputs
    assert outputs[0] == outputs[1]
    document = json.loads(outputs[0][0])
    assert document["replayed"]["total"]["offered"] == 31_125
    assert document["decisions"] > 90_000
    assert each_s < 30


# --- run, and explain ---


async def test_run_offers_a_call_and_explain_tells_why(environment: dict[str, str], tmp_path: Path, main: Any) -> None:
    with Running(environment, tmp_path, SMALL) as running:
        async with Gateway(running.url) as gateway:
            await ready(gateway, "A101")
            await gateway.send(CallArrived(call_id=CallId("c1"), client_id=ClientId("C17")))
            offer = (await next_of(gateway, OfferCall)).message
        live = main("explain", "c1", SMALL, "--json")
        table = main("explain", "c1", SMALL)
        unknown = main("explain", "c2", SMALL)
        impossible = main("explain", "a b", SMALL)
        status = running.stop()
    left = main("explain", "c1", SMALL, "--json")
    forgotten = main("explain", "c2", SMALL)

    assert isinstance(offer, OfferCall)
    assert offer.rule is Rule.OWNER
    assert status == 0
    assert live.status == left.status == 0
    assert live.document["rule"] == left.document["rule"] == "owner"
    assert "asking the journal" in left.error
    assert "A101" in table.out
    assert "offered by rule owner" in table.out
    for done, words in (
        (unknown, "call is not known"),
        (impossible, "1 to 64 letters"),
        (forgotten, "knows no call c2"),
    ):
        assert done.status == 1
        assert words in done.error
    assert "connected to mqtt://127.0.0.1" in running.error


async def test_calls_waiting_when_the_router_is_killed_keep_their_order(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """The agents' calls come back from the journal, first come first."""
    calls = [CallId(f"c{number}") for number in range(15)]
    with Running(environment, tmp_path, SMALL) as running:
        async with Gateway(running.url) as gateway:
            for call_id in calls:
                await gateway.send(CallArrived(call_id=call_id, client_id=ClientId("C18")))
            await gateway.send(CallAbandoned(call_id=calls.pop(7)))
        running.process.kill()
        running.process.wait()

    with Running(environment, tmp_path, SMALL) as running:
        assert running.portfolio()["waiting"] == len(calls)
        served = []
        async with Gateway(running.url) as gateway:
            await gateway.send(AgentSignedIn(agent_id=AgentId("A102")))
            for _ in calls:
                await gateway.send(AgentReady(agent_id=AgentId("A102")))
                offer = (await next_of(gateway, OfferCall)).message
                assert isinstance(offer, OfferCall)
                served.append(offer.call_id)
                await gateway.send(
                    OfferAccepted(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id)
                )
                await next_of(gateway, ConnectCall)
                await gateway.send(CallConnected(call_id=offer.call_id))
                await gateway.send(CallEnded(call_id=offer.call_id))
        assert running.portfolio()["outcomes"]["connected"] == len(calls)

    assert served == calls


def test_a_hang_up_signal_reads_the_organisation_again(
    environment: dict[str, str], tmp_path: Path, small_copy: Path
) -> None:
    file = small_copy / "organisation.toml"
    original = file.read_text()
    with Running(environment, tmp_path, small_copy) as running:
        file.write_text(original.replace('"gold-north"', '"silver"'))
        running.process.send_signal(signal.SIGHUP)
        give_up_s = time.monotonic() + PATIENCE_S
        while "silver" not in running.portfolios():
            assert time.monotonic() < give_up_s, running.error
            time.sleep(0.05)

        file.write_text(original.replace('teams = ["aquila-3"]', 'teams = ["nowhere"]'))
        running.process.send_signal(signal.SIGHUP)
        while "there is no team 'nowhere'" not in running.error:
            assert time.monotonic() < give_up_s, running.error
            time.sleep(0.05)

        assert "silver" in running.portfolios()
        assert running.stop() == 0


def test_run_refuses_a_port_that_is_taken_and_leaves_the_journal_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with Running(environment, tmp_path, SMALL) as running:
        same_broker_port = router(environment, "run", SMALL)
        same_http_port = router(environment | {"ROUTER_MQTT__EMBEDDED_PORT": str(free_port())}, "run", SMALL)

        # The second one has not claimed the journal, so the first one goes on.
        assert running.stop() == 0
    for done in (same_broker_port, same_http_port):
        assert done.status == 1
        (line,) = done.error.splitlines()
        assert "cannot listen on 127.0.0.1" in line
    journal = SqliteJournal(tmp_path / "var" / "journal.db")
    assert journal.claim("main") == 2
    journal.close()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("ROUTER_HTTP__HOST", "http.host: 0.0.0.0 is reached from other machines, and everybody could read: set"),
        (
            "ROUTER_MQTT__EMBEDDED_HOST",
            "the embedded broker would let everybody in: set mqtt.username and",
        ),
    ],
)
def test_run_opens_no_door_to_the_network_without_a_secret(main: Any, variable: str, words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(variable, "0.0.0.0")
        done = main("run", SMALL)

    assert done.status == 1
    assert words in done.error


def test_run_makes_no_second_key_for_a_journal(
    environment: dict[str, str], main: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With it every known caller would be unknown."""
    with Running(environment, tmp_path, SMALL) as running:
        assert running.stop() == 0
    key = Path(environment["ROUTER_PSEUDONYM__KEY_FILE"])
    key.rename(tmp_path / "moved.key")

    done = main("run", SMALL)

    assert done.status == 1
    assert f"there is no pseudonym key {key}, but the journal" in done.error
    assert not key.exists()


async def test_run_with_a_user_and_a_token(environment: dict[str, str], tmp_path: Path) -> None:
    """On loopback they are not asked for, but taken; every command uses them."""
    password, token = tmp_path / "password", tmp_path / "token"
    for file, secret in ((password, "hunter2: wörd"), (token, "0123456789abcdef")):
        file.touch(0o600)
        file.write_text(secret + "\n")
    environment |= {
        "ROUTER_MQTT__USERNAME": "router",
        "ROUTER_MQTT__PASSWORD_FILE": str(password),
        "ROUTER_HTTP__TOKEN_FILE": str(token),
    }
    access = Access(username="router", password_file=password)
    with Running(environment, tmp_path, SMALL) as running:
        async with Gateway(running.url, access=access) as gateway:
            await ready(gateway, "A101")
            await gateway.send(CallArrived(call_id=CallId("c1"), client_id=ClientId("C17")))
            await next_of(gateway, OfferCall)
        with pytest.raises(BrokerError, match="Not authorized"):
            await Gateway(running.url, connect_timeout_s=0.5).__aenter__()
        strangers_state = running.get("/api/state")
        explained = router(environment, "explain", "c1", SMALL, "--json")
        played = router(environment, "play", SMALL, "--hours", "0.001", "--quiet")
        error = running.error

    assert strangers_state is None
    assert explained.document["rule"] == "owner"
    assert "asking the journal" not in explained.error
    assert (played.status, played.error) == (0, "")
    assert "hunter2" not in error
    assert "0123456789abcdef" not in error


async def test_of_two_routers_on_one_journal_the_first_gives_way(environment: dict[str, str], tmp_path: Path) -> None:
    others = {"ROUTER_HTTP__PORT": str(free_port()), "ROUTER_MQTT__EMBEDDED_PORT": str(free_port())}
    with Running(environment, tmp_path, SMALL) as first, Running(environment | others, tmp_path, SMALL) as second:
        async with Gateway(first.url) as gateway:
            sending = asyncio.create_task(gateway.send(AgentSignedIn(agent_id=AgentId("A101"))))
            while first.process.poll() is None:
                await asyncio.sleep(0.05)
            sending.cancel()

        assert first.process.returncode == 1
        assert "another router has claimed it" in first.error
        assert second.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(environment: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    """Without a broker the first one waits for seconds, in case it comes back."""
    url = f"mqtt://127.0.0.1:{free_port()}"
    error = tmp_path / "stderr"
    with error.open("w") as stderr:
        process = subprocess.Popen(
            command("run", SMALL), env=environment | {"ROUTER_MQTT__URL": url}, stderr=stderr, stdout=subprocess.PIPE
        )
    try:
        assert process.stdout is not None
        while b"journal" not in process.stdout.readline():
            assert process.poll() is None, error.read_text()
        while "cannot connect to mqtt://127.0.0.1" not in error.read_text():
            time.sleep(0.02)
        process.send_signal(number)
        while "once more stops at once" not in error.read_text():
            time.sleep(0.02)
        process.send_signal(number)

        assert process.wait(2) == -number
    finally:
        process.kill()
        process.communicate()


def test_run_shows_and_plays(environment: dict[str, str], tmp_path: Path) -> None:
    with Running(environment, tmp_path, SMALL, "--show", "--play", "300", "--always-open") as running:
        line = running.read_until(" offer ")
        (player,) = running.players()
        assert running.stop(signal.SIGINT) == 0

    assert "gold-north" in line or "owner" in line or "backup" in line
    wait_gone(player)


def test_the_player_does_not_survive_its_router(environment: dict[str, str], tmp_path: Path) -> None:
    with Running(environment, tmp_path, SMALL, "--show", "--play", "300") as running:
        running.read_until(" offer ")
        (player,) = running.players()
        running.process.kill()

        wait_gone(player)


async def test_run_stops_when_nobody_reads_what_it_shows(environment: dict[str, str], tmp_path: Path) -> None:
    with Running(environment, tmp_path, SMALL, "--show") as running:
        assert running.process.stdout is not None
        running.process.stdout.close()
        async with Gateway(running.url) as gateway:
            await gateway.send(CallArrived(call_id=CallId("c1"), client_id=ClientId("C18")))
            await next_of(gateway, QueueCall)

            assert await asyncio.to_thread(running.process.wait, 10) == 0
        assert "Traceback" not in running.error


# --- play ---


def add_up(tally: dict[str, Any]) -> bool:
    return bool(tally["arrived"] == sum(tally["endings"].values()))


def test_play_counts_every_call_once(environment: dict[str, str], tmp_path: Path) -> None:
    with Running(environment, tmp_path, SMALL) as running:
        made_up = router(environment, "play", SMALL, "--speed", "500", "--hours", "0.2", "--json").document
        words = router(environment, "play", SMALL, "--speed", "500", "--log", EXAMPLE_LOG)

        assert running.portfolio()["arrived"] == made_up["arrived"] + 9
        assert running.get("/api/state")["calls_live"] == 0
    assert add_up(made_up)
    assert made_up["arrived"] > 0
    assert made_up["endings"]["under_way"] == 0
    assert words.status == 0
    assert words.out.startswith("9 calls arrived = ")


def test_the_protocol_is_played(environment: dict[str, str], tmp_path: Path) -> None:
    """Each answered call counts for one of its contracts, and every caller is told where the agent sits."""
    with Running(environment, tmp_path, CONFIG / "protocol", "--always-open") as running:
        played = router(environment, "play", CONFIG / "protocol", "--speed", "100", "--hours", "0.1", "--json")
        state = running.get("/api/state")

    counted = {each["contract_id"]: each["outlook"] for each in state["contracts"]}
    assert (played.status, add_up(played.document), list(counted)) == (
        0,
        True,
        ["protocol-in-house", "protocol-outsourced"],
    )
    answered = sum(each["outcomes"]["connected"] for each in state["portfolios"])
    assert sum(Outlook(*outlook).total for outlook in counted.values()) == answered > 0
    outsourced = Outlook(*counted["protocol-outsourced"])
    assert outsourced.inside * 10_000 >= 8_000 * outsourced.total > 0
    assert sum(each["unannounced"] for each in state["places"]) == 0


def test_the_reshoring_is_played(environment: dict[str, str], tmp_path: Path) -> None:
    """The pilot is taken by hand; then a tenth of the residential calls goes to Cagliari, two calls more or less."""
    with Running(environment, tmp_path, CONFIG / "reshoring", "--always-open") as running:
        taken = router(environment, "plan", "advance", CONFIG / "reshoring", "--override", "--by", "ana")
        played = router(environment, "play", CONFIG / "reshoring", "--speed", "100", "--hours", "0.1", "--json")
        (plan,) = running.get("/api/state")["move_plans"]

    assert (taken.status, played.status, add_up(played.document)) == (0, 0, True)
    (residential,) = (each for each in plan["portfolios"] if each["portfolio_id"] == "residential")
    answered = {site["site_id"]: site["answered"] for site in residential["sites"]}
    assert set(answered) == {"romania", "cagliari"}
    assert abs(10 * answered["cagliari"] - sum(answered.values())) <= 20
    assert plan["calls"] > sum(answered.values()) > 0


def test_play_outside_opening_hours(environment: dict[str, str], tmp_path: Path, small_copy: Path) -> None:
    today = datetime.now(UTC).date()
    days = " ".join(str(today + timedelta(days=days)) for days in (-1, 0, 1))
    file = small_copy / "organisation.toml"
    closed = f'language = "it"\nclosed_on = "{days}"\nfallback = "callback"'
    file.write_text(file.read_text().replace('language = "it"', closed, 1))
    with Running(environment, tmp_path, small_copy):
        tally = router(environment, "play", small_copy, "--speed", "500", "--hours", "0.2", "--json").document

    assert add_up(tally)
    assert tally["endings"]["called_back"] > 0
    assert tally["endings"]["talked"] == 0


def test_interrupted_play_hangs_up_and_still_adds_up(environment: dict[str, str], tmp_path: Path) -> None:
    with Running(environment, tmp_path, SMALL) as running:
        process = subprocess.Popen(
            command("play", SMALL, "--speed", "500", "--json"),
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        give_up_s = time.monotonic() + PATIENCE_S
        while running.portfolio()["arrived"] < 3:
            assert time.monotonic() < give_up_s, "nobody calls"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=15)

        assert running.get("/api/state")["calls_live"] == 0
    assert process.returncode == 130
    assert error == ""
    tally = json.loads(out)
    assert add_up(tally)
    assert tally["arrived"] >= 3


def test_play_without_a_broker_says_what_to_do(main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.cli.CONNECT_TIMEOUT_S", 0.3)

    done = main("play", SMALL)

    assert done.status == 1
    (line,) = done.error.splitlines()
    assert "Connection refused" in line
    assert f"start a router (router run {SMALL})" in line


def test_explain_is_not_fooled_by_another_server(main: Any, environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(environment["ROUTER_HTTP__PORT"]))) as server:
        server.settimeout(10)

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1_000)
                connection.send(b"SSH-2.0-OpenSSH_9.2\r\n")

        other = threading.Thread(target=answer)
        other.start()
        done = main("explain", "c1", SMALL)
        other.join()

    assert done.status == 1
    assert "is no router; check http.host and http.port" in done.error
