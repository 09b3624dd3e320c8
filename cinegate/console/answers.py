"""How a page's requests are answered: with bytes, or with one sentence that says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gating.errors import CinegateError


def answered(
    answer: Callable[[Request], Awaitable[bytes]], media_type: str = "application/octet-stream", **headers: str
) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a function; what it refuses by `CinegateError` becomes one sentence."""

    async def endpoint(request: Request) -> Response:
        try:
            return Response(await answer(request), media_type=media_type, headers=headers)
        except CinegateError as error:
            return PlainTextResponse(f"{error}\n", 400)

    return endpoint
