"""Fixtures of the tests in a browser: Chromium, studies that are served to it, and a visitor.

Each study is trained once, also when pytest runs in several processes: whoever needs it first makes
it in a folder that all of them share, and the others wait. Servers and browsers are each process's
own. `make test-browser` gives whole files to its processes, so that the study that runs while its
page is looked at runs once, and not beside all other tests.
"""

import fcntl
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import studies

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.pages import Shown, Visitor

BINARIES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    # In a container there is often no second sandbox to be had, and no GPU.
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
Serve = Callable[..., str]
Once = Callable[[str, Callable[[Path], Path]], Path]


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """Chromium of this machine, without a window."""
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("needs Playwright: pip install -e '.[dev]'")
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        pytest.skip(f"none of {', '.join(BINARIES)} is here; `make test-browser` installs one")
    from playwright.sync_api import sync_playwright

    from tests.browser.pages import PATIENCE, expect

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: "Browser") -> "Iterator[Visitor]":
    """Opens pages; fails the test that one of them complains in, or asks somebody else."""
    from tests.browser.pages import Visitor

    visitor = Visitor(chromium)
    yield visitor
    visitor.close()
    assert not visitor.heard.wrong


@contextmanager
def served(folder: Path, source: Path, *words: object) -> Iterator[str]:
    """Run `kdgap explore SOURCE`; give the page's address."""
    server = studies.start(folder, "explore", source, "--port", 0, *words)
    assert server.stderr is not None
    try:
        line = server.stderr.readline()
        match = re.search(r"http://\S+", line)
        assert match, line + server.stderr.read()
        yield match[0]
    finally:
        error = studies.ended(server)
    # No warning, no traceback while it was looked at; the signal that ends it is told.
    assert error == "told to stop\n"


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serves a study or an import to the end of the session; returns the address."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("served")
        yield lambda source, *words: stack.enter_context(served(folder, source, *words))


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes something in a folder of its name, once for all processes of the session."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(name: str, maker: Callable[[Path], Path]) -> Path:
        folder = shared / f"shared-{name}"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            left = shared / f"{name}.made"
            if not left.exists():
                folder.mkdir()  # a second try after a failure fails here, and says so
                left.write_text(str(maker(folder)))
            return Path(left.read_text())

    return make


@pytest.fixture(scope="session")
def digits_study(once: Once) -> Path:
    """The directory of a finished study on the digits."""
    return once("digits", lambda folder: studies.trained(folder, studies.DIGITS))


@pytest.fixture(scope="session")
def digits(digits_study: Path, serve: Serve) -> "Shown":
    from tests.browser.pages import Shown

    return Shown("digits", serve(digits_study), run=3)


@pytest.fixture(scope="session")
def published(once: Once, serve: Serve) -> "Shown":
    """The runs that were published, where they are present."""
    from tests.browser.pages import Shown

    if not studies.PUBLISHED.is_file():
        pytest.skip(f"{studies.PUBLISHED} is not here")
    source = once("published", lambda folder: studies.imported(folder, studies.PUBLISHED))
    return Shown("published", serve(source, "--claims", studies.CLAIMS), run=3)


@pytest.fixture(scope="session")
def empty(once: Once, serve: Serve) -> "Shown":
    """A study that is planned, and nothing of it run."""
    from tests.browser.pages import Shown

    source = once("empty", lambda folder: studies.planned(folder, studies.EMPTY))
    return Shown("empty", serve(source))


@pytest.fixture(scope="session")
def failing(once: Once, serve: Serve) -> "Shown":
    """A study in which one arm diverged."""
    from tests.browser.pages import Shown

    source = once(
        "failing", lambda folder: studies.trained(folder, studies.FAILING, code=3, workers=1)
    )
    return Shown("failing", serve(source))


@pytest.fixture(scope="session")
def exported(digits_study: Path, tmp_path_factory: pytest.TempPathFactory) -> "Shown":
    """The digits as static files, opened from disk."""
    from tests.browser.pages import Shown

    folder = tmp_path_factory.mktemp("exported")
    studies.kdgap(folder, "explore", digits_study, "--export", "page", "--images")
    return Shown("exported", (folder / "page" / "index.html").as_uri(), run=3)


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> "Shown":
    """The study that a parameter names."""
    study: Shown = request.getfixturevalue(request.param)
    return study
