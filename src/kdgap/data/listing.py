"""What of a folder of images is in the set: one listing, and everything else is named.

- A class is a folder in `train/` (and the same in `test/`); all image files below it are its
  images, in folders of any depth. Without `train/`, `test/` and `val/`, a class is a folder in the
  root, and the test images are set apart as `kdgap.data.apart` says.
- A file is an image by its content: named as an image (.png, .jpg …) it must be one, else it is one
  if its first bytes are an image's. Other files are left out.
- Left out are names that begin with a dot (`.ipynb_checkpoints`, `._1.png`), what systems leave
  behind (`__MACOSX`, `Thumbs.db`, `desktop.ini`, `@eaDir` …), pipes, sockets and devices (never
  opened), files beside the class folders, and what is beside `train/` and `test/`. A folder that is
  left out counts once, with a slash after its name.
- Links are followed. A file or folder with several names (links of either sort, loops too) counts
  once in its part; in two classes it is an error, and so is a link that leads nowhere and a folder
  that cannot be listed.
- Where `test/` and `val/` are both there, `val/` is left out: validation images are `val_size` of
  those in `train/`. To use the images of `val/`, move them there.
- File names may hold any bytes; class names are UTF-8.
"""

import errno
import os
import stat
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdgap.errors import BadInputError
from kdgap.files import names_in
from kdgap.text import shown

HIDDEN = "the name begins with a dot"
SYSTEM = "left behind by a system"
SPECIAL = "a pipe, socket or device"
NO_IMAGE = "not an image of a format that is read"
AGAIN = "another name of what is listed already"
UNCLASSED = "not in a class folder"
BESIDE = "beside train/ and test/"
VALIDATION = "validation images are taken from train/, not from val/"
_SYSTEM_NAMES = frozenset(
    {
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "@eadir",
        "icon\r",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)
_NAMED = 20  # names of one reason in a record

Sample = tuple[Path, int]
_Identity = int | str
_Folders = dict[_Identity, int | None]
"""The class that a folder belongs to; None for what is above all classes."""


@dataclass(frozen=True)
class LeftOut:
    """Files and folders that are not in the set for one reason, printable and sorted."""

    reason: str
    names: tuple[str, ...]

    def record(self, named: int = _NAMED) -> dict[str, Any]:
        """Return the reason, how many there are, and the first `named` names."""
        return {
            "reason": self.reason,
            "count": len(self.names),
            "names": list(self.names[:named]),
        }


def remark(left_out: tuple[LeftOut, ...]) -> str:
    """Return one line that says what was left out and why."""
    parts = []
    for left in left_out:
        shown_names = ", ".join(left.names[:3]) + (", …" if len(left.names) > 3 else "")
        parts.append(f"{len(left.names):,} ({left.reason}): {shown_names}")
    return f"left out of the data: {'; '.join(parts)}"


@dataclass(frozen=True)
class Listed:
    """A part of the set, with as little of each image as can be: there may be millions.

    Attributes:
        classes: class names in order.
        root: the folder that was listed.
        names: of the images, below the root.
        labels: of the images.
    """

    classes: tuple[str, ...]
    root: Path
    names: list[str]
    labels: "array[int]"

    @property
    def images(self) -> Iterator[Sample]:
        """Each image's path and label."""
        for name, label in zip(self.names, self.labels, strict=True):
            yield self.root / name, label


@dataclass
class Listing:
    """Lists a folder of images, and keeps what it leaves out.

    Args:
        root: the folder.
        is_image: whether a regular file is one; raises `OSError` if it cannot be read.
    """

    root: Path
    is_image: Callable[[Path], bool]
    _left: dict[str, list[str]] = field(default_factory=dict)

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return what has been left out so far, by reason."""
        return tuple(
            LeftOut(reason, tuple(sorted(self._left[reason]))) for reason in sorted(self._left)
        )

    def has(self, name: str) -> bool:
        """Return whether the root has a folder of this name. Raises `BadInputError` if unknown."""
        try:
            return stat.S_ISDIR((self.root / name).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise _unusable(self.root / name, error) from None

    def beside(self, parts: Mapping[str, str | None]) -> None:
        """Leave out what is in the root: by name the reason, None for the parts that are read."""
        for name in self._names(self.root):
            reason = parts.get(name, passed_over(name) or BESIDE)
            if reason is not None:
                self._leave(self.root / name, reason)

    def part(self, name: str) -> Listed:
        """List a part; an empty name stands for the root itself.

        Raises:
            BadInputError: naming what cannot be listed, or a class without an image.
        """
        folder = self.root / name if name else self.root
        # What is above a class belongs to no class, whatever links lead there.
        folders: _Folders = {}
        for place in (self.root.resolve(), folder.resolve()):
            folders |= {
                _identity(above, self._stat(above)): None for above in (place, *place.parents)
            }
        classes: list[str] = []
        for path, about in self._kept(folder):
            if not stat.S_ISDIR(about.st_mode):
                self._leave(path, UNCLASSED)
                continue
            if not _is_utf8(path.name):
                raise BadInputError(
                    f"{shown(path)}: the class name is not UTF-8; rename the folder"
                )
            other = folders.setdefault(_identity(path, about), len(classes))
            if other != len(classes):
                same = "one above it" if other is None else shown(folder / classes[other])
                raise BadInputError(f"{shown(path)}: is the same folder as {same}; remove the link")
            classes.append(path.name)
        if not classes:
            expected = f"{name}/CLASS/" if name else "CLASS/ with its images"
            raise BadInputError(f"{shown(folder)}: no class folder in it; expected {expected}")
        names, labels = self._images(folder, classes, folders)
        return Listed(tuple(classes), self.root, names, labels)

    def _images(
        self, folder: Path, classes: list[str], folders: _Folders
    ) -> "tuple[list[str], array[int]]":
        """Return the images of a part, by class, folder and name, whatever order links come in.

        Of each image its name stays; beside it, while it is listed, a number that says which file
        it is.
        """
        names: list[str] = []
        labels = array("i")
        owners: dict[_Identity, int] = {}
        for label, name in enumerate(classes):
            before = len(names)
            for path, identity in self._files(folder, classes, label, folders):
                owner = owners.setdefault(identity, label)
                if owner != label:
                    first = next(
                        there
                        for there in map(self.root.__truediv__, names)
                        if _identity(there, self._stat(there)) == identity
                    )
                    raise BadInputError(
                        f"{shown(path)}: is the same file as {shown(first)}, which is of another"
                        " class; remove one of them"
                    )
                if len(owners) == len(names):
                    self._leave(path, AGAIN)
                else:
                    names.append(str(path.relative_to(self.root)))
            if len(names) == before:
                raise BadInputError(
                    f"{shown(folder)}: no image in class {name!r}; add some, or remove the folder"
                )
            names[before:] = sorted(names[before:], key=os.path.split)
            labels.extend([label] * (len(names) - before))
        return names, labels

    def _files(
        self, folder: Path, classes: list[str], label: int, folders: _Folders
    ) -> Iterator[tuple[Path, _Identity]]:
        """Yield the image files below a class folder, at any depth."""
        waiting = deque([folder / classes[label]])
        while waiting:
            for path, about in self._kept(waiting.popleft()):
                identity = _identity(path, about)
                if stat.S_ISREG(about.st_mode):
                    if self._asked(path):
                        yield path, identity
                    else:
                        self._leave(path, NO_IMAGE)
                elif not stat.S_ISDIR(about.st_mode):
                    self._leave(path, SPECIAL)
                elif identity not in folders:
                    folders[identity] = label
                    waiting.append(path)
                elif (owner := folders[identity]) in (None, label):
                    self._leave(path, AGAIN)
                else:
                    raise BadInputError(
                        f"{shown(path)}: leads into another class, {classes[owner]!r}; remove it"
                    )

    def _kept(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield what is in a folder, links resolved, without what its name leaves out."""
        for name in self._names(folder):
            path = folder / name
            if reason := passed_over(name):
                self._leave(path, reason)
            else:
                yield path, self._stat(path)

    def _names(self, folder: Path) -> list[str]:
        try:
            return names_in(folder)
        except OSError as error:
            raise _unusable(folder, error) from None

    def _stat(self, path: Path) -> os.stat_result:
        try:
            return path.stat()
        except OSError as error:
            raise _unusable(path, error) from None

    def _asked(self, path: Path) -> bool:
        try:
            return self.is_image(path)
        except OSError as error:
            raise _unusable(path, error) from None

    def _leave(self, path: Path, reason: str) -> None:
        slash = "/" if _is_folder(path) else ""
        self._left.setdefault(reason, []).append(shown(path.relative_to(self.root)) + slash)


def _unusable(path: Path, error: OSError) -> BadInputError:
    nowhere = error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink()
    what = "a link that leads nowhere" if nowhere else "cannot be read"
    return BadInputError(f"{shown(path)}: {what} ({error.strerror}); repair or remove it")


def passed_over(name: str) -> str | None:
    """Return why a name is passed over, whatever has it; None = it is not."""
    if name.startswith("."):
        return HIDDEN
    return SYSTEM if name.casefold() in _SYSTEM_NAMES else None


def _identity(path: Path, about: os.stat_result) -> _Identity:
    # Some network drives number no file.
    return about.st_dev << 64 | about.st_ino if about.st_ino else str(path.resolve())


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
