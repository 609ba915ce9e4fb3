"""The local page: an ASGI application over one study's directory."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from kdgap.errors import KdgapError, one_line
from kdgap.explorer.answers import agreement_document, answers_document, images_document
from kdgap.explorer.documents import arm_document
from kdgap.explorer.guard import Guard
from kdgap.explorer.judged import compare_document
from kdgap.explorer.page import INDEX, POLICY, page_files
from kdgap.explorer.run_document import run_document
from kdgap.explorer.snapshot import Snapshot
from kdgap.explorer.watch import WHOLE, Watch, as_json
from kdgap.judge.answers import Thumbnails
from kdgap.store.study import StudyDirectory

NUMBERED: dict[str, Callable[[Snapshot, int], dict[str, Any]]] = {
    "arm": arm_document,
    "compare": compare_document,
    "answers": answers_document,
    "agreement": agreement_document,
    "run": run_document,
}
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
INERT = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": "attachment",
}
"""A file of the study is handed over and never run: a record may hold anybody's text."""


def application(
    watch: Watch,
    hosts: list[str],
    token: str | None = None,
    thumbnails: Thumbnails | None = None,
) -> ASGIApp:
    """Return the application.

    Args:
        watch: the study.
        hosts: names with ports that the server goes by.
        token: what a visitor has to know; None on a loopback address.
        thumbnails: draws test images, where the data is at hand.
    """
    files = page_files()

    def page(request: Request) -> Response:
        name = request.url.path.lstrip("/") or INDEX
        if name not in files:
            return _missing()
        kind = TYPES.get(Path(name).suffix, "text/plain")
        return Response(files[name], media_type=f"{kind}; charset=utf-8")

    def images(snapshot: Snapshot, number: int) -> dict[str, Any]:
        return images_document(snapshot, number, thumbnails)

    def whole(request: Request) -> Response:
        name = request.path_params["name"]
        return _answer(lambda: watch.document(name)) if name in WHOLE else _missing()

    def numbered(request: Request) -> Response:
        kind, number = request.path_params["kind"], request.path_params["number"]
        make = images if kind == "images" else NUMBERED.get(kind)
        if make is None or not re.fullmatch("[0-9]{1,9}", number):
            return _missing()
        return _answer(lambda: as_json(make(watch.look(), int(number))))

    def live(_: Request) -> Response:
        return _answer(watch.live)

    def file(request: Request) -> Response:
        path = study_file(watch.snapshot.path, request.path_params["path"])
        if path is None:
            return _missing()
        return FileResponse(path, media_type="application/octet-stream", headers=INERT)

    routes = [
        Route("/", page),
        Route("/static/{name:path}", page),
        Route("/data/{kind}/{number}.json", numbered),
        Route("/data/live.json", live),
        Route("/data/{name}.json", whole),
        Route("/files/{path:path}", file),
    ]
    handlers: dict[Any, Any] = {404: lambda *_: _missing()}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(GZipMiddleware(app, minimum_size=2000, compresslevel=5), hosts, token, POLICY)


def study_file(study: Path, asked: str) -> Path | None:
    """Return a file of a study by its path there; None for anything else.

    Only what the directory of a planned run holds is served: plain files, by plain names, and no
    link, so that nothing outside is reached.
    """
    parts = asked.split("/")
    if any(
        part in ("", ".", "..") or part.startswith(".") or set(part) & set("\\:\0")
        for part in parts
    ):
        return None
    try:
        known = {run["path"] for run in StudyDirectory(study).plan()["runs"]}
    except KdgapError:  # no study of ours, no runs to serve
        return None
    if "/".join(parts[:-1]) not in known:
        return None
    place = study
    try:
        for part in parts:
            place = place / part
            if place.is_symlink():
                return None
        return place if place.is_file() and os.access(place, os.R_OK) else None
    except OSError:  # no name that a file could have
        return None


def _answer(make: Callable[[], bytes]) -> Response:
    """Answer with a document; a study that cannot be read just now is no reason to fall over.

    Files may be half written, taken away this moment, or changed by hand to anything at all.
    """
    try:
        return Response(make(), media_type="application/json")
    except IndexError:
        return _missing()
    except Exception as error:  # noqa: BLE001
        return PlainTextResponse(f"503: {one_line(error, 300)}\n", 503)


def _missing() -> Response:
    return PlainTextResponse("404: there is no such page\n", 404)
