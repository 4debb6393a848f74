"""Who may ask: a page of this server, in a browser of this machine, with the token of the address.

| what is refused | because |
|---|---|
| a `Host` that is not this server's own | a foreign name that was bound to 127.0.0.1 (DNS rebinding) |
| an `Origin` or `Sec-Fetch-Site` of another page | a page of the web that sends requests to this machine |
| no token, or a wrong one, for anything but the page's own code | another user or program of this machine |

The token stands in the fragment of the address, which no browser sends or writes into a log. The page
keeps it in its tab and gives it as `Authorization: Bearer`; there is no cookie, which every server of
this machine would be shown.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: What is asked for below this needs the token; the rest is the page's own code.
GUARDED = "/api/"
#: Said with every answer. No script but the page's own files, nothing from elsewhere, no frames.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def hosts_of(port: int) -> tuple[str, ...]:
    """What `Host` may say of a server at this port."""
    return f"127.0.0.1:{port}", f"localhost:{port}"


@dataclass(frozen=True)
class Door:
    """An ASGI application that lets through what may pass.

    Attributes:
        app: behind it.
        token: of the address.
        hosts: what `Host` may say.
    """

    app: ASGIApp
    token: str
    hosts: Sequence[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # no websockets

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(Headers(scope=scope), scope["path"])
        await (refusal or self.app)(scope, receive, sealed)

    def _refusal(self, headers: Headers, path: str) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self.hosts:
            return _refused(403, f"expected the host {self.hosts[0]}, found another name")
        if origin is not None and origin != f"http://{host}":
            return _refused(403, "expected a request of this page, found one of another origin")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refused(403, "expected a request of this page, found one of another site")
        if path.startswith(GUARDED) and not self._known(headers.get("authorization", "")):
            return _refused(
                401, "expected the token: open the address that cgrec view printed, to its end"
            )
        return None

    def _known(self, given: str) -> bool:
        """Compared in a time that does not tell how much of it was right."""
        return secrets.compare_digest(given.encode(), f"Bearer {self.token}".encode())


def _refused(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status)
