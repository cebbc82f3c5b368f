"""``router share adjust`` through a real broker to a real router."""

import asyncio
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from router import command_line
from router.cli import main
from router.service.service import Service
from tests.reports.protocol_year import OUT, description
from tests.service.running import new_shard, running

SMALL = Path(__file__).parents[1] / "config" / "small"


class Done(NamedTuple):
    status: int
    out: str
    error: str


Run = Callable[..., Done]


@pytest.fixture
def shard(mosquitto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shard of the test's own, of which the command knows."""
    shard = new_shard()
    monkeypatch.setenv("ROUTER_MQTT__URL", mosquitto_url)
    monkeypatch.setenv("ROUTER_MQTT__SHARD", shard)
    return shard


@pytest.fixture
def adjust(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*given: str) -> Done:
        told = ("--contract", "out", "--country", "IT", "--reason", "on paper", "--by", "ada", *given)
        monkeypatch.setattr(sys, "argv", ["router", "share", "adjust", *told, str(SMALL)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, error = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, " ".join(error.split()))

    return run


def corrected(service: Service) -> list[tuple[str, int, int, int, str]]:
    books = service._decider.engine.books(now_ms=0)
    return [(str(each.day), each.calls, each.talk_ms, each.agent_ms, each.made_by) for each in books.adjustments]


@pytest.mark.broker
async def test_the_running_router_corrects_what_it_has_counted(
    mosquitto_url: str, shard: str, adjust: Run, tmp_path: Path
) -> None:
    async with running(mosquitto_url, tmp_path / "j.db", shard=shard, load=lambda: description(OUT)) as service:
        day = ("--day", "2018-03-20")
        done = await asyncio.to_thread(adjust, *day, "--calls", "4", "--talk-s", "90", "--id", "paper-1")
        again = await asyncio.to_thread(adjust, *day, "--calls", "4", "--talk-s", "90", "--id", "paper-1")
        fewer = await asyncio.to_thread(adjust, *day, "--calls", "-1", "--json")
        refused = await asyncio.to_thread(adjust, *day, "--calls", "-4")
        outside = await asyncio.to_thread(adjust, "--day", "2017-05-03", "--agent-s", "1")

        assert (done.status, again.status, fewer.status) == (0, 0, 0)
        assert re.fullmatch(r"contract out, 2018-03-20, IT: corrected, offset \d+ of the journal\n", done.out)
        assert "was corrected by this before" in again.out
        assert '"type": "accepted"' in fewer.out
        assert refused == (1, "", "error: wrong_amount: calls: 4 cannot be taken from the 3 of IT on 2018-03-20")
        assert outside.error.startswith("error: wrong_day: 2017-05-03 is outside of contract out")
        assert corrected(service) == [("2018-03-20", 4, 90_000, 0, "ada"), ("2018-03-20", -1, 0, 0, "ada")]


@pytest.mark.broker
def test_without_a_router_it_says_how_to_try_again_without_correcting_twice(
    shard: str, adjust: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "_ANSWER_TIMEOUT_S", 0.1)

    done = adjust("--day", "2018-03-20", "--calls", "1", "--id", "paper-2")

    assert done.status == 1
    assert f"is a router at work on shard {shard}" in done.error
    assert done.error.endswith("add --id paper-2")


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        (("--day", "20 March"), 1, "'20 March' is no day: write it as 2018-03-20"),
        (("--day", "2018-03-20", "--calls", "2000000"), 1, "this is no correction: Expected `int` <= 1000000"),
        (("--day", "2018-03-20", "--country", "Italy"), 1, "country"),
        (("--calls", "1"), 2, "--day"),
    ],
)
def test_what_is_no_correction_is_not_sent(adjust: Run, given: tuple[str, ...], status: int, says: str) -> None:
    done = adjust(*given)

    assert done.status == status
    assert says in done.error
