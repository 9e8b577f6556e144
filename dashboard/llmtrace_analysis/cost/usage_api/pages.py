"""Pages of an answer, one after the other, and never without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .client import Query, UsageApiClient, UsageApiError

Page = dict[str, Any]

#: No answer has more.
_MOST_PAGES = 2_000


def follow(
    client: UsageApiClient, ask: Callable[[str], Page], next_of: Callable[[Page], str]
) -> Iterator[Page]:
    """The pages that `ask` gives, for an empty cursor first, then for what `next_of` says of each page.

    Raises UsageApiError where a cursor comes again.
    """
    cursor, seen = "", {""}
    for number in range(1, _MOST_PAGES + 1):
        page = ask(cursor)
        yield page
        cursor = next_of(page)
        if not cursor:
            return
        if cursor in seen:
            raise UsageApiError(f"{client.url} gives the same page again and again")
        seen.add(cursor)
        client.progress(f"{client.url}: {number} pages")
    raise UsageApiError(f"{client.url} gives more than {_MOST_PAGES} pages")


def pages_of(client: UsageApiClient, path: str, query: Query) -> list[Page]:
    """All pages of a report of OpenAI or Anthropic: each names the next one, which is asked for as `page`."""
    return list(follow(client, lambda cursor: client.get(path, _with(query, "page", cursor)), _next_page))


def items_of(client: UsageApiClient, path: str, query: Query, after: str) -> Iterator[dict[str, Any]]:
    """All things of a list of theirs, which goes on after the last one's id, asked for as `after`."""
    for page in follow(client, lambda cursor: client.get(path, _with(query, after, cursor)), _last_id):
        yield from page.get("data") or ()


def _with(query: Query, name: str, cursor: str) -> Query:
    return [*query, (name, cursor)] if cursor else query


def _next_page(page: Page) -> str:
    return str(page.get("next_page") or "") if page.get("has_more") else ""


def _last_id(page: Page) -> str:
    items = page.get("data") or [{}]
    return str(page.get("last_id") or items[-1].get("id") or "") if page.get("has_more") else ""
