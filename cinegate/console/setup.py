"""The Set up page's part of the server: what the page asks for, within bounds, and who does it.

Nothing is kept between two requests but the proposal of a dry run; the page holds what was drawn. Files are opened in
processes of their own, which may be ended.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from cinegate.console import setup_files, setup_work
from cinegate.console.answers import answered
from cinegate.console.operators import READ_ONLY
from cinegate.console.setup_plan import Name, Plan, Shown
from cinegate.console.worker import Worker, WorkError
from drivers.registry import load_source, source_names
from gating.settings.presets import NAMES, read_preset

MAX_ASKED_BYTES: Final = 2 * 2**20
MAX_UPLOAD_BYTES: Final = 64 * 2**20
LIMIT_S: Final = 120.0
"""The first boundary on a computer may have to be compiled."""
DRY_RUN_LIMIT_S: Final = 600.0
LOOK_MARGIN_S: Final = 90.0
"""A source may wait for its first frame, and its images must be written."""
MAX_PROPOSALS: Final = 4

Asked = TypeVar("Asked", bound=Struct)


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ShowFrame(_Body, frozen=True, kw_only=True):
    """One frame is to be shown."""

    shown: Shown
    index: Annotated[int, Meta(ge=0, le=2**31)]


class DryRun(_Body, frozen=True, kw_only=True):
    """The motion of the first target is to be learned, without beam."""

    plan: Plan
    seconds: Annotated[float, Meta(ge=30, le=120)] = 45.0
    latency_ms: Annotated[float, Meta(ge=0, le=2000)] = 250.0


class Save(_Body, frozen=True, kw_only=True):
    """The plan is to be saved, with the proposal of its dry run if somebody has accepted it."""

    plan: Plan
    name: Name
    replace: bool = False
    accepted_by: Name = ""


class Look(_Body, frozen=True, kw_only=True):
    """The images of a source are to be taken for some seconds."""

    source: Name
    options: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    seconds: Annotated[float, Meta(ge=1, le=120)] = 20.0


class SetUp:
    """Answers the Set up page.

    Parameters
    ----------
    folders
        Recordings in these may be opened.
    into
        Folder for what is saved; its recordings may be opened too.
    operator
        Who may save; empty: nobody.
    """

    def __init__(self, folders: Sequence[Path], into: Path, operator: str) -> None:
        self._into, self._operator = into.resolve(), operator
        self._folders = tuple(dict.fromkeys([*(folder.resolve() for folder in folders), self._into]))
        self._desk, self._laboratory = Worker(), Worker()
        """What a click waits for, and what takes long."""
        self._proposals: OrderedDict[bytes, str] = OrderedDict()
        """Configurations by the plan that was tried."""

    def routes(self) -> list[Route]:
        """Return what the page asks for."""
        asked: dict[str, Callable[[Request], Awaitable[bytes]]] = {
            "open": self._open,
            "frame": self._frame,
            "outline": self._outline,
            "copy": self._copy,
            "look": self._look,
            "dry-run": self._dry_run,
            "save": self._save,
        }
        told = {"begin": self._begin, "form/{name}": self._form}
        return [
            *(Route(f"/setup/{name}", answered(answer), methods=["POST"]) for name, answer in asked.items()),
            *(Route(f"/setup/{name}", answered(answer)) for name, answer in told.items()),
        ]

    def close(self) -> None:
        """End the processes."""
        self._desk.close()
        self._laboratory.close()

    async def _begin(self, _: Request) -> bytes:
        listed = await self._at_desk(setup_work.list_recordings, self._folders)
        sources = [name for name in source_names() if name != "replay"]
        presets = [{"name": name, "about": _comments(read_preset(name))} for name in NAMES]
        begin: dict[str, Any] = {"recordings": msgspec.Raw(listed), "sources": sources, "presets": presets}
        begin |= {"folder": str(self._into), "operator": self._operator, "max_upload_bytes": MAX_UPLOAD_BYTES}
        return msgspec.json.encode(begin)

    async def _form(self, request: Request) -> bytes:
        """Return the JSON Schema of a source's settings, or of those of a recording."""
        return await run_in_threadpool(_form, request.path_params["name"])

    async def _open(self, request: Request) -> bytes:
        return await self._at_desk(setup_work.open_shown, await _asked(request, Shown), self._folders)

    async def _frame(self, request: Request) -> bytes:
        asked = await _asked(request, ShowFrame)
        return await self._at_desk(setup_work.show_frame, asked.shown, asked.index, self._folders)

    async def _outline(self, request: Request) -> bytes:
        return await self._at_desk(setup_work.outline, await _asked(request, Plan), self._folders)

    async def _copy(self, request: Request) -> bytes:
        query = request.query_params
        shown = _decoded(query.get("shown", "").encode(), Shown)
        data = await _body(request, MAX_UPLOAD_BYTES)
        name, structure = query.get("file", "")[:200], query.get("structure", "")[:64]
        return await self._at_desk(setup_work.copy_outline, shown, data, name, structure, self._folders)

    async def _look(self, request: Request) -> bytes:
        asked = await _asked(request, Look)
        self._require_operator()
        limit_s = asked.seconds + LOOK_MARGIN_S
        work = (setup_files.look, asked.source, asked.options, asked.seconds, self._into)
        return await run_in_threadpool(self._laboratory.run, *work, limit_s=limit_s)

    async def _dry_run(self, request: Request) -> bytes:
        asked = await _asked(request, DryRun)
        work = (setup_work.dry_run, asked.plan, asked.seconds, asked.latency_ms, self._folders)
        answer = await run_in_threadpool(self._laboratory.run, *work, limit_s=DRY_RUN_LIMIT_S)
        self._proposals[msgspec.json.encode(asked.plan)] = msgspec.json.decode(answer)["config"]
        while len(self._proposals) > MAX_PROPOSALS:
            self._proposals.popitem(last=False)
        return answer

    async def _save(self, request: Request) -> bytes:
        asked = await _asked(request, Save)
        self._require_operator()
        config, by = "", asked.accepted_by
        if by:
            if not by.strip() or not by.isprintable():
                raise WorkError(f"accepted_by is {by!r}; a name of plain characters is needed")
            config = self._proposals.get(msgspec.json.encode(asked.plan), "")
            if not config:
                raise WorkError("the proposal is of other contours or settings; make the dry run again")
        work = (setup_files.save, asked.plan, asked.name, asked.replace, config, by, self._operator)
        return await self._at_desk(*work, self._into, self._folders)

    async def _at_desk(self, work: Callable[..., bytes], *arguments: Any) -> bytes:
        return await run_in_threadpool(self._desk.run, work, *arguments, limit_s=LIMIT_S)

    def _require_operator(self) -> None:
        if not self._operator:
            raise WorkError(READ_ONLY)


def _form(name: str) -> bytes:
    settings = Shown if name == "recording" else getattr(load_source(name), "Settings", None)
    if settings is None:
        raise WorkError(f"{name} has no settings")
    schema = msgspec.json.schema(settings)
    parts = {f"#/$defs/{key}": part for key, part in schema["$defs"].items()}
    form = parts[schema["$ref"]]
    properties = {
        key: parts.get(rule.get("$ref"), {}) | rule for key, rule in form["properties"].items() if key != "recording"
    }
    return msgspec.json.encode(form | {"properties": properties})


def _comments(text: str) -> str:
    return " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))


async def _asked(request: Request, kind: type[Asked]) -> Asked:
    return _decoded(await _body(request, MAX_ASKED_BYTES), kind)


def _decoded(data: bytes, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkError(f"the request is refused: {error}") from None


async def _body(request: Request, limit: int) -> bytes:
    """Return the body of a request, and never take more of it than allowed. Raises `WorkError`."""
    said = request.headers.get("content-length", "0")
    size = int(said) if said.isdecimal() else 0
    parts = bytearray()
    if size <= limit:
        async for part in request.stream():
            parts += part
            if len(parts) > limit:
                break
    if max(size, len(parts)) > limit:
        raise WorkError(f"{max(size, len(parts))} bytes were sent; the limit is {limit}")
    return bytes(parts)
