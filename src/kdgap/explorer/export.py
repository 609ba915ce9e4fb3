"""The explorer as static files: the same page, its data as scripts, so that it opens from disk."""

import shutil
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError, one_line
from kdgap.explorer.documents import arm_document, live_document
from kdgap.explorer.judged import compare_document
from kdgap.explorer.page import POLICY, STATIC
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import Snapshot
from kdgap.explorer.watch import WHOLE, as_json
from kdgap.files import make_folder, names_in, read_text, remove, remove_tree, write_atomic

MARK = "kdgap-explorer.json"
"""Says that a folder is an exported page, and may be written over."""
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


def export_page(snapshot: Snapshot, folder: Path) -> int:
    """Write the page with all of its data; return how many files it has.

    Args:
        snapshot: what is shown.
        folder: new, empty, or an earlier export.

    Raises:
        BadInputError: the folder holds something else, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{folder}: is a file; give another --export")
    if folder.is_dir() and names_in(folder) and not (folder / MARK).exists():
        raise BadInputError(f"{folder}: not empty and no exported page; give another --export")
    try:
        make_folder(folder)
        for name in ("data", "static"):
            if (folder / name).is_symlink():
                raise BadInputError(f"{folder / name}: is a symbolic link; give another --export")
            if (folder / name).exists():
                remove_tree(folder / name)
        write_atomic(folder / MARK, as_json({"format": 1, "study": snapshot.evidence.name}))
        shutil.copytree(STATIC, folder / "static")
        remove(folder / "static" / "index.html")
        write_atomic(folder / "index.html", _index().encode())
        write_atomic(folder / "README.md", _readme(snapshot).encode("utf-8", "backslashreplace"))
        return _write_data(snapshot, folder / "data")
    except OSError as error:
        raise BadInputError(f"cannot write {folder}: {error.strerror}") from None


def _write_data(snapshot: Snapshot, folder: Path) -> int:
    for name in ("arm", "compare", "run"):
        make_folder(folder / name)
    for name, make in WHOLE.items():
        _script(folder, name, make(snapshot))
    _script(folder, "live", live_document(snapshot))
    for number in range(len(snapshot.arms)):
        _script(folder, f"arm/{number}", arm_document(snapshot, number))
        _script(folder, f"compare/{number}", compare_document(snapshot, number))
    for number in range(len(snapshot.evidence.runs)):
        _script(folder, f"run/{number}", run_document(snapshot, number))
    return sum(path.is_file() for path in folder.parent.rglob("*"))


def _script(folder: Path, name: str, document: dict[str, Any]) -> None:
    content = b"kdgap.receive(" + as_json(name) + b"," + as_json(document) + b");\n"
    (folder / f"{name}.js").write_bytes(content)


def _index() -> str:
    """Return the page, told to read scripts instead of asking a server."""
    policy = POLICY.replace("; frame-ancestors 'none'", "")  # not heeded in a meta element
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    head += '<meta name="kdgap-data" content="scripts">\n'
    page = read_text(STATIC / "index.html")
    return page.replace('<meta charset="utf-8">\n', f'<meta charset="utf-8">\n{head}', 1)


def _readme(snapshot: Snapshot) -> str:
    title = one_line(f"kdgap: {snapshot.evidence.name}", 60)
    return SPACE.format(title=as_json(title).decode())
