"""Pages of an answer, one after the other, and never without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .client import UsageApiClient, UsageApiError

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


def next_page(page: Page) -> str:
    """The cursor after a page of OpenAI's or Anthropic's reports."""
    return str(page.get("next_page") or "") if page.get("has_more") else ""


def last_id(page: Page) -> str:
    """The cursor after a page of a list of things with ids."""
    items = page.get("data") or [{}]
    return str(page.get("last_id") or items[-1].get("id") or "") if page.get("has_more") else ""
