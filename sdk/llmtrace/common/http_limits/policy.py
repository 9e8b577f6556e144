"""What each route of a part demands: a table, compared with the part's real routes by a test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .json_bounds import JsonBounds
from .refusal import Refusal

#: A placeholder in a route's path, as FastAPI writes it.
_PLACEHOLDER = re.compile(r"\{\w+(:path)?\}")


@dataclass(frozen=True)
class Policy:
    """What a request must meet before its route sees it.

    `roles`: the identity must have one of them; none: anybody's. `max_body` in bytes as sent; 0: no body.
    `seconds` within which the body must be there. `json`: what a JSON body may be; None: not JSON, or checked
    by the route. `streamed`: the route reads the body itself, counted as it comes. `is_page`: a person may
    open it by typing its address. `is_health`: answered also when all connections are taken. `for_browsers`:
    pages of the part's allowed origins may use it. `every_project`: an identity of one project does not do.
    """

    roles: tuple[str, ...] = ()
    max_body: int = 0
    seconds: float = 30.0
    json: JsonBounds | None = None
    streamed: bool = False
    is_page: bool = False
    is_health: bool = False
    for_browsers: bool = False
    every_project: bool = False


class RouteTable:
    """Policies by `METHOD /path`, where a path may have placeholders: `{name}` stands for one part of it,
    `{name:path}` for any number. A path without placeholders goes first.
    """

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        self.policies = dict(policies)
        self._exact: dict[tuple[str, str], Policy] = {}
        self._patterns: list[tuple[re.Pattern[str], str, Policy]] = []
        for route, policy in policies.items():
            method, _, path = route.partition(" ")
            if "{" in path:
                self._patterns.append((_pattern(path), method, policy))
            else:
                self._exact[method, path] = policy
        self._methods: dict[str, set[str]] = {}
        for method, path in self._exact:
            self._methods.setdefault(path, set()).add(method)

    def find(self, method: str, path: str) -> Policy:
        """The policy of a request. Raises Refusal 404, or 405 where the path has other methods."""
        policy = self._exact.get((method, path))
        if policy is not None:
            return policy
        if path not in self._methods:
            for pattern, of_method, policy in self._patterns:
                if of_method == method and pattern.fullmatch(path):
                    return policy
        if self.methods(path):
            raise Refusal(405, f"{method} is not possible here")
        raise Refusal(404, "Not Found")

    def methods(self, path: str) -> tuple[str, ...]:
        """Which methods a path has; none where there is no such path."""
        others = (of_method for pattern, of_method, _ in self._patterns if pattern.fullmatch(path))
        return tuple(sorted(self._methods.get(path) or set(others)))


def _pattern(path: str) -> re.Pattern[str]:
    parts, end = [], 0
    for placeholder in _PLACEHOLDER.finditer(path):
        parts += [re.escape(path[end : placeholder.start()]), ".*" if placeholder[1] else "[^/]+"]
        end = placeholder.end()
    return re.compile("".join([*parts, re.escape(path[end:])]), re.DOTALL)
