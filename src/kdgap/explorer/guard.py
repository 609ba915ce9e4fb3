"""Who may ask for what: this machine's browser, by GET, and nobody else's page.

A page of another site can make a browser ask a server on this machine. It cannot choose the `Host`
that the browser names (a name of its own that resolves to 127.0.0.1 is foreign), and the browser
names the page's `Origin`. So both are checked, on every method, before anything else is looked at.

A name of the loopback interface is this machine's whatever the port, which another one may be
forwarded to (`ssh -L 9999:localhost:8000`). Any other name may be the attacker's, and counts only
as it was given, with its port. An origin is the page's own if it is the very `Host` that was asked,
or another name of the server: a page on another port of this machine is another site.
"""

import re
import secrets
from collections.abc import Collection
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "kdgap-token"
"""With the port after it: a cookie is the host's, which may have several explorers."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """Refuses what does not come from the page itself.

    Args:
        app: what is guarded.
        hosts: names that the server goes by, with its port, such as `127.0.0.1:8000`.
        token: what a visitor has to know; None on a loopback address.
        policy: the Content-Security-Policy.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str], token: str | None, policy: str
    ) -> None:
        self._app, self._hosts, self._token, self._policy = app, set(hosts), token, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return  # no web socket is offered
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    given.setdefault(name, value)
                given.setdefault("Content-Security-Policy", self._policy)
            await send(message)

        app = refusal or self._app
        await app(scope, receive, answer)

    def _refusal(self, scope: Scope, headers: Headers) -> ASGIApp | None:
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or not (hosts[0] in self._hosts or is_loopback(hosts[0])):
            return PlainTextResponse("403: this server does not go by that name\n", 403)
        origins = {_host_of(origin) for origin in headers.getlist("origin")}
        foreign = not origins <= {*hosts, *self._hosts}
        # A link to the page from elsewhere is a navigation, which shows nothing to that site.
        embedded = headers.get("sec-fetch-mode") != "navigate"
        if foreign or (headers.get("sec-fetch-site") == "cross-site" and embedded):
            return PlainTextResponse("403: asked by a page of another site\n", 403)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("405: only GET\n", 405, {"Allow": "GET, HEAD"})
        return None if self._token is None else self._ask_token(scope, headers, self._token)

    def _ask_token(self, scope: Scope, headers: Headers, token: str) -> ASGIApp | None:
        """Let in who has the cookie; who names the token gets it, and an address without it."""
        name = f"{COOKIE}-{_port(headers['host'])}"
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        if secrets.compare_digest(given.encode(), token.encode()):
            answer = RedirectResponse("/" + scope["path"].lstrip("/"), 303)
            answer.set_cookie(name, token, httponly=True, samesite="strict")
            return answer
        cookie: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            cookie.load(headers.get("cookie", ""))
        known = cookie[name].value if name in cookie else ""
        if secrets.compare_digest(known.encode(), token.encode()):
            return None
        return PlainTextResponse("401: open the address with ?token=… once\n", 401)


def _port(host: str) -> str:
    port = host.rpartition(":")[2]
    return port if port.isdecimal() else "80"


def _host_of(origin: str) -> str | None:
    """Return the host and port of an origin; None of what is none, such as `null`."""
    match = re.fullmatch(r"https?://([^/?#@\\\s]+)", origin.lower())
    return match and match[1]


def is_loopback(host: str) -> bool:
    """Whether a `Host`, in small letters, is a name of the loopback interface, with any port.

    These are `localhost` and what ends so (RFC 6761), 127.0.0.0/8 in four plain numbers, and
    `[::1]`. Browsers send them so, however they were typed.
    """
    match = re.fullmatch(r"(\[[0-9a-f:]+\]|[0-9a-z.-]+)(?::([0-9]{1,5}))?", host)
    if match is None or int(match[2] or 0) > 65535:
        return False
    name = match[1]
    if re.fullmatch(r"(?:[0-9a-z](?:[0-9a-z-]*[0-9a-z])?\.)*localhost\.?", name):
        return True
    with suppress(ValueError):
        return ip_address(name.strip("[]")).is_loopback and (":" in name) == name.startswith("[")
    return False
