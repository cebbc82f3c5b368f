"""What the router shows over HTTP: metrics, health, the present state, and why a call is where it is.

Everything is read-only and none of it is needed for routing. Whoever asks from another machine has to send a token
(``Authorization: Bearer``). There is no TLS: put a proxy that has it in front where others can listen to the network.
"""

import asyncio
import hmac
import html
import os
import re
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from router.core.errors import RouterError
from router.core.model import CallId, Id
from router.core.summary import EngineSummary
from router.secret_files import read_secret

__all__ = ["Address", "View", "create_app", "read_token", "serve"]

# A scrape or a page takes milliseconds; who has not read it by then is gone.
STOP_TIMEOUT_S = 3

HEADERS = {
    "Cache-Control": "no-store",
    # The page has neither script, style nor picture, so nothing need be allowed.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

# Who watches over the process, or spreads load, has no token, and must not take a router for dead for want of one. All
# they get to know is yes or no.
OPEN_TO_ALL = frozenset({"/livez", "/readyz"})

# What RFC 6750 lets a bearer token consist of; 32 hexadecimal digits are twice as long as the shortest taken here.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")

PAGES = {
    "/api/state": "queues, agents by team and state, offers, as JSON",
    "/api/explain/{call_id}": "why this call waits, and what each agent would need to be offered it, as JSON",
    "/metrics": "everything for Prometheus",
    "/readyz": "200 when calls are routed, 503 with the reason when not",
    "/livez": "200 while the router runs; when not, restart it",
}


class View(Protocol):
    """What can be asked of the running router. Called in the event loop, so each answer must be quick or await."""

    def summary(self) -> EngineSummary:
        """The engine as it is now."""
        ...

    def explain(self, call_id: CallId) -> msgspec.Struct | None:
        """Why the call is where it is; None for a call that is not known (any more)."""
        ...

    async def metrics(self) -> tuple[bytes, str]:
        """Body and content type for Prometheus."""
        ...

    def not_ready_because(self) -> str | None:
        """Why no calls are routed at present; None when they are."""
        ...

    def is_live(self) -> bool:
        """Whether the router works at all; if not, only a restart helps."""
        ...


class Address(NamedTuple):
    """Where the server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Ready for a browser, without a slash at its end."""
        return f"http://{self}"

    def __str__(self) -> str:
        # The colons of an IPv6 address would run into that of the port.
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_token(file: Path | None) -> str | None:
    """The token in *file*; None: there is no file, and everybody may read.

    Raises:
        RouterError: The file cannot be used, or holds no token.
    """
    if file is None:
        return None
    token = read_secret(file, "http.token_file")
    if not _TOKEN.fullmatch(token):
        raise RouterError(
            f"http.token_file {file} holds no token: at least 16 letters, digits and ._~+/-; make one with "
            "openssl rand -hex 32"
        )
    return token


class _TokenGate:
    """Lets those who send the token through, and everybody to `OPEN_TO_ALL`; answers 401 to the others."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        # Names of schemes are written in any case; how long a comparison takes must not tell how much was right.
        given = f"{scheme.capitalize()} {token.strip()}".encode()
        scope["is_known"] = hmac.compare_digest(given, self._expected)
        if scope["is_known"] or scope["path"] in OPEN_TO_ALL:
            await self._app(scope, receive, send)
            return
        refusal = _error(401, "send the token of http.token_file, as Authorization: Bearer TOKEN")
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="router"'
        await refusal(scope, receive, send)


def create_app(view: View, *, token: str | None = None) -> Starlette:
    """The web application over *view*. Errors are JSON: ``{"error": "what is wrong and what to do"}``.

    Args:
        view: What there is to see.
        token: What readers must send, except for `OPEN_TO_ALL`; None: nothing.
    """

    async def page(_: Request) -> Response:
        return Response(_page(), media_type="text/html", headers=HEADERS)

    async def metrics(_: Request) -> Response:
        body, content_type = await view.metrics()
        return Response(body, headers={**HEADERS, "Content-Type": content_type})

    async def live(_: Request) -> Response:
        if view.is_live():
            return _json({"status": "live"})
        return _error(503, "the router has stopped working; restart it, its journal has every call")

    async def ready(request: Request) -> Response:
        reason = view.not_ready_because()
        if reason is None:
            return _json({"status": "ready"})
        # The reason names files and machines.
        is_known = request.scope.get("is_known", True)
        return _error(503, reason if is_known else "no calls are routed; whoever asks with the token is told why")

    async def state(_: Request) -> Response:
        return _json(view.summary())

    async def explain(request: Request) -> Response:
        try:
            call_id = msgspec.convert(request.path_params["call_id"], Annotated[CallId, Id])
        except msgspec.ValidationError:
            return _error(400, "a call id is 1 to 64 letters, digits or any of . _ : @ -; give the platform's id")
        explanation = view.explain(call_id)
        if explanation is None:
            # Without the id: somebody may have asked for a phone number.
            return _error(
                404,
                "this call is not known here: it never arrived, or it is over; check the id,"
                " and look for calls that are over in the reports",
            )
        return _json(explanation)

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/metrics", metrics),
            Route("/livez", live),
            Route("/readyz", ready),
            Route("/api/state", state),
            Route("/api/explain/{call_id}", explain),
        ],
        middleware=[] if token is None else [Middleware(_TokenGate, token)],
        exception_handlers={HTTPException: _on_http_error, Exception: _on_failure},
    )
    app.router.redirect_slashes = False  # a redirect would be an answer without our headers
    return app


@asynccontextmanager
async def serve(app: Starlette, host: str, port: int) -> AsyncIterator[Address]:
    """Serve *app* in the running event loop for as long as the context lasts.

    Args:
        app: The application.
        host: Name or address to listen on.
        port: 0 picks a free one.

    Yields:
        Where it listens, once it does.

    Raises:
        RouterError: It cannot listen there, for example because the port is in use.
    """
    listener = await _listen(host, port)
    address = Address(*listener.getsockname()[:2])
    server = _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=STOP_TIMEOUT_S,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        await server.wait_started(serving)
        yield address
    finally:
        server.should_exit = True
        await serving


class _Protocol(H11Protocol):
    """uvicorn's reader of HTTP, of which even the answer to what is no HTTP has our headers."""

    def send_400_response(self, msg: str) -> None:
        body = msgspec.json.encode({"error": f"{msg.rstrip('.')}; this is an HTTP server"})
        own = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in (HEADERS | own).items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{lines}\r\n".encode() + body)
        self.transport.close()


class _Server(uvicorn.Server):
    """uvicorn inside a program that has its own signal handlers and wants to know when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._up.set()

    async def wait_started(self, serving: asyncio.Task[None]) -> None:
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if serving.done():
            serving.result()


async def _listen(host: str, port: int) -> socket.socket:
    """Bind a socket of our own: uvicorn would end the process when it cannot have the port."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server((address[0], port), family=family)
    except socket.gaierror as error:
        reason = f"{error.strerror}; check the host"
    except OverflowError:
        reason = "a port is 0 to 65535; choose another one"
    except OSError as error:
        # Not its own text, to which Python adds the address once more.
        reason = f"{os.strerror(error.errno or 0)}; choose another host or port, or stop what uses it"
    raise RouterError(f"HTTP: cannot listen on {Address(host, port)}: {reason}")


def _page() -> str:
    rows = []
    for path, what in PAGES.items():
        name = html.escape(path)
        shown = name if "{" in path else f'<a href="{name}">{name}</a>'
        rows.append(f"<dt>{shown}</dt><dd>{html.escape(what)}</dd>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>portfolio-router</title>'
        f"<h1>portfolio-router</h1><dl>{''.join(rows)}</dl></html>"
    )


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, HEADERS, "application/json")


def _error(status: int, message: str) -> Response:
    return _json({"error": message}, status)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        response = _error(404, "there is nothing here; / lists where to look")
    else:
        response = _error(error.status_code, f"{request.method}: {error.detail}; everything here is read with GET")
    response.headers.update(error.headers or {})
    return response


async def _on_failure(_: Request, __: Exception) -> Response:
    # Starlette raises the error again behind this answer, and uvicorn logs it with its traceback.
    return _error(500, "the router failed to answer; its log says why")
