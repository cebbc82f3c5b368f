"""Nothing personal comes out of a router that is told phone numbers in every form, at log level DEBUG.

Each number holds ten digits of its own, its mark. Afterwards everything that came out is searched for the marks: log,
output, metrics, state, explanations, messages, error texts, and all that the journal holds. What is legible only after
decompressing is decompressed first; digits are found however they are grouped, and as a number in binary.
"""

import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from urllib.parse import quote

import msgpack  # type: ignore[import-untyped]  # msgpack has no type hints
import pytest

from router.core.decisions import OfferCall
from router.core.events import CallConnected, CallEnded, OfferAccepted
from router.core.model import CallId
from router.gateway import Gateway
from router.journal import SqliteJournal
from router.pseudonym import Pseudonymiser, load_or_create_key
from router.service.mqtt import Connection, Message
from router.wire import decode_record
from tests.brokers import Mosquitto, free_port
from tests.service.running import next_of, ready

SMALL = Path(__file__).parents[2] / "config" / "small"
IN = "acd/v1/in/main"

# The command itself, but louder than it can be made.
LOUD = """
import logging, sys
from router import cli
normal = cli._log_to_stderr
def loud(_):
    normal(logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("router.service").debug("loud enough")
cli._log_to_stderr = loud
sys.argv[0] = "router"
cli.main()
"""


class Marks:
    """Phone numbers, each with digits that are nowhere else."""

    def __init__(self) -> None:
        self._numbers = count()
        self.all: dict[str, str] = {}
        """What each mark was sent as."""

    def _new(self, form: str) -> str:
        mark = f"97{next(self._numbers):03}86421"
        self.all[mark] = form
        return mark

    def number(self, form: str) -> str:
        """In international form, which is no id because of the plus sign."""
        return f"+390862{self._new(form)}"

    def digits(self, form: str) -> str:
        """In national form, which looks like an id."""
        return f"0862{self._new(form)}"

    def grouped(self, form: str) -> str:
        mark = self._new(form)
        return f"(0862) {mark[:3]} {mark[3:5]}-{mark[5:]}"

    def found_in(self, data: bytes) -> dict[str, str]:
        """The marks in *data*, and what they were sent as."""
        bare = re.sub(rb"[\s().\-/]", b"", data)
        found = {}
        for mark, form in self.all.items():
            numbers = (int(mark), int(f"390862{mark}"), int(f"862{mark}"))
            binary = [number.to_bytes(8, order) for number in numbers for order in ("big", "little")]
            if mark.encode() in data or mark.encode() in bare or any(number in data for number in binary):
                found[mark] = form
        return found


def pack(**fields: object) -> bytes:
    packed: bytes = msgpack.packb({"v": 1, **fields})
    return packed


def refused(marks: Marks) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of what a platform should not send, but may."""
    ids = map("e{}".format, count())
    arrived: dict[str, object] = {"type": "call_arrived", "call_id": "c9"}
    call, agent, admin = f"{IN}/call/c9", f"{IN}/agent/A101", f"{IN}/admin/reload"

    # A number where none belongs.
    for field in ("caller", "client_id", "portfolio_id", "segment", "language"):
        yield call, pack(id=next(ids), **arrived, **{field: marks.number(field)})
        yield call, pack(id=next(ids), **arrived, **{field: marks.grouped(f"{field}, grouped")})
    for field, value in [
        ("skills", [{"skill": marks.number("skill"), "level": 1}]),
        ("skills", marks.number("skills")),
        ("countries", [marks.number("countries")]),
        ("head_start_s", int(marks.number("head_start_s"))),
        ("caller_number", int(marks.number("a number as a number"))),
        ("caller_number", [marks.number("a list of numbers")]),
        ("caller_number", marks.number("a number in bytes").encode()),
    ]:
        yield call, pack(id=next(ids), **arrived, **{field: value})
    yield call, pack(id=next(ids), **arrived, caller="ab" * 16, caller_number=marks.number("both"))
    for field in ("site_id", "seat", "country"):
        yield agent, pack(id=next(ids), type="agent_signed_in", agent_id="A101", **{field: marks.number(field)})
    yield agent, pack(id=next(ids), type="agent_not_ready", agent_id="A101", reason=marks.number("reason"))
    for field in ("call_id", "offer_id"):
        answer: dict[str, object] = {"call_id": "c9", "offer_id": "o9", field: marks.number(f"{field} of an answer")}
        yield agent, pack(id=next(ids), type="offer_accepted", agent_id="A101", **answer)

    # A number as an id, a type, a version, a key, a topic.
    yield call, pack(id=marks.number("event id"), **arrived)
    yield call, pack(id=next(ids), type="call_arrived", call_id=marks.number("call id"))
    yield call, pack(id=next(ids), type="call_arrived", call_id=marks.digits("another call id than in the topic"))
    yield agent, pack(id=next(ids), type="agent_ready", agent_id=marks.number("agent id"))
    yield call, pack(id=next(ids), type=marks.number("type"), call_id="c9")
    yield call, msgpack.packb({"v": marks.number("version"), "id": next(ids), **arrived})
    yield call, msgpack.packb(dict([("v", 1), ("id", next(ids)), *arrived.items(), (int(marks.digits("key")), 1)]))
    yield admin, pack(id=next(ids), type="reload_requested", reason=marks.number("field of a reload"))
    yield admin, pack(id=next(ids), **arrived, caller_number=marks.number("a call on the topic of a reload"))
    for topic in ("call/{} x", "number/{}", "agent/{}/x", "{}"):
        yield f"{IN}/{topic.format(marks.digits(f'topic {topic}'))}", pack(id=next(ids), **arrived)

    # What cannot be read at all.
    whole = pack(id=next(ids), **arrived, caller_number=marks.number("cut short"))
    yield call, whole[:-1]
    yield call, whole + b"\xc1"
    yield call, f"caller={marks.number('plain text')}".encode()
    yield call, json.dumps({**arrived, "caller_number": marks.number("JSON")}).encode()
    yield call, msgpack.packb([marks.number("a list")])
    yield call, msgpack.packb(msgpack.ExtType(5, marks.number("an extension").encode()))
    yield call, b"\xd9\xff" + marks.number("a length that is wrong").encode()
    yield call, pack(id=next(ids), **arrived, caller_number=marks.number("too large"), filler="x" * 20_000)
    yield (
        call,
        pack(id=next(ids), **arrived, nested={"deep": [{marks.number("nested key"): marks.number("nested")}] * 3}),
    )


def accepted(marks: Marks) -> Iterator[tuple[str, bytes]]:
    """What becomes a pseudonym, counts as withheld, or is a field that the router does not know."""
    calls = map("c1{}".format, count())
    for number in (
        marks.number("international"), marks.digits("national"), marks.grouped("grouped"),
        f"0039 {marks.grouped('00 39')}", f"sip:{marks.number('SIP')}@example.org", f"tel:{marks.number('tel')};ext=1",
        marks.number("too long") * 2, f"{marks.number('with a name')} (Anna)",
    ):  # fmt: skip
        call_id = next(calls)
        payload = pack(id=f"a-{call_id}", type="call_arrived", call_id=call_id, caller_number=number)
        yield f"{IN}/call/{call_id}", payload
    call_id = next(calls)
    unknown = {"number": marks.number("unknown field"), "from": {"number": marks.grouped("unknown table")}}
    yield f"{IN}/call/{call_id}", pack(id=f"a-{call_id}", type="call_arrived", call_id=call_id, **unknown)


def organisation(folder: Path, marks: Marks) -> str:
    """config/small with numbers; returns the one of client C17."""
    shutil.copytree(SMALL, folder, ignore=shutil.ignore_patterns("var", "secrets"))
    known = marks.number("client C17")
    file = folder / "organisation.toml"
    file.write_text(
        'clients_file = "clients.csv"\n'
        + file.read_text().replace('client_id = "C17"\n', f'client_id = "C17"\nnumbers = "{known}"\n')
    )
    (folder / "clients.csv").write_text(
        f"client_id,portfolio_id,numbers\nC20,gold-north,{marks.number('CSV')} {marks.digits('CSV, national')}\n"
    )
    return known


def spoil(folder: Path, marks: Marks) -> None:
    """Numbers in all the wrong places of the files."""
    (folder / "clients.csv").write_text(
        f"client_id,portfolio_id,owner,valid_from,exclusions,numbers,{marks.digits('name of a column')}\n"
        f"{marks.number('client id')},gold-north,A101,,,,\n"
        f"C21,{marks.number('portfolio')},,,,,\n"
        f"C22,gold-north,{marks.number('owner')},,,,\n"
        f"C23,gold-north,,{marks.number('date')},,,\n"
        f"C24,gold-north,,,{marks.number('exclusion')},,\n"
        f"C25,gold-north,,,,{marks.number('letters')}x,\n"
        f"C26,gold-north,,,,tel:{marks.number('tel')},\n"
        f'C27,gold-north,,,,"{marks.grouped("grouped")}",\n'
        f"C28,{marks.number('too many cells')},,,,,,,,,\n"
        f"C29,gold-north,{marks.digits('owner, national')},,,,\n"
    )
    file = folder / "organisation.toml"
    file.write_text(
        f'default_portfolio = "{marks.number("default portfolio")}"\n"{marks.number("key")}" = 1\n'
        + re.sub("^default_portfolio.*\n", "", file.read_text(), flags=re.MULTILINE)
        + f'\n[[clients]]\nclient_id = "{marks.number("client id, TOML")}"\n'
        + f'\n[[clients]]\nclient_id = "C30"\nnumbers = [{marks.digits("no text")[1:]}, "{marks.number("x")}x"]\n'
    )


class Heard(list[bytes]):
    def __call__(self, message: Message) -> None:
        self.append(message.topic.encode() + b"\n" + message.payload)
        message.acknowledge()


def in_journal(file: Path) -> bytes:
    """All that is in the journal: its bytes, its records as they are read, its snapshots decompressed."""
    held = [each.read_bytes() for each in sorted(file.parent.iterdir())]
    journal = SqliteJournal(file, read_only=True)
    held += [repr(decode_record(record.body)).encode() for record in journal.read("main")]
    held += [
        zlib.decompress(memoryview(journal.get_snapshot("main", offset))[1:])
        for offset in journal.snapshot_offsets("main")
    ]
    journal.close()
    return b"\n".join(held)


@pytest.mark.broker
async def test_no_phone_number_comes_out(tmp_path: Path) -> None:
    marks = Marks()
    known = organisation(tmp_path / "conf", marks)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER_")}
    port = free_port()
    journal = tmp_path / "var" / "journal.db"
    settings = {"HTTP__PORT": str(port), "JOURNAL__FILE": str(journal), "PSEUDONYM__KEY_FILE": str(tmp_path / "key")}
    environment |= {f"ROUTER_{name}": value for name, value in settings.items()}
    came_out: dict[str, bytes] = {}

    def command(*arguments: object) -> bytes:
        ran = subprocess.run(
            [sys.executable, "-m", "router", *map(str, arguments)], env=environment, capture_output=True, timeout=60
        )
        return ran.stdout + ran.stderr

    def get(path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = str(answer.getheaders()).encode() + answer.read()
        connection.close()
        return body

    with Mosquitto(tmp_path) as mosquitto, (tmp_path / "out").open("wb") as out, (tmp_path / "log").open("wb") as log:
        environment["ROUTER_MQTT__URL"] = mosquitto.url
        arguments = [sys.executable, "-c", LOUD, "run", str(tmp_path / "conf"), "--show"]
        process = subprocess.Popen(arguments, env=environment, stdout=out, stderr=log)
        heard = Heard()
        try:
            async with (
                Connection(mosquitto.url, deliver=heard) as platform,
                Gateway(mosquitto.url, resend_s=0.5) as gateway,
            ):
                await platform.subscribe(["acd/v1/out/#"])
                await ready(gateway, "A101")
                # The client's own call, from beginning to end.
                payload = pack(id="known", type="call_arrived", call_id="c1", caller_number=known)
                await platform.publish(f"{IN}/call/c1", payload)
                offer = (await next_of(gateway, OfferCall)).message
                assert isinstance(offer, OfferCall)
                came_out["explanation of an offer"] = get("/api/explain/c1")
                await gateway.send(
                    OfferAccepted(agent_id=offer.agent_id, call_id=offer.call_id, offer_id=offer.offer_id)
                )
                await gateway.send(CallConnected(call_id=CallId("c1")))
                sent = 0
                for topic, payload in [*accepted(marks), *refused(marks)]:
                    await platform.publish(topic, payload)
                    sent += 1
                spoil(tmp_path / "conf", marks)
                await platform.publish(f"{IN}/admin/reload", pack(id="reload", type="reload_requested"))
                process.send_signal(signal.SIGHUP)
                await gateway.send(CallEnded(call_id=CallId("c1")))
                async with asyncio.timeout(20):
                    while sum(b"organisation_invalid" in message for message in heard) < 1:
                        await asyncio.sleep(0.05)
                for path in ("/", "/metrics", "/api/state", "/readyz", "/api/explain/c10", "/api/explain/c18"):
                    came_out[path] = await asyncio.to_thread(get, path)
                for form in (marks.number("asked for"), marks.digits("asked for, like an id"), marks.grouped("asked")):
                    came_out[f"answer to {form}"] = await asyncio.to_thread(get, f"/api/explain/{quote(form, safe='')}")
                    await asyncio.to_thread(get, f"/{quote(form, safe='')}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
    came_out |= {"messages": b"\n".join(heard), "output": (tmp_path / "out").read_bytes()}
    came_out |= {"log": (tmp_path / "log").read_bytes(), "journal": in_journal(journal)}
    came_out["check"] = command("check", tmp_path / "conf")
    came_out["check as JSON"] = command("check", tmp_path / "conf", "--json")
    came_out["explain from the journal"] = command("explain", "c10", tmp_path / "conf")
    came_out["graph"] = command("graph", SMALL, "--json")

    # The run was what it should have been, so that there was something to find.
    assert process.returncode == 0, came_out["log"].decode()
    assert sent > 50
    assert b"rejected" in came_out["messages"]
    assert b"DEBUG" in came_out["log"]
    assert Pseudonymiser(load_or_create_key(tmp_path / "key")).of(known).encode() in came_out["journal"]
    assert b"C17" in came_out["explanation of an offer"]
    assert b"problems" in came_out["check"]

    leaks = {where: found for where, data in came_out.items() if (found := marks.found_in(data))}
    assert leaks == {}
    assert_no_ids_label(came_out["/metrics"].decode())


def assert_no_ids_label(metrics: str) -> None:
    """Labels are portfolios, teams and closed sets: of a call, a client or an agent not even the id."""
    labels = set(re.findall(r'[{,](\w+)="([^"]*)"', metrics))

    names = {name for name, _ in labels}
    values = {value for _, value in labels}
    assert names <= {
        "portfolio", "team", "state", "outcome", "result", "le", "event", "decision", "rule", "reason", "version",
        "generation", "implementation", "major", "minor", "patchlevel",
    }  # fmt: skip
    assert {value for name, value in labels if name == "portfolio"} == {"gold-north"}
    assert {value for name, value in labels if name == "team"} == {"aquila-3", "cagliari-1"}
    assert not [value for value in values if re.fullmatch(r"A\d{3}|C\d\d|c\d+|e\d+|a-c\d+", value)]


def test_a_mark_is_found_wherever_it_is() -> None:
    marks = Marks()
    number = marks.number("x")
    mark = number[-10:]

    for leak in (
        number.encode(), f"{number[:9]} {number[9:12]}-{number[12:]}".encode(), msgpack.packb({"n": int(number)}),
        msgpack.packb(int(mark)), f"call from ({mark[:4]}) {mark[4:]}".encode(),
    ):  # fmt: skip
        assert marks.found_in(b"... " + leak + b" ...") == {mark: "x"}
    assert marks.found_in(b"98765") == {}
