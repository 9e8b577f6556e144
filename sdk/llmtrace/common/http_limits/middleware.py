"""The one thing in front of a part's routes.

In this order, and before a byte of a body is read: may this `Host`, is there such a route, is there room, may
this web page, whose key is it and may it do this, is the body small enough. Only then the body is read,
within its limits, and the route runs.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from .bodies import BodyBudget, BodyReader, ClientGone, Message, Receive, too_large
from .json_bounds import JsonTooComplex, check_json
from .policy import Policy, RouteTable
from .refusal import Refusal
from .request_headers import HostRule, OriginRule, RequestHeaders

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Finds out whose a request is: the identity that the route then finds in `request.state.identity`. Raises
#: Refusal.
Identify = Callable[[Scope, Policy], Awaitable[object]]

#: Writes a refusal as the part's clients read it: headers (lower-case names) and body.
Formatter = Callable[[Scope, Refusal], tuple[Mapping[str, str], bytes]]

#: Learns of what was refused for reasons of security: `cross_site` or `body_too_large`, and a sentence.
Observer = Callable[[Scope, str, str], None]

#: Set in a connection's state by the server when all others are taken.
CROWDED = "llmtrace.crowded"

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")

#: How long (seconds) a browser remembers what was allowed.
_MAX_AGE = "600"

_EXPOSED = "x-request-id, retry-after, x-should-retry"


@dataclass(frozen=True)
class Rules:
    """What `HttpLimits` goes by. `body_bytes`: bytes of all bodies in memory at once."""

    routes: RouteTable
    hosts: HostRule
    origins: OriginRule
    identify: Identify
    formatter: Formatter
    observer: Observer = lambda scope, kind, detail: None
    body_bytes: int = 128 << 20


class HttpLimits:
    """ASGI middleware that lets through to `app` what meets `rules`."""

    def __init__(self, app: App, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._budget = BodyBudget(rules.body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, the application's lifespan, or a web socket, of which there is none."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = ""
        is_crowded = scope.setdefault("state", {}).get(CROWDED)
        try:
            headers = RequestHeaders(scope)
            method, path = scope["method"], scope["path"]
            wanted = headers.get(b"access-control-request-method") if method == "OPTIONS" else ""
            self._rules.hosts.check(headers)
            policy = self._rules.routes.find(wanted or method, path)
            _check_room(policy, is_crowded=bool(is_crowded))
            origin = self._origin(scope, headers, policy)
            if wanted:
                await _preflight(headers, origin, self._rules.routes.methods(path), send)
                return
            answer = _Answer(send, origin)
            if policy.roles:
                scope["state"]["identity"] = await self._rules.identify(scope, policy)
            self._check_length(headers, policy)
            with self._budget.reading() as reading:
                body = BodyReader(receive, policy.max_body, policy.seconds, self._budget, reading)
                if policy.streamed:
                    await self._streamed(scope, body, answer)
                else:
                    raw = await body.all()
                    _check_json(raw, policy)
                    await self._app(scope, _Replay(raw, receive), answer)
        except ClientGone:
            return
        except Refusal as refusal:
            if refusal.status == 413:
                self._rules.observer(scope, "body_too_large", str(refusal))
            await self._refuse(scope, refusal, _Answer(send, origin))

    def _origin(self, scope: Scope, headers: RequestHeaders, policy: Policy) -> str:
        try:
            return self._rules.origins.check(
                headers, for_browsers=policy.for_browsers, is_page=policy.is_page, method=scope["method"]
            )
        except Refusal as refusal:
            self._rules.observer(scope, "cross_site", str(refusal))
            raise

    @staticmethod
    def _check_length(headers: RequestHeaders, policy: Policy) -> None:
        length = headers.get(b"content-length")
        if length and (not length.isdecimal() or int(length) > policy.max_body):
            raise too_large(policy.max_body)

    async def _streamed(self, scope: Scope, body: BodyReader, answer: _Answer) -> None:
        refusals: list[Refusal] = []

        async def receive() -> Message:
            try:
                return await body.next_message()
            except Refusal as refusal:
                # A framework may turn what is raised here into an error of its own, which is not sent then.
                refusals.append(refusal)
                answer.is_muted = not answer.is_started
                raise

        try:
            await self._app(scope, receive, answer)
        except Refusal as refusal:
            refusals.append(refusal)
            if answer.is_started:
                raise
        if refusals and not answer.is_started:
            answer.is_muted = False
            raise refusals[0]

    async def _refuse(self, scope: Scope, refusal: Refusal, answer: _Answer) -> None:
        headers, body = self._rules.formatter(scope, refusal)
        lines = {"content-length": str(len(body)), "cache-control": "no-store"}
        lines |= {name.lower(): value for name, value in headers.items()}
        if refusal.retry_after is not None:
            lines.setdefault("retry-after", str(refusal.retry_after))
        if refusal.status == 405:
            lines["allow"] = ", ".join(self._rules.routes.methods(scope["path"]))
        if refusal.status == 503 and scope["state"].get(CROWDED):
            lines["connection"] = "close"
        await answer({"type": "http.response.start", "status": refusal.status, "headers": _encoded(lines)})
        await answer({"type": "http.response.body", "body": body})


class _Replay:
    """`receive` of an application whose body is read already; afterwards it learns when the client leaves."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Answer:
    """`send` of an application: tells browsers that the page of an allowed `origin` may read the answer."""

    def __init__(self, send: Send, origin: str) -> None:
        self._send = send
        self._origin = origin
        self.is_started = False
        self.is_muted = False

    async def __call__(self, message: Message) -> None:
        if self.is_muted:
            return
        if message["type"] == "http.response.start":
            self.is_started = True
            if self._origin:
                added = {
                    "access-control-allow-origin": self._origin,
                    "access-control-expose-headers": _EXPOSED,
                    "vary": "Origin",
                }
                message = {**message, "headers": [*message.get("headers", ()), *_encoded(added)]}
        await self._send(message)


async def _preflight(headers: RequestHeaders, origin: str, methods: tuple[str, ...], send: Send) -> None:
    """Answer a browser that asks what a page may send."""
    if not origin:
        raise Refusal(403, "this page may not use this service")
    asked = [name.strip() for name in headers.get(b"access-control-request-headers").split(",")]
    lines = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": ", ".join(methods),
        "access-control-allow-headers": ", ".join(filter(_TOKEN.fullmatch, asked[:50])),
        "access-control-max-age": _MAX_AGE,
        "vary": "Origin",
    }
    await send({"type": "http.response.start", "status": 204, "headers": _encoded(lines)})
    await send({"type": "http.response.body", "body": b""})


def _check_room(policy: Policy, *, is_crowded: bool) -> None:
    if is_crowded and not policy.is_health:
        raise Refusal(503, "all connections are taken: try again in a moment", 2)


def _check_json(raw: bytes, policy: Policy) -> None:
    bounds = policy.json
    if bounds is None:
        return
    try:
        check_json(raw, depth=bounds.depth, members=bounds.members, values=bounds.values)
    except JsonTooComplex as error:
        raise Refusal(400, str(error)) from error


def _encoded(lines: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()]
