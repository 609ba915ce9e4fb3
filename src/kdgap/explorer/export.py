"""The explorer as static files: the same page, its data as scripts, so that it opens from disk."""

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgap import disk
from kdgap.errors import BadInputError, one_line
from kdgap.explorer.answers import agreement_document, answers_document, images_document
from kdgap.explorer.documents import arm_document, live_document
from kdgap.explorer.judged import compare_document
from kdgap.explorer.page import INDEX, POLICY, page_files
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import Snapshot
from kdgap.explorer.watch import WHOLE, as_json
from kdgap.files import (
    TEMPORARY_PREFIX,
    make_folder,
    names_in,
    note_change,
    read_text,
    remove_tree,
    temporary_beside,
    write_atomic,
    write_new,
)
from kdgap.judge.answers import Thumbnails
from kdgap.leftovers import remove_temporaries

MARK = "kdgap-explorer.json"
"""Says that a folder is an exported page, and may be written over."""
_PART = re.compile(r"page-[0-9]+")
"""Where the files of a page are; an older version put them into `data` and `static`."""
SPACE = """---
title: {title}
emoji: 📊
colorFrom: blue
colorTo: gray
sdk: static
app_file: index.html
pinned: false
---

What `kdgap explore` shows of a study, as static files. Open `index.html`, from disk or from any
static host; a Hugging Face static Space takes this folder as it is.
"""


@dataclass(frozen=True)
class Exported:
    """How many files a page has, and a line for each file of a run that it does without."""

    files: int
    passed_over: list[str]


def export_page(snapshot: Snapshot, folder: Path, thumbnails: Thumbnails | None = None) -> Exported:
    """Write the page with all of its data.

    An earlier page in the folder stays whole until the new one is: its files are in a part of their
    own, and `index.html`, which says which part is shown, is replaced in one step. What a killed
    export left is removed. The files are made of the study, and nobody waits for the medium.

    Args:
        snapshot: what is shown.
        folder: new, empty, or an earlier export.
        thumbnails: draws test images, which then are part of the page; None = the page has none.

    Raises:
        BadInputError: the folder holds something else.
        OSError: it cannot be written; what it showed stays.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{folder}: is a file; give another --export")
    make_folder(folder)
    remove_temporaries(folder)
    names = names_in(folder)
    strangers = [name for name in names if not name.startswith(TEMPORARY_PREFIX)]
    if strangers and MARK not in names:
        raise BadInputError(f"{folder}: not empty and no exported page; give another --export")
    shown = read_text(folder / INDEX) if INDEX in names else ""
    old = ("data", "static") if '="static/' in shown else ()
    before = [folder / name for name in names if _PART.fullmatch(name) or name in old]
    for path in before:
        if path.is_symlink():
            raise BadInputError(f"{path}: is a symbolic link; give another --export")
    write_atomic(folder / MARK, as_json({"format": 1, "study": snapshot.evidence.name}))
    odd: list[str] = []
    part, count = _write_part(snapshot, folder, thumbnails, odd)
    try:
        write_atomic(folder / "README.md", _readme(snapshot).encode("utf-8", "backslashreplace"))
        write_atomic(folder / INDEX, _index(part).encode())
    except BaseException:
        with suppress(OSError):
            remove_tree(folder / part)
        raise
    for path in before:
        with suppress(OSError):  # the next export tries again
            remove_tree(path)
    return Exported(count + 3, odd)


def _write_part(
    snapshot: Snapshot, folder: Path, thumbnails: Thumbnails | None, odd: list[str]
) -> tuple[str, int]:
    """Write scripts and data into a new part; return its name, and how many files it has.

    What is passed over of the runs' files is added to `odd`.
    """
    staging = temporary_beside(folder / "part")
    try:
        count = 0
        for name, content in _files(snapshot, thumbnails, odd):
            make_folder((staging / name).parent)
            with disk.naming(folder / name):
                write_new(staging / name, content, durable=False)
            count += 1
        names = names_in(folder)
        part = next(f"page-{n}" for n in itertools.count(1) if f"page-{n}" not in names)
        disk.call(disk.current.rename, staging, folder / part)
        note_change()
    except BaseException:
        with suppress(OSError):
            remove_tree(staging)
        raise
    return part, count


def _files(
    snapshot: Snapshot, thumbnails: Thumbnails | None, odd: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a part: its name in there, and what it holds."""
    for name, content in page_files().items():
        if name != INDEX:
            yield name, content
    for name, make in WHOLE.items():
        yield _script(name, make(snapshot))
    yield _script("live", live_document(snapshot))
    for number in range(len(snapshot.arms)):
        yield _script(f"arm/{number}", arm_document(snapshot, number))
        yield _script(f"compare/{number}", compare_document(snapshot, number))
        if snapshot.arms[number].slot.role == "final":
            yield _script(f"answers/{number}", answers_document(snapshot, number))
            yield _script(f"images/{number}", images_document(snapshot, number, thumbnails))
    for number in range(len(snapshot.evidence.runs)):
        document = run_document(snapshot, number)
        odd += document.get("passed_over", ())
        yield _script(f"run/{number}", document)
        if snapshot.evidence.runs[number].test:
            yield _script(f"agreement/{number}", agreement_document(snapshot, number))


def _script(name: str, document: Mapping[str, Any]) -> tuple[str, bytes]:
    content = b"kdgap.receive(" + as_json(name) + b"," + as_json(document) + b");\n"
    return f"data/{name}.js", content


def _index(part: str) -> str:
    """Return the page, told to read scripts of a part instead of asking a server."""
    policy = POLICY.replace("; frame-ancestors 'none'", "")  # not heeded in a meta element
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    head += f'<meta name="kdgap-data" content="{part}/data">\n'
    page = page_files()[INDEX].decode().replace('="static/', f'="{part}/static/')
    return page.replace('<meta charset="utf-8">\n', f'<meta charset="utf-8">\n{head}', 1)


def _readme(snapshot: Snapshot) -> str:
    title = one_line(f"kdgap: {snapshot.evidence.name}", 60)
    return SPACE.format(title=as_json(title).decode())
