"""The pages' files: read once a process, served from memory with ETag; nothing else is reachable."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

from daemon.api.deps import Deps

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
PAGES = {"/": "index.html", "/desk": "desk.html", "/wall": "wall.html"}


@dataclass(frozen=True, slots=True)
class File:
    """A file in memory."""

    body: bytes
    content_type: str
    etag: str


@cache
def load() -> dict[str, File]:
    """Every file of the pages by name."""
    found: dict[str, File] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
                continue
            kind = TYPES.get("." + entry.name.rpartition(".")[2])
            if kind is not None:
                body = entry.read_bytes()
                found[prefix + entry.name] = File(body, kind, f'"{hashlib.sha256(body).hexdigest()[:16]}"')

    walk(files("daemon.api").joinpath("pages"), "")
    return found


def mount(app: web.Application, deps: Deps) -> None:
    """Pages at `/`, `/desk`, `/wall`; their files under /static/."""
    table = load()

    def answer(request: web.Request, name: str) -> web.Response:
        file = table.get(name)
        if file is None:
            raise web.HTTPNotFound
        headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Content-Type": file.content_type}
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=file.body, headers=headers)

    async def static(request: web.Request) -> web.Response:
        return answer(request, request.match_info["name"])

    def page(name: str) -> None:
        async def serve(request: web.Request) -> web.Response:
            return answer(request, PAGES[name])

        app.router.add_get(name, serve)

    for name in PAGES:
        page(name)
    app.router.add_get("/static/{name:.+}", static)
