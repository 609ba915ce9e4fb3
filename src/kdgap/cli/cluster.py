"""`kdgap run STUDY --ray`: the study on the machines of a Ray cluster."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kdgap.errors import BadInputError

if TYPE_CHECKING:
    from kdgap.cli.study_progress import StudyProgress
    from kdgap.cluster.ray_engine import RayEngine
    from kdgap.store.mirror import Mirror
    from kdgap.store.storage import Storage
    from kdgap.study.workspace import Workspace

RAY = "--ray"
_ADDRESS = re.compile(r"auto|local|ray://\S*|[\w.\-\[\]:]+:\w*")


def with_address(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with what `--ray` without an address stands for."""
    whole: list[str] = []
    for index, word in enumerate(words):
        whole.append(word)
        following = words[index + 1] if index + 1 < len(words) else "-"
        if word == RAY and (following.startswith("-") or not _ADDRESS.fullmatch(following)):
            whole.append("auto")
    return whole


def place_of(out: str | None, study: Path) -> tuple[Path | None, "Mirror | None"]:
    """Return the directory of a study here, and the mirror that it is of one at a URL.

    Args:
        out: where the study is to be kept, a path or a URL; None = as usual.
        study: a study file or a directory, which may be a mirror.
    """
    from kdgap.paths import is_url, user_path
    from kdgap.store.mirror import Mirror, mirror_folder, mirror_of
    from kdgap.store.url import Url

    if out is not None and is_url(out):
        path = mirror_folder(out)
        return path, Mirror(Url(out), path)
    if study.is_dir() and (mirror := mirror_of(study)):
        return None, mirror
    return (None if out is None else user_path(out)), None


@contextmanager
def connected(
    workspace: "Workspace", mirror: "Mirror | None", address: str
) -> "Iterator[tuple[Storage, RayEngine]]":
    """Connect to a cluster and to where the study is kept, before anything is written.

    Raises:
        BadInputError: one of the two is not to be had.
    """
    from kdgap.cluster.ray_engine import RayEngine
    from kdgap.store.storage import Folder

    storage: Storage = Folder(workspace.directory.path.resolve())
    if mirror is not None:
        storage = mirror.storage
        storage.probe()
    engine = RayEngine(address, storage.where)
    try:
        yield storage, engine
    finally:
        engine.close()


def run_on_ray(
    workspace: "Workspace",
    mirror: "Mirror | None",
    storage: "Storage",
    engine: "RayEngine",
    device: str,
    stages: Sequence[str],
    display: "StudyProgress",
    *,
    one_environment: bool,
) -> list[str]:
    """Do what is missing of a study on a cluster; return what turned out to be damaged."""
    from kdgap.cluster.driver import Driver
    from kdgap.running.stop import Stopper

    nodes = engine.nodes()
    cpus, gpus = (sum(getattr(node, kind) for node in nodes) for kind in ("cpus", "gpus"))
    display.say(
        f"Ray at {engine.address}: {len(nodes)} machines, {cpus:g} CPUs, {gpus:g} GPUs; the study"
        f" is kept at {storage.where}"
    )
    with Stopper() as pause:  # after Ray, which has handlers of its own for signals
        driver = Driver(
            workspace,
            storage,
            mirror,
            engine,
            device,
            stages,
            pause,
            display.say,
            display.refresh,
            one_environment=one_environment,
        )
        driver.work()
    if driver.dropped:
        display.say(f"note: {driver.dropped} runs came twice, with equal records; one each is kept")
    return driver.damaged


def keep_report(file: Path) -> None:
    """Write the report of a study at a URL there too, beside what it was made of."""
    from kdgap.store.mirror import mirror_of
    from kdgap.store.storage import StorageError

    if mirror := mirror_of(file.parent):
        try:
            mirror.push([file.name])
        except StorageError as error:
            raise OSError(str(error)) from None


def refuse_mirror(mirror: "Mirror | None", ray: str | None) -> None:
    """Refuse to train in the mirror of a study without its cluster.

    Raises:
        BadInputError: saying how.
    """
    if mirror is not None and ray is None:
        raise BadInputError(
            f"{mirror.storage.where}: a study at a URL is trained on a cluster: add --ray ADDRESS"
            " (--ray local is this machine alone)"
        )
