"""From requests to answers: words of a request, json and float32, errors as a sentence with the
status that fits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..files import Json, json_text
from ..statistics.errors import jackknife_rows
from .jobs import Occupied
from .landscapes import MOST_LISTED
from .moments import Moments
from .runs import Unknown
from .uploads import TooLarge

#: Bytes of a request that is no file.
MOST_ASKED = 2**20
#: What an endpoint raises, and the status of the answer.
STATUS: tuple[tuple[type[Exception], int], ...] = (
    (Unknown, 404),
    (FileNotFoundError, 404),
    (TooLarge, 413),
    (Occupied, 409),
    (FileExistsError, 409),
    (ImportError, 424),
    (ValueError, 400),
    (KeyError, 400),
    (OSError, 500),
)

Endpoint = Callable[[Request], Awaitable[Response]]


# ---- answers -----------------------------------------------------------------------------------


def frames_of(moments: Moments, index: NDArray[np.int64]) -> Json:
    """Where frames stand as they are played, their weights, and what share of all they are, with
    its error from blocks (None where one frame, or one block, tells none).
    """
    weights = moments.frames.normalised_weights()
    listed = index[:MOST_LISTED]
    chosen = np.zeros((len(weights), 1))
    chosen[index] = 1
    share = jackknife_rows(moments.frames, chosen)
    error = float(share.error[0])
    return {
        "moments": moments.name,
        "places": moments.place[listed].tolist(),
        "weights": (len(weights) * weights[listed]).round(4).tolist(),
        "count": len(index),
        "of": len(weights),
        "share": float(share.value[0]),
        "share_error": error if math.isfinite(error) else None,
    }


def binary(array: NDArray[np.float32]) -> Response:
    return Response(
        np.ascontiguousarray(array, "<f4").tobytes(), media_type="application/octet-stream"
    )


def attached(name: str, kind: str, content: bytes) -> Response:
    said = f'attachment; filename="{name}"'
    return Response(content, media_type=kind, headers={"Content-Disposition": said})


def asked(answer: Callable[[Request], object]) -> Endpoint:
    """An endpoint that reads: in a thread, for it may take seconds."""

    async def endpoint(request: Request) -> Response:
        return _as_response(await run_in_threadpool(answer, request))

    return endpoint


def done(act: Callable[[Request, Json], object]) -> Endpoint:
    """An endpoint that does something with the json of the request."""

    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_ASKED:
                raise TooLarge("request: expected less than a MiB, found more")
        given = json.loads(body or b"{}")
        if not isinstance(given, dict):
            raise ValueError("request: expected a table of json, found something else")
        return _as_response(await run_in_threadpool(act, request, given))

    return endpoint


def _as_response(found: object) -> Response:
    return (
        found
        if isinstance(found, Response)
        else Response(json_text(found, None), media_type="application/json")
    )


def safely(endpoint: Endpoint) -> Endpoint:
    """Errors as a sentence of json, with the status that fits."""

    async def safe(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            status = next((code for kind, code in STATUS if isinstance(error, kind)), None)
            if status is None:
                raise
            said = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
            return JSONResponse({"error": said}, status)

    return safe


# ---- words of a request ------------------------------------------------------------------------


def whole(request: Request, key: str, default: int) -> int:
    found = integer(key, request.query_params.get(key, str(default)))
    if found < 0:
        raise ValueError(f"{key}: expected 0 or more, found {found}")
    return found


def integer(key: str, word: object) -> int:
    try:
        return int(str(word))
    except ValueError:
        raise ValueError(f"{key}: expected a whole number, found {str(word)[:40]!r}") from None


def decimal(key: str, word: str | None) -> float:
    try:
        found = float(word or "")
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{key}: expected a number, found {str(word)[:40]!r}")
    return found


def spans(request: Request) -> list[tuple[int, int]]:
    """bins=3-7,10-12: from and to of every axis."""
    found = []
    for word in request.query_params.get("bins", "").split(","):
        low, _, high = word.partition("-")
        found.append((integer("bins", low), integer("bins", high or low)))
    return found


def kelvin(given: object) -> float | None:
    if given is None:
        return None
    if not isinstance(given, int | float) or not math.isfinite(given) or given <= 0:
        raise ValueError(f"temperature: expected a positive number of K, found {given!r}")
    return float(given)
