"""Texts for channels: what an incident says in few words, escaped for a format, cut to a limit."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from llmtrace_analysis.alerts.messages import AlertMessage, Links

ELLIPSIS = "…"
_FULL_WIDTH = str.maketrans({sign: chr(ord(sign) + 0xFEE0) for sign in "<>[]`*_#!~|\\"})
#: Categories of characters that are seen nowhere or turn a text around; joiners are part of words and emoji.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True)
class Content:
    """What every channel says of an event, in plain words; each line without breaks."""

    state: str
    """Open, Acknowledged or Resolved."""
    severity: str
    title: str
    summary: str
    facts: tuple[tuple[str, str], ...]
    """(what, value), in order of weight."""
    links: tuple[tuple[str, str], ...]
    """(what, address)."""

    @property
    def headline(self) -> str:
        """State, severity and title."""
        return f"{self.state} ({self.severity}): {self.title}"


def content_of(message: AlertMessage) -> Content:
    """What to say of a message."""
    incident = message.incident
    state = {"incident.opened": "Open", "incident.acknowledged": "Acknowledged"}.get(
        message.event, "Resolved"
    )
    facts = [
        ("Observed", _amount(incident.observed, incident.unit)),
        ("Expected", _band(incident.expected_low, incident.expected_high, incident.unit)),
        ("Period", _period(message)),
        ("Project", incident.project),
        *incident.dimensions.items(),
        ("Rule", incident.rule),
        ("Acknowledged by", incident.acknowledged_by if message.event != "incident.opened" else ""),
    ]
    return Content(
        state=state,
        severity=incident.severity,
        title=plain(incident.title),
        summary=plain(incident.summary),
        facts=tuple((plain(name), plain(value)) for name, value in facts if value),
        links=tuple(_links(message.links)),
    )


def plain(text: str) -> str:
    """The text on one line, without characters that are not seen, turn it around, or are half a character."""
    visible = (
        " " if unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS else sign for sign in text
    )
    return " ".join("".join(visible).split())


def fit(text: str, limit: int, escape: Callable[[str], str] = str, *, in_bytes: bool = False) -> str:
    """The text escaped, its end cut where it would be longer than `limit` characters, or bytes of UTF-8.

    `escape` is asked for beginnings of the text, so that no escape is cut through.
    """

    def size(escaped: str) -> int:
        return len(escaped.encode()) if in_bytes else len(escaped)

    whole = escape(text)
    if size(whole) <= limit:
        return whole
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if size(escape(text[:middle]) + ELLIPSIS) <= limit:
            low = middle
        else:
            high = middle - 1
    return escape(text[:low]) + ELLIPSIS if size(ELLIPSIS) <= limit else ""


def to_html(text: str) -> str:
    """For HTML, in text and attributes."""
    return html.escape(text)


def to_mrkdwn(text: str) -> str:
    """For Slack, whose mentions and links stand in angle brackets."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_markdown(text: str) -> str:
    """For CommonMark, as in Adaptive Cards: what formats is escaped, and nothing begins a list or heading.

    Braces too: clients fill in `{{DATE(…)}}`.
    """
    escaped = "".join(f"\\{sign}" if sign in "\\`*_[]<>~{}|&!" else sign for sign in text)
    if escaped[:1] in ("#", "+", "-", "="):
        return f"\\{escaped}"
    number = escaped[: len(escaped) - len(escaped.lstrip("0123456789"))]
    rest = escaped[len(number) :]
    return f"{number}\\{rest}" if number and rest[:1] in (".", ")") else escaped


def to_full_width(text: str) -> str:
    """For dialects of Markdown that know no escapes: what formats becomes its full-width look-alike."""
    return text.translate(_FULL_WIDTH)


def _links(links: Links) -> list[tuple[str, str]]:
    return [
        ("Incident", links.incident),
        ("Traces of this period", links.period),
        *((f"Trace {number}", url) for number, url in enumerate(links.traces[:3], 1)),
    ]


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit in ("ratio", "1"):
        return f"{value:.1%}"
    if unit.upper() in ("USD", "$"):
        return f"${value:,.4g}" if abs(value) < 100 else f"${value:,.2f}"
    return f"{value:,.4g} {unit}".strip()


def _band(low: float | None, high: float | None, unit: str) -> str:
    if low is None and high is None:
        return ""
    if low is None:
        return f"up to {_amount(high, unit)}"
    return (
        f"{_amount(low, unit)} to {_amount(high, unit)}" if high is not None else f"from {_amount(low, unit)}"
    )


def _period(message: AlertMessage) -> str:
    """When it was outside, in UTC."""
    since = datetime.fromtimestamp(message.incident.opened_at, UTC)
    until = datetime.fromtimestamp(message.incident.ended_at, UTC)
    end = f"{until:%H:%M:%S}" if until.date() == since.date() else f"{until:%Y-%m-%d %H:%M:%S}"
    return f"{since:%Y-%m-%d %H:%M:%S} to {end} UTC"
