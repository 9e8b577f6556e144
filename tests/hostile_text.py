"""Texts that would do something where they are shown, for tests of every place where text leaves."""

from __future__ import annotations

from hypothesis import strategies as st

#: What somebody may send as a name, and what it would do.
PIECES = (
    # Terminals and logs.
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\", "\x9b31m", "\x07", "\x08", "\r",
    "\n", "\r\n",
    "\t", "\x00", "\x7f", "\x85", "\x0b", "\x0c", "\u2028", "\u2029", "\n2026-11-29 ERROR forged: record",
    # What turns text around or is not seen.
    "\u202e", "\u202d", "\u2066", "\u2069", "\u200e", "\u200f", "\u200b", "\u2060", "\ufeff", "\u00ad",
    "\U000e0041",
    # Formulas of spreadsheets.
    "=1+1", '=HYPERLINK("http://evil.example")', "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠x", " =1",
    "|cmd",
    # CSV, Markdown, HTML, Streamlit, chats, rich.
    '"', "'", ",", ";", "![x](http://evil.example/i.png)", "[x](javascript:alert(1))", "`", "**b**", "_i_",
    "$x^2$",
    "$$", ":red[x]", ":material/home:", "<img src=x onerror=alert(1)>", "</pre>", "&lt;", "&#60;",
    "<!channel>",
    "@everyone", "| a | b |", "# h", "- l", "1. l", "> q", "~~s~~", "\\", "\\n", "http://evil.example",
    "[red]", "{x}",
    # Plain text of several scripts.
    "gpt-4o", "模型", "　", "ü", "naïve", "🙂", " ", "%s", "%(x)s", "{}", "0",
)  # fmt: skip

#: Any text that comes out of a store, so without halves of characters, with pieces that do something.
hostile = st.lists(
    st.sampled_from(PIECES) | st.text(st.characters(codec="utf-8"), max_size=5), max_size=6
).map("".join)

#: The same where halves of characters may come too.
hostile_with_halves = st.lists(st.sampled_from((*PIECES, "\ud800", "\udfff")) | st.text(max_size=5)).map(
    "".join
)
