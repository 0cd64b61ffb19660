"""A small real HTTP server that speaks the contract's envelope, as badly as a test wants it to."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Exchange:
    """A request as it came, and the ways to answer it."""

    handler: BaseHTTPRequestHandler
    method: str
    path: str
    body: bytes

    @property
    def headers(self) -> Any:
        return self.handler.headers

    def json(self) -> Any:
        return json.loads(self.body)

    def ok(self, data: Any, status: int = 200) -> None:
        self.send(
            status, {"success": True, "code": status, "message": "OK", "data": data, "request_id": "req_t"}
        )

    def refuse(self, status: int, code: int, detail: str = "", **headers: str) -> None:
        error = {"type": "Error", "detail": detail, "field": "parameters.fmax"}
        self.send(
            status,
            {"success": False, "code": code, "message": "No", "error": error, "request_id": "req_t"},
            **{name.replace("_", "-"): value for name, value in headers.items()},
        )

    def send(self, status: int, document: Any, **headers: str) -> None:
        self.head(status, **{"Content-Type": "application/json"}, **headers)
        self.write(json.dumps(document).encode())

    def head(self, status: int, **headers: str) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()

    def write(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def event(self, number: int, kind: str, data: Any) -> None:
        self.write(f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode())

    def drop(self) -> None:
        """Break the connection as a cable does: no end of the message."""
        self.handler.connection.shutdown(socket.SHUT_RDWR)


@dataclass
class ProtocolServer:
    """Answers by `answer(exchange)`; remembers what it was asked."""

    url: str
    answer: Callable[[Exchange], None]
    asked: list[Exchange] = field(default_factory=list)


@contextmanager
def serve(answer: Callable[[Exchange], None]) -> Iterator[ProtocolServer]:
    """Run a server for the time of a test."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            exchange = Exchange(self, self.command, self.path.removeprefix("/api/v1"), body)
            server.asked.append(exchange)
            try:
                server.answer(exchange)
            except OSError:
                self.close_connection = True

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = ProtocolServer(f"http://127.0.0.1:{httpd.server_port}", answer)
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
