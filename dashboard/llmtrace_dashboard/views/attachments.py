"""Images and audio of a call's messages, where their bytes are in the store.

They go to the browser within the page, as `data:` URLs of types that hold no script, by their own first
bytes: there is no address at which anybody else could fetch them, and nothing is believed of what their
sender says they are.
"""

from __future__ import annotations

import base64
import binascii

import streamlit as st

from llmtrace.common.escaping import markdown_text
from llmtrace.common.media import SHOWN_TYPES, sniffed
from llmtrace_analysis.queries import attachments
from llmtrace_dashboard.ui import formats
from llmtrace_dashboard.ui.cached_reads import load
from llmtrace_dashboard.ui.message_turns import digests

_WIDTH = 420


def render(trace_id: str, *messages: str) -> None:
    """Draw what of the messages (JSON texts) is an image or audio; nothing where none is stored."""
    wanted = digests(*messages)
    if not wanted:
        return
    stored = load(attachments.attachments, trace_id, tuple(wanted))
    for digest, content in stored.items():
        try:
            data = base64.b64decode(content, validate=True)
        except (ValueError, binascii.Error):
            continue
        kind = sniffed(data)
        if kind not in SHOWN_TYPES:
            continue
        url = f"data:{kind};base64,{content}"
        caption = markdown_text(f"{kind}, {formats.count(len(data))} bytes, sha256 {digest[:12]}")
        if kind.startswith("image/"):
            st.image(url, caption=caption, width=_WIDTH)
        else:
            st.audio(url, format=kind)
            st.caption(markdown_text(f"{kind}, {formats.count(len(data))} bytes, sha256 {digest[:12]}"))
