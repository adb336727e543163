"""Who may ask the server, and for what: whoever opened an address with a token that was printed, from its own pages.

- A token opens the server once; from then on a cookie does, which ends with the browser or the server.
- Host must be an address of the server, so that a name which another site turns to 127.0.0.1 gets no answer
  (DNS rebinding).
- A POST must come from a page of the server: its Origin says so, and a header that no form of another site can send.
"""

import secrets
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

CSRF_HEADER = "X-Sweep-Csrf"
MOST_SESSIONS = 64
"""Browsers that are signed in at once; one more takes the place of the oldest."""
HTTP_PORT = 80
"""Which a browser leaves out of a Host."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; font-src data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Content-Security-Policy of every answer: scripts are files of the server, so that no text of a page can be one."""


class Access:
    """The tokens that open a server, and the browsers that it knows.

    Attributes:
        host: the address or name that the server is bound to, as it stands in a URL.
        port: the port.
    """

    def __init__(self, host: str, port: int) -> None:
        """Nobody is signed in, and no token opens anything."""
        self.host = f"[{host}]" if ":" in host else host
        self.port = port
        self._token = ""
        self._csrf_of: dict[str, str] = {}

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies do not tell ports apart, so that its name does."""
        return f"sft_sweep_{self.port}"

    def new_address(self) -> str:
        """An address that opens the server once; the one before does not any more."""
        self._token = secrets.token_urlsafe(24)
        return f"http://{self.host}:{self.port}/?{urlencode({'token': self._token})}"

    def csrf_of(self, request: web.Request) -> str:
        """What the pages of a browser send along with a POST; empty for a browser that is not signed in."""
        return self._csrf_of.get(request.cookies.get(self.cookie, ""), "")

    def sign_in(self, token: str) -> str | None:
        """The value of the cookie for whoever has the token; None for a token that opens nothing, or no more."""
        if not self._token or not _are_equal(token, self._token):
            return None
        self._token = ""
        session = secrets.token_urlsafe(32)
        while len(self._csrf_of) >= MOST_SESSIONS:
            del self._csrf_of[next(iter(self._csrf_of))]
        self._csrf_of[session] = secrets.token_urlsafe(32)
        return session

    def refusal_of(self, request: web.Request) -> web.Response | None:
        """Why a request is not answered; None for one that is."""
        if request.headers.get("Host", "").lower() not in self._own_hosts():
            here = f"{self.host}:{self.port}"
            return refused(403, f"This server answers as {here} alone; a tunnel to it needs this port on both ends.")
        if request.method not in ("GET", "POST"):
            return refused(405, "Only GET and POST are accepted.")
        if request.method == "GET" and request.path == "/" and "token" in request.query:
            return None
        csrf = self.csrf_of(request)
        if not csrf:
            return refused(401, "Open the address that the server printed last; a token in it opens the server once.")
        if request.method == "POST" and not self._is_from_own_page(request, csrf):
            return refused(403, "A request that changes something must come from a page of this server.")
        return None

    def _own_hosts(self) -> set[str]:
        names = {self.host.lower()}
        if self.host in ("127.0.0.1", "localhost", "[::1]"):
            names = {"127.0.0.1", "localhost", "[::1]"}
        return {f"{name}:{self.port}" for name in names} | (names if self.port == HTTP_PORT else set())

    def _is_from_own_page(self, request: web.Request, csrf: str) -> bool:
        same_origin = request.headers.get("Origin") == f"http://{request.headers.get('Host')}"
        same_site = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        sent = request.headers.get(CSRF_HEADER, "")
        return same_origin and same_site and _are_equal(sent, csrf)


def _are_equal(sent: str, kept: str) -> bool:
    """In a time that tells nothing of where they differ. What is sent may hold bytes that are no text."""
    return secrets.compare_digest(sent.encode("utf-8", "surrogatepass"), kept.encode())


def refused(status: int, why: str) -> web.Response:
    """An answer that says in a line why there is no other."""
    return web.Response(status=status, text=f"{why}\n")


def guard(access: Access) -> Middleware:
    """What stands before every handler: refuse, sign in, or go on."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (refusal := access.refusal_of(request)) is not None:
            return refusal
        if request.path == "/" and (token := request.query.get("token")) is not None:
            return _signed_in(access, request, token)
        return await handler(request)

    return guarded


def _signed_in(access: Access, request: web.Request, token: str) -> web.Response:
    """On to the address without the token; a browser that is signed in already goes there, too."""
    session = access.sign_in(token)
    if session is None and not access.csrf_of(request):
        return refused(401, "This token has opened the server before, or never did. Ask the server for another one.")
    answer = web.Response(status=303, headers={"Location": "/"})
    if session is not None:
        answer.set_cookie(access.cookie, session, httponly=True, samesite="Strict", path="/")
    return answer


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer the headers that keep it to its own page."""
    response.headers.update({**HEADERS, "Content-Security-Policy": POLICY})
    response.headers["Server"] = "sft-sweep"
