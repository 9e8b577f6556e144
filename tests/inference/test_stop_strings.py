"""Stop strings: however text is cut into pieces, what is shown is the text before the first match."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llmtrace_inference.serving.answers.stop_strings import StopMatcher

_letters = st.text("ab.", max_size=30)


@given(
    text=_letters,
    stops=st.lists(st.text("ab.", min_size=1, max_size=4), max_size=4),
    cuts=st.lists(st.integers(0, 30), max_size=8),
)
def test_any_split_shows_the_same_text(text: str, stops: list[str], cuts: list[int]) -> None:
    matcher = StopMatcher(tuple(stops))
    edges = sorted({0, len(text), *(min(c, len(text)) for c in cuts)})
    visible = "".join(matcher.feed(text[a:b]) for a, b in pairwise(edges))
    if matcher.matched is None:
        visible += matcher.flush()
        assert visible == text
        assert not any(stop in text for stop in stops)
    else:
        # The match that completes first ends the text; nothing before it holds a stop string.
        end = min(text.find(stop) + len(stop) for stop in stops if stop in text)
        assert end <= len(visible) + max(map(len, stops))
        assert text.startswith(visible + matcher.matched)
        assert not any(stop in visible for stop in stops)
