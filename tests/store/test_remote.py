"""Data at a URL is brought here once, and is what the URL holds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgap.errors import BadInputError
from kdgap.files import TEMPORARY_PREFIX, machine
from kdgap.store import remote
from kdgap.store.remote import local_place
from kdgap.store.url import Url


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(remote, "_looked", {})
    folder = tmp_path / "there"
    for name in ("a/1.png", "a/2.png", "b/Ü 3.png", "labels.csv"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was fetched, in order of the names."""
    names: list[str] = []
    plain = Url.fetch

    def fetch(self: Url, name: str, path: Path) -> None:
        names.append(name)
        plain(self, name, path)

    monkeypatch.setattr(Url, "fetch", fetch)
    return names


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the next look be that of another process."""
    return lambda: monkeypatch.setattr(remote, "_looked", {})


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_path_stands_for_itself(tmp_path: Path) -> None:
    assert local_place(str(tmp_path)) == tmp_path
    assert local_place("data") == Path("data")


def test_each_file_is_fetched_once_and_again_where_it_changed(
    there: Path, fetched: list[str], anew: Callable[[], None]
) -> None:
    url = f"local://{there}"
    here = local_place(url)
    assert here != there
    assert contents(here) == contents(there)
    assert len(fetched) == 4
    local_place(url)
    anew()
    assert local_place(url) == here
    assert len(fetched) == 4
    (there / "a/1.png").write_text("something else")
    (there / "a/2.png").unlink()
    (there / "c.png").write_text("new")
    local_place(url)  # this process goes on with what it began with
    assert len(fetched) == 4
    anew()
    local_place(url)
    assert sorted(fetched[4:]) == ["a/1.png", "c.png"]
    assert contents(here) == contents(there)


def test_what_lies_here_and_is_lost_is_fetched_again(
    there: Path, fetched: list[str], anew: Callable[[], None]
) -> None:
    here = local_place(f"local://{there}")
    (here / "a/1.png").unlink()
    anew()
    local_place(f"local://{there}")
    assert fetched[4:] == ["a/1.png"]


def test_what_a_killed_fetch_left_goes(there: Path, anew: Callable[[], None]) -> None:
    here = local_place(f"local://{there}")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = here / "a" / f"{TEMPORARY_PREFIX}{machine()}-{ended.pid}-{'0' * 16}"
    left.write_text("half of an image")
    anew()
    local_place(f"local://{there}")
    assert contents(here) == contents(there)


def test_what_was_fetched_before_an_interruption_is_kept(
    there: Path, fetched: list[str], anew: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgap.store.storage._GROUP", 2)

    def pause() -> None:
        if len(fetched) >= 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        local_place(f"local://{there}", pause)
    anew()
    assert contents(local_place(f"local://{there}")) == contents(there)
    assert sorted(fetched) == sorted(contents(there))


def test_a_file_comes_with_what_lies_beside_it(there: Path) -> None:
    file = local_place(f"local://{there}/labels.csv")
    assert file.name == "labels.csv"
    assert contents(file.parent) == contents(there)


def test_nothing_at_the_url(there: Path) -> None:
    with pytest.raises(BadInputError, match="nothing is there"):
        local_place(f"local://{there}/of/this/name")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x"])
def test_a_name_that_leads_elsewhere_is_refused(
    name: str, there: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Url, "listing", lambda *_: {name: "1-1"})
    with pytest.raises(BadInputError, match="is no name below it"):
        local_place(f"local://{there}")
    assert not (tmp_path / "x").exists()
