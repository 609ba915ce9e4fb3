"""`kdgap explore`: who may look, and that somebody answers once it tells its address."""

import re
import socket
from _socket import socket as PlainSocket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from tests.judge.test_study_evidence import BASELINE, METHOD, study

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return study(tmp_path / "study", BASELINE, METHOD).path


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A server that only tries, where it would begin, whether a visitor gets through."""
    reached: list[bool] = []

    def visit(_: uvicorn.Server, sockets: list[socket.socket]) -> None:
        # The class below `socket.socket`, whose way out is barred in these tests.
        with closing(PlainSocket(sockets[0].family, socket.SOCK_STREAM)) as visitor:
            visitor.settimeout(5)
            reached.append(visitor.connect_ex(sockets[0].getsockname()) == 0)

    monkeypatch.setattr(uvicorn.Server, "run", visit)
    return reached


def test_an_address_that_is_told_can_be_visited_at_once(
    kdgap: Command, source: Path, visited: list[bool]
) -> None:
    done = kdgap("explore", source, "--port", 0)
    assert done.returncode == 0
    assert re.search(r"Explore: http://127\.0\.0\.1:\d+/ ", done.stderr)
    assert visited == [True]


def test_the_address_for_others_carries_their_token(
    kdgap: Command, source: Path, visited: list[bool]
) -> None:
    done = kdgap("explore", source, "--port", 0, "--host", "0.0.0.0", "--token", "a1" * 8)
    assert re.search(r"http://0\.0\.0\.0:\d+/\?token=a1a1a1a1a1a1a1a1 ", done.stderr)
    assert visited == [True]


def test_another_host_needs_a_token(refused: Callable[..., str], kdgap: Command) -> None:
    error = refused(kdgap, "explore", "anything", "--host", "0.0.0.0")
    assert error.startswith("--host 0.0.0.0: others could look, too; give --token")


@pytest.mark.parametrize("token", ["short", "with space and more", "ü" * 20, "a-b-c-d-e-f-g-h-i-j"])
def test_a_weak_or_odd_token_is_refused(
    refused: Callable[..., str], kdgap: Command, token: str
) -> None:
    error = refused(kdgap, "explore", "anything", "--token", token)
    assert error == "--token: at least 16 letters and digits"


def test_a_port_that_is_taken_is_named(
    refused: Callable[..., str], kdgap: Command, source: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        error = refused(kdgap, "explore", source, "--port", port)
    assert error.startswith(f"--host 127.0.0.1 --port {port}: Address already in use; --port 0")


def test_what_is_no_study_is_refused(refused: Callable[..., str], kdgap: Command) -> None:
    assert "nothing" in refused(kdgap, "explore", "nothing")


def test_a_folder_of_something_else_is_not_exported_into(
    refused: Callable[..., str], kdgap: Command, source: Path, workdir: Path
) -> None:
    (workdir / "mine").mkdir()
    (workdir / "mine" / "notes.txt").write_text("mine")
    error = refused(kdgap, "explore", source, "--export", "mine")
    assert error == "mine: not empty and no exported page; give another --export"
