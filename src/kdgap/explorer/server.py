"""The local page: an ASGI application over one study's directory."""

import os
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
from kdgap.explorer.documents import arm_document
from kdgap.explorer.guard import Guard
from kdgap.explorer.judged import compare_document
from kdgap.explorer.page import POLICY, STATIC
from kdgap.explorer.run_document import run_document
from kdgap.explorer.watch import WHOLE, Watch, as_json
from kdgap.store.study import StudyDirectory

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


def application(watch: Watch, hosts: list[str], token: str | None = None) -> ASGIApp:
    """Return the application.

    Args:
        watch: the study.
        hosts: names with ports that the server goes by.
        token: what a visitor has to know; None on a loopback address.
    """

    def whole(request: Request) -> Response:
        name = request.path_params["name"]
        return _json(watch.document(name)) if name in WHOLE else _missing()

    def arm(request: Request) -> Response:
        return _numbered(request, lambda n: arm_document(watch.look(), n))

    def compare(request: Request) -> Response:
        return _numbered(request, lambda n: compare_document(watch.look(), n))

    def run(request: Request) -> Response:
        return _numbered(request, lambda n: run_document(watch.look(), n))

    def live(_: Request) -> Response:
        return _json(watch.live())

    def file(request: Request) -> Response:
        found = study_file(watch.snapshot.path, request.path_params["path"])
        if found is None:
            return _missing()
        return FileResponse(found, media_type="application/octet-stream", headers=INERT)

    routes = [
        Route("/", _page),
        Route("/static/{name:path}", _static),
        Route("/data/arm/{number:int}.json", arm),
        Route("/data/compare/{number:int}.json", compare),
        Route("/data/run/{number:int}.json", run),
        Route("/data/live.json", live),
        Route("/data/{name}.json", whole),
        Route("/files/{path:path}", file),
    ]
    handlers: dict[Any, Any] = {404: lambda *_: _missing(), KdgapError: _unreadable}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return Guard(GZipMiddleware(app, minimum_size=2000, compresslevel=5), hosts, token, POLICY)


def study_file(study: Path, asked: str) -> Path | None:
    """Return a file of a study by its path there; None for anything else.

    Only what a run directory or the study itself holds is served: plain files, by plain names, and
    no link, so that nothing outside is reached.
    """
    parts = asked.split("/")
    if any(
        part in ("", ".", "..") or part.startswith(".") or set(part) & set("\\:\0")
        for part in parts
    ):
        return None
    planned = {"plan.json", "selection.json", "study.yaml", "import.json", "runs.jsonl"}
    if len(parts) == 1 and parts[0] not in planned:
        return None
    if len(parts) > 1:
        try:
            known = {run["path"] for run in StudyDirectory(study).plan()["runs"]}
        except Exception:  # noqa: BLE001  # no study of ours, no runs to serve
            return None
        if "/".join(parts[:-1]) not in known:
            return None
    place = study
    for part in parts:
        place = place / part
        if place.is_symlink():
            return None
    return place if place.is_file() and os.access(place, os.R_OK) else None


def _numbered(request: Request, make: Callable[[int], dict[str, Any]]) -> Response:
    try:
        return _json(as_json(make(request.path_params["number"])))
    except IndexError:
        return _missing()


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _missing() -> Response:
    return PlainTextResponse("404: there is no such page\n", 404)


def _unreadable(_: Request, error: Exception) -> Response:
    """Say that the study cannot be read just now, as while its plan is written anew."""
    return PlainTextResponse(f"503: {one_line(error, 300)}\n", 503)


def _page(_: Request) -> Response:
    return Response((STATIC / "index.html").read_bytes(), media_type="text/html; charset=utf-8")


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    known = {
        str(path.relative_to(STATIC).as_posix()): path
        for path in STATIC.rglob("*")
        if path.is_file()
    }
    if name not in known:
        return _missing()
    return Response(
        known[name].read_bytes(),
        media_type=f"{TYPES.get(known[name].suffix, 'text/plain')}; charset=utf-8",
    )
