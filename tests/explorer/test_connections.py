"""A visitor who says nothing, half of it, or takes no answer is dropped, and others are served."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress

import pytest
from starlette.types import Receive, Scope, Send

from kdgap.explorer.connections import make_server

LARGE = 64 * 2**20
SECONDS = 0.3
ASK = b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 60.0

Start = Callable[..., "tuple[str, int]"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    body = b"x" * LARGE if scope["path"] == "/large" else b"small"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for begin in range(0, len(body), 2**16):
        part = body[begin : begin + 2**16]
        more = begin + 2**16 < len(body)
        await send({"type": "http.response.body", "body": part, "more_body": more})


async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * LARGE})


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server with given limits and returns its address."""
    with ExitStack() as stack:

        def begin(served: object = app, *, seconds: float = SECONDS, most: int = 200) -> object:
            listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
            server = make_server(served, seconds=seconds, most=most)  # type: ignore[arg-type]
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            stack.callback(thread.join)
            stack.callback(setattr, server, "should_exit", True)
            return listener.getsockname()

        yield begin  # type: ignore[misc]


def connect(address: tuple[str, int], content: bytes = b"") -> socket.socket:
    visitor = socket.create_connection(address, timeout=PATIENCE)
    visitor.sendall(content)
    return visitor


def is_dropped(visitor: socket.socket) -> bool:
    """Wait until the server ends the connection; it sends nothing more that matters."""
    try:
        while visitor.recv(2**16):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def is_served(address: tuple[str, int]) -> bool:
    with connect(address, ASK) as visitor:
        return visitor.recv(2**16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        ASK + ASK[:20],
        ASK + ASK + b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
    ],
)
def test_half_a_request_is_not_waited_for_for_ever(start: Start, content: bytes) -> None:
    address = start()
    with connect(address, content) as visitor:
        assert is_served(address)
        assert is_dropped(visitor)
    assert is_served(address)


@pytest.mark.parametrize("body", [False, True])
def test_a_request_that_comes_in_drops_is_not_waited_for_either(start: Start, body: bool) -> None:
    address = start()
    head = ASK[:-2] + b"Content-Length: 1000000\r\n\r\n" if body else ASK[:-2] + b"X: "
    with connect(address, head) as visitor:
        begun = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - begun < PATIENCE:
                visitor.sendall(b"x")
                time.sleep(SECONDS / 20)
        assert time.monotonic() - begun < PATIENCE, "still connected"
    assert is_served(address)


@pytest.mark.parametrize("served", [app, at_once])
def test_who_does_not_take_the_answer_is_dropped(start: Start, served: object) -> None:
    address = start(served)
    with connect(address, ASK.replace(b"small", b"large")) as visitor:
        begun = time.monotonic()
        while visitor.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            assert time.monotonic() - begun < PATIENCE, "still connected"
            visitor.recv(1)  # a byte now and then is no taking
            time.sleep(SECONDS / 10)
    assert is_served(address)


@pytest.mark.parametrize("served", [app, at_once])
def test_a_slow_visitor_who_goes_on_taking_gets_all_of_it(start: Start, served: object) -> None:
    address = start(served, seconds=2.0)
    with connect(address, ASK.replace(b"small", b"large")) as visitor:
        begun, taken = time.monotonic(), 0
        while taken < LARGE:
            got = visitor.recv(2**20)
            assert got
            taken += len(got)
            if time.monotonic() - begun < 5:  # longer than the limit, in all
                time.sleep(0.1)
        assert taken >= LARGE


def test_a_visitor_who_asks_again_and_again_is_not_dropped(start: Start) -> None:
    address = start(seconds=1.5)
    with connect(address) as visitor:
        for _ in range(10):
            time.sleep(0.3)
            visitor.sendall(ASK)
            while not visitor.recv(2**16).endswith(b"small"):
                pass


def test_the_longest_silent_make_room_for_those_who_ask(start: Start) -> None:
    address = start(seconds=1000.0, most=10)
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(address)) for _ in range(40)]
        assert is_served(address)
        assert all(is_dropped(visitor) for visitor in silent[:25])
        silent[-1].sendall(ASK)
        assert silent[-1].recv(2**16).startswith(b"HTTP/1.1 200 ")
