"""The HTTP side, really served on a free port."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from msgspec import Struct

from router.core.errors import RouterError
from router.core.model import AgentStatus, CallId, Outcome, PortfolioId, TeamId
from router.core.summary import EngineSummary, PortfolioSummary, TeamSummary
from router.service.http import Address, create_app, read_token, serve
from router.service.metrics import Metrics

# One server for all: to stop one takes uvicorn a fifth of a second.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SUMMARY = EngineSummary(
    now_ms=60_000,
    portfolios=(
        PortfolioSummary(
            portfolio_id=PortfolioId("gold-north"),
            waiting=3,
            callbacks_waiting=1,
            oldest_wait_ms=12_500,
            arrived=20,
            outcomes={Outcome.CONNECTED: 11},
        ),
    ),
    teams=(TeamSummary(team_id=TeamId("aquila-3"), agents={AgentStatus.IDLE: 4}),),
    offers={},
    calls_live=7,
)


class Answer(Struct):
    call_id: CallId
    because: str


class House:
    """A router of which only the windows are built."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.live = True
        self.shown = Metrics(self.summary, version="1.2.3")

    def summary(self) -> EngineSummary:
        return SUMMARY

    def explain(self, call_id: CallId) -> Answer | None:
        return Answer(call_id, "all busy") if call_id == "c1:x@y" else None

    async def metrics(self) -> tuple[bytes, str]:
        return await self.shown.render_aside()

    def not_ready_because(self) -> str | None:
        return self.reason

    def is_live(self) -> bool:
        return self.live


@pytest.fixture(scope="module")
def house() -> House:
    return House()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(create_app(house), "127.0.0.1", 0) as address,
        httpx.AsyncClient(base_url=address.url) as client,
    ):
        yield client


async def test_metrics_are_those_of_prometheus(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'router_calls_waiting{portfolio="gold-north"} 3.0' in answer.text


async def test_ready_until_there_is_a_reason_not_to_be(
    http: httpx.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await http.get("/readyz")).status_code == 200

    monkeypatch.setattr(house, "reason", "not connected to the broker at mqtt://127.0.0.1:1883")
    answer = await http.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {"error": "not connected to the broker at mqtt://127.0.0.1:1883"}
    assert (await http.get("/livez")).status_code == 200


async def test_live_until_it_is_not(http: httpx.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await http.get("/livez")).json() == {"status": "live"}

    monkeypatch.setattr(house, "live", False)
    answer = await http.get("/livez")

    assert answer.status_code == 503
    assert "restart it" in answer.json()["error"]


async def test_state_is_the_summary_of_the_engine(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/state")

    assert answer.headers["content-type"] == "application/json"
    state = answer.json()
    assert state["calls_live"] == 7
    assert state["portfolios"][0]["outcomes"] == {"connected": 11}
    assert state["teams"] == [{"team_id": "aquila-3", "agents": {"idle": 4}}]


async def test_explains_a_call(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/explain/c1:x@y")

    assert answer.status_code == 200
    assert answer.json() == {"call_id": "c1:x@y", "because": "all busy"}


async def test_says_what_to_do_about_an_unknown_call(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/explain/c2")

    assert answer.status_code == 404
    assert answer.json()["error"].startswith("this call is not known here: ")


@pytest.mark.parametrize("call_id", ["<script>", "a b", "x" * 65, "c1%0A", "%00", "é"])
async def test_refuses_what_cannot_be_a_call_id(http: httpx.AsyncClient, call_id: str) -> None:
    answer = await http.get(f"/api/explain/{call_id}")

    assert answer.status_code == 400
    assert answer.json()["error"].startswith("a call id is 1 to 64 letters")


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/nowhere", 404, "there is nothing here; / lists where to look"),
        ("GET", "/metrics/", 404, "there is nothing here; / lists where to look"),
        ("GET", "/api/explain/a/b", 404, "there is nothing here; / lists where to look"),
        ("POST", "/api/state", 405, "POST: Method Not Allowed; everything here is read with GET"),
    ],
)
async def test_errors_are_json(http: httpx.AsyncClient, method: str, path: str, status: int, error: str) -> None:
    answer = await http.request(method, path)

    assert (answer.status_code, answer.json()) == (status, {"error": error})


async def test_a_failure_is_answered_without_its_secrets(
    http: httpx.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> EngineSummary:
        raise RuntimeError("a secret")

    monkeypatch.setattr(house, "summary", fail)
    answer = await http.get("/api/state")

    assert answer.status_code == 500
    assert answer.json() == {"error": "the router failed to answer; its log says why"}
    assert "a secret" in caplog.text
    assert (await http.get("/livez")).status_code == 200


async def test_the_page_lists_every_place_and_needs_nothing_else(http: httpx.AsyncClient) -> None:
    page = await http.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "/api/explain/{call_id}" in page.text
    links = re.findall(r'(?:href|src)="([^"]*)"', page.text)
    assert links == ["/api/state", "/metrics", "/readyz", "/livez"]
    for link in links:
        assert (await http.get(link)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/livez", "/api/state", "/api/explain/c2", "/nowhere"])
async def test_every_answer_is_guarded(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers

    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "server" not in headers


async def test_what_is_no_http_is_answered_with_guarded_headers(http: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(http.base_url.host, http.base_url.port)
    writer.write(b"no HTTP at all\r\n\r\n")
    head, body = (await reader.read()).split(b"\r\n\r\n", 1)
    writer.close()

    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in head
    assert body == b'{"error":"Invalid HTTP request received; this is an HTTP server"}'


# --- The token ---

TOKEN = "correct.horse~battery+staple/0123456789=="


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(create_app(house, token=TOKEN), "127.0.0.1", 0) as address,
        httpx.AsyncClient(base_url=address.url) as client,
    ):
        yield client


PLACES = [
    "/",
    "/metrics",
    "/api/state",
    "/api/explain/c1:x@y",
    "/nowhere",
    "/livez/",
    "/readyz/..%2fmetrics",
    "//livez",
]


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        TOKEN,
        "Bearer",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        "Bearer Bearer",
    ],
)
async def test_without_the_token_nobody_reads(guarded: httpx.AsyncClient, path: str, given: str | None) -> None:
    for method in ("GET", "POST", "HEAD"):
        answer = await guarded.request(method, path, headers={} if given is None else {"Authorization": given})

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="router"'
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if method != "HEAD":
            assert answer.json() == {"error": "send the token of http.token_file, as Authorization: Bearer TOKEN"}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_whoever_has_the_token_reads(guarded: httpx.AsyncClient, scheme: str) -> None:
    for path, status in [("/", 200), ("/metrics", 200), ("/api/state", 200), ("/nowhere", 404)]:
        answer = await guarded.get(path, headers={"Authorization": f"{scheme} {TOKEN}"})

        assert answer.status_code == status


async def test_health_is_open_to_all_and_tells_strangers_no_more_than_yes_or_no(
    guarded: httpx.AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await guarded.get("/livez")).status_code == 200
    assert (await guarded.get("/readyz")).status_code == 200

    monkeypatch.setattr(house, "reason", "the journal cannot be written: /var/lib/router/journal.db")
    stranger = await guarded.get("/readyz")
    friend = await guarded.get("/readyz", headers={"Authorization": f"Bearer {TOKEN}"})

    assert (stranger.status_code, friend.status_code) == (503, 503)
    assert stranger.json() == {"error": "no calls are routed; whoever asks with the token is told why"}
    assert "/var/lib/router/journal.db" in friend.json()["error"]


async def test_a_token_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(TOKEN + "\n")

    assert read_token(file) == TOKEN
    assert read_token(None) is None

    for poor in ("short", "sixteen letters, but with spaces", "città" * 5):
        file.write_text(poor)
        with pytest.raises(RouterError, match=r"holds no token: .* openssl rand -hex 32") as refusal:
            read_token(file)
        assert poor not in str(refusal.value)


async def test_a_port_in_use_is_one_clear_line(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(RouterError) as caught:
            async with serve(create_app(house), "127.0.0.1", port):
                pass

    assert str(caught.value) == (
        f"HTTP: cannot listen on 127.0.0.1:{port}: Address already in use;"
        " choose another host or port, or stop what uses it"
    )


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("no such host", 0, "check the host"),
        ("127.0.0.1", 70_000, "a port is 0 to 65535"),
        ("192.0.2.1", 0, "Cannot assign requested address"),
    ],
)
async def test_an_impossible_address_is_refused(house: House, host: str, port: int, reason: str) -> None:
    with pytest.raises(RouterError, match=f"HTTP: cannot listen on {host}:{port}: .*{reason}"):
        async with serve(create_app(house), host, port):
            pass


async def test_stops_with_its_context_and_frees_the_port(house: House) -> None:
    signals = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with (
        serve(create_app(house), "localhost", 0) as address,
        httpx.AsyncClient(base_url=address.url) as client,
    ):
        assert (await client.get("/livez")).status_code == 200
        assert signals == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))

    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(address.host, address.port)
    async with serve(create_app(house), address.host, address.port) as again:
        assert again == address


async def test_an_error_inside_the_context_stops_it_too(house: House) -> None:
    with pytest.raises(ZeroDivisionError):
        async with serve(create_app(house), "127.0.0.1", 0) as address:
            raise ZeroDivisionError

    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection(address.host, address.port)


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert Address("::1", 9464).url == "http://[::1]:9464"
    assert str(Address("127.0.0.1", 9464)) == "127.0.0.1:9464"
