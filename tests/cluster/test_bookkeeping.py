"""How often a bucket is asked for a study: a little for each run at first, then hardly ever."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bucket import Bucket, start_bucket
from benchmarks.growth import finish_all, write_growing
from kdgap.cluster.commit import Commits
from kdgap.errors import BadInputError
from kdgap.explorer import watch as watching
from kdgap.explorer.watch import Watch
from kdgap.store.manifest import ELSEWHERE, LARGE
from kdgap.store.mirror import Mirror, mirror_of, pulled, shared_facts
from kdgap.store.progress import survey
from kdgap.store.storage import StorageError
from kdgap.store.study import PLAN, StudyDirectory
from kdgap.store.url import AT_ONCE, Url
from kdgap.study import kept_plan, workspace
from kdgap.study.kept_plan import KeptPlan
from kdgap.study.workspace import open_study

NAME = "studies/study"
URL = f"bucket://{NAME}"
OF_A_RUN = 11
"""Files of a tested run in a made study, as training leaves them."""
SMALL = OF_A_RUN - len(LARGE)
"""Those of them that are fetched: neither weights nor predictions."""


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two finished studies by their number of runs."""
    by_runs = {}
    for seeds in (2, 12):
        folder = tmp_path_factory.mktemp("made")
        write_growing(folder / "study.yaml", seeds, 1)
        by_runs[finish_all(folder / "study.yaml", folder / "study")] = folder / "study"
    assert sorted(by_runs) == [5, 25]
    return by_runs


@pytest.fixture(autouse=True)
def bucket() -> Iterator[None]:
    start_bucket()
    yield
    Bucket.objects.clear()
    Bucket.failing, Bucket.latency = 0, 0.0


def asked() -> dict[str, int]:
    """What was asked since the last time."""
    known = {kind: count for kind, count in Bucket.asked.items() if count}
    Bucket.asked.clear()
    return known


def kept(path: Path) -> dict[str, bytes]:
    """What a study directory holds, without what is of this machine alone."""
    files = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def small(study: Path) -> dict[str, bytes]:
    """What of a study is fetched."""
    files = kept(study).items()
    return {name: content for name, content in files if name.rpartition("/")[2] not in LARGE}


@pytest.mark.parametrize("runs", [5, 25])
def test_a_study_is_listed_twice_and_each_small_file_is_fetched_once(
    studies: dict[int, Path], runs: int
) -> None:
    Bucket.fill(NAME, studies[runs])
    directory = StudyDirectory(pulled(URL))
    expected = small(studies[runs])
    assert len(expected) <= SMALL * runs + 8
    assert asked() == {"list": 2, "get": len(expected)}
    assert kept(directory.path) == expected
    assert survey(directory).count("done") == runs
    assert asked() == {}


@pytest.mark.parametrize("runs", [5, 25])
def test_a_second_look_at_an_unchanged_study_is_one_listing(
    studies: dict[int, Path], runs: int
) -> None:
    Bucket.fill(NAME, studies[runs])
    pulled(URL)
    asked()
    pulled(URL)
    assert asked() == {"list": 1}


def test_what_changed_is_fetched_and_what_is_gone_is_removed(studies: dict[int, Path]) -> None:
    Bucket.fill(NAME, studies[25])
    path = pulled(URL)
    first, second = (run["path"] for run in StudyDirectory(path).plan()["runs"][:2])
    Bucket.keep(f"{NAME}/{first}/timing.json", b"{}")
    for name in LARGE:
        del Bucket.objects[f"{NAME}/{second}/{name}"]
    assert (path / second / ELSEWHERE).exists()
    asked()
    pulled(URL)
    assert asked() == {"list": 2, "get": 1}
    assert (path / first / "timing.json").read_bytes() == b"{}"
    assert not (path / second / ELSEWHERE).exists()


def test_a_file_that_a_power_failure_cut_short_is_fetched_again(studies: dict[int, Path]) -> None:
    Bucket.fill(NAME, studies[5])
    path = pulled(URL)
    run = StudyDirectory(path).plan()["runs"][0]["path"]
    (path / run / "results.json").write_bytes(b"")
    asked()
    pulled(URL)
    assert asked() == {"list": 2, "get": 1}
    assert kept(path) == small(studies[5])


def test_many_are_fetched_at_once_and_no_more_than_are_meant_to(studies: dict[int, Path]) -> None:
    Bucket.fill(NAME, studies[25])
    Bucket.latency = 0.002
    pulled(URL)
    assert 1 < Bucket.most <= AT_ONCE


def test_requests_that_fail_are_made_again(studies: dict[int, Path], tmp_path: Path) -> None:
    Bucket.fill(NAME, studies[5])
    Bucket.failing = 7
    Mirror(Url(URL, (0.0,) * 6), tmp_path / "here").pull()
    assert kept(tmp_path / "here") == small(studies[5])
    Bucket.failing = 1
    with pytest.raises(StorageError, match=r"the network is away \(tried 2 times\)"):
        Mirror(Url(URL, (0.0,)), tmp_path / "other").pull()


@pytest.mark.parametrize("runs", [5, 25])
def test_what_is_pushed_is_written_and_read_back_and_no_folder_is_asked_for(
    studies: dict[int, Path], tmp_path: Path, runs: int
) -> None:
    shutil.copytree(studies[runs], tmp_path / "here")
    Bucket.fill(NAME, tmp_path / "nothing")
    mirror = Mirror(Url(URL), tmp_path / "here")
    names = shared_facts(tmp_path / "here")
    mirror.push(names)
    assert asked() == {"put": len(names), "get": len(names)}
    assert len(names) == 7
    mirror.push(names)
    assert asked() == {}


def test_what_a_commit_asks_does_not_grow_with_the_study(
    studies: dict[int, Path], tmp_path: Path
) -> None:
    counts = []
    for runs in (5, 25):
        Bucket.fill(NAME, studies[runs])
        space, commits = driven(tmp_path / str(runs))
        planned = list(space.plan()[0].runs.values())[-1]
        for name in [n for n in Bucket.objects if n.startswith(f"{NAME}/{planned.path}/")]:
            file = name.rpartition("/")[2]
            Bucket.keep(f"{NAME}/incoming/{planned.id}/one/{file}", Bucket.objects.pop(name))
        shutil.rmtree(space.directory.path / planned.path)
        asked()
        assert commits.all([planned]) == [planned]
        counts.append(asked())
        assert space.directory.record(planned.path).id == planned.id
        commits.all([planned])
        assert asked() == {"list": 1}
    assert counts[0] == counts[1]
    assert counts[0] == {
        "list": 3,  # what came, what is there, what is there now
        "head": OF_A_RUN,
        "get": 1 + 2 * OF_A_RUN + SMALL,
        "copy": OF_A_RUN,
        "delete": OF_A_RUN,
    }


def driven(path: Path) -> tuple[workspace.Workspace, Commits]:
    """The study in the bucket, as its driver has it."""
    mirror = Mirror(Url(URL), path)
    mirror.pull()
    space = open_study(path)
    return space, Commits(mirror.storage, space.directory, mirror)


def test_a_plan_of_which_nothing_changed_is_made_and_written_once(
    studies: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Counter[str] = Counter()

    def counted(module: Any, name: str) -> None:
        original = getattr(module, name)

        def count(*words: Any, **named: Any) -> Any:
            calls[name] += 1
            return original(*words, **named)

        monkeypatch.setattr(module, name, count)

    counted(workspace, "plan_study")
    counted(kept_plan, "write_plan")
    shutil.copytree(studies[5], tmp_path / "study")
    space = open_study(tmp_path / "study")
    plan = KeptPlan(space, lambda: None)
    first = plan.refresh()
    assert calls == {"plan_study": 2, "write_plan": 1}
    assert plan.refresh()[0] is first[0]
    assert calls == {"plan_study": 2, "write_plan": 1}

    before = (tmp_path / "study" / PLAN).read_bytes()
    other = space.directory.plan()
    other["study"]["finals"]["seeds"] = [0]
    space.directory.write(PLAN, {k: v for k, v in other.items() if k != "checksum"})
    with pytest.raises(BadInputError, match="another `kdgap run` has changed the study meanwhile"):
        plan.refresh()
    (tmp_path / "study" / PLAN).write_bytes(before)
    plan.refresh()
    assert calls == {"plan_study": 2, "write_plan": 3}


def test_a_page_of_a_study_at_a_url_shows_what_came_since(
    studies: dict[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watching, "REST", 0.0)
    Bucket.fill(NAME, studies[5])
    run = StudyDirectory(studies[5]).plan()["runs"][-1]["path"]
    late = {
        name: Bucket.objects.pop(name)
        for name in list(Bucket.objects)
        if name.startswith(f"{NAME}/{run}/")
    }
    watch = Watch(pulled(URL))
    asked()
    before = watch.look()
    assert asked() == {"list": 1}
    assert [run.state for run in before.evidence.runs].count("done") == 4
    for name, content in late.items():
        Bucket.keep(name, content)
    assert [run.state for run in watch.look().evidence.runs].count("done") == 5
    assert asked() == {"list": 2, "get": SMALL}
    Bucket.failing = 1
    monkeypatch.setattr("kdgap.store.url.time.sleep", lambda _: None)
    assert len(watch.look().evidence.runs) == 5, "away: what was shown stays"


def test_a_directory_knows_whether_it_is_a_mirror(studies: dict[int, Path]) -> None:
    Bucket.fill(NAME, studies[5])
    mirror = mirror_of(pulled(URL))
    assert mirror is not None
    assert mirror.storage.where == URL
    assert mirror_of(studies[5]) is None
