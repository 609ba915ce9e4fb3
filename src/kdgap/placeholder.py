"""Files that stand where others are meant: what git or a browser left there, by its first bytes."""

HEAD_BYTES = 1024
"""How much of a file tells."""
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer",
    b"version https://hawser.github.com/spec/": "a Git LFS pointer",
    b"/annex/objects/": "a git-annex pointer",
}
_WAYS = {"a Git LFS pointer": "`git lfs pull` in its repository fetches the file itself",
         "a git-annex pointer": "`git annex get` in its repository fetches the file itself",
         "a web page": "download the file itself again"}  # fmt: skip


def placeholder(head: bytes) -> str:
    """Return what a file is in place of what was meant, and what to do; empty for any other.

    Args:
        head: its first `HEAD_BYTES`.
    """
    kind = next((kind for start, kind in _POINTERS.items() if head.startswith(start)), "")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")) or (
        text.startswith((b"<?xml", b"<!--")) and b"<html" in text
    ):
        kind = "a web page"
    return f"is {kind}: {_WAYS[kind]}" if kind else ""
