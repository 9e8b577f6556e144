"""Colours, type and Streamlit's configuration of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Categories, in the order in which they are handed out; all legible on white and on near-black.
CATEGORIES = (
    "#4263eb",
    "#0ca678",
    "#f08c00",
    "#ae3ec9",
    "#1098ad",
    "#e8590c",
    "#74b816",
    "#d6336c",
)

#: What is left over, and what has no name.
OTHER = "#98a2b3"
ERROR = "#e03131"
CALLS = "#748ffc"
P50, P95, P99 = "#91a7ff", "#4263eb", "#f08c00"
BAND = "#12b886"

#: Token buckets: input in blues, output in oranges.
TOKENS = {
    "Input": "#4263eb",
    "Cached input": "#a5b8ff",
    "Cache writes": "#15aabf",
    "Output": "#f08c00",
    "Reasoning": "#ffc078",
}

_SIZES = ["1.55rem", "1.25rem", "1.05rem", "1rem", "0.9rem", "0.85rem"]

_SHARED = {
    "baseRadius": "8px",
    "baseFontSize": 15,
    "headingFontSizes": _SIZES,
    "headingFontWeights": [650, 650, 600, 600, 600, 600],
    "metricValueFontSize": "1.55rem",
    "metricValueFontWeight": 600,
    "chartCategoricalColors": list(CATEGORIES),
    "showWidgetBorder": True,
    "linkUnderline": False,
}

_LIGHT = {
    "primaryColor": "#3b5bdb",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f5f7fa",
    "textColor": "#1a2130",
    "linkColor": "#3451c6",
    "borderColor": "#e3e7ee",
    "redColor": ERROR,
    "redTextColor": "#c92a2a",
    "redBackgroundColor": "#ffeded",
    "orangeTextColor": "#a8500a",
    "orangeBackgroundColor": "#fff3e0",
    "greenTextColor": "#087f5b",
    "greenBackgroundColor": "#e3f9f0",
    "blueTextColor": "#2f4bc4",
    "blueBackgroundColor": "#edf1ff",
}

_DARK = {
    "primaryColor": "#7c96ff",
    "backgroundColor": "#0f131b",
    "secondaryBackgroundColor": "#171d28",
    "textColor": "#e7eaf0",
    "linkColor": "#93a8ff",
    "borderColor": "#2a3242",
    "redColor": "#ff6b6b",
    "redTextColor": "#ff8787",
    "redBackgroundColor": "#3a1d22",
    "orangeTextColor": "#ffb066",
    "orangeBackgroundColor": "#37281a",
    "greenTextColor": "#51cfa0",
    "greenBackgroundColor": "#16322a",
    "blueTextColor": "#9db0ff",
    "blueBackgroundColor": "#1d2744",
}

#: No data goes in here. Streamlit fades what it is about to replace: a page that refreshes would blink.
PAGE_STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding: 2.4rem 2.6rem 3rem; max-width: 1560px; }
[data-stale="true"], .stale-element { opacity: 1 !important; transition: none !important; }
[data-testid="stMetricLabel"] p { font-size: 0.84rem; opacity: 0.75; }
[data-testid="stMetricDelta"] { font-size: 0.8rem; }
[data-testid="stSidebarUserContent"] { padding-top: 0.5rem; }
[data-testid="stHeader"] { background: transparent; }
@media (max-width: 640px) {
  [data-testid="stMainBlockContainer"] { padding: 4rem 1.1rem 2rem; }
  [data-testid="stHorizontalBlock"]:has([data-testid="stMetric"]) > [data-testid="stColumn"] {
    min-width: calc(50% - 0.5rem); flex: 1 1 calc(50% - 0.5rem);
  }
}
</style>"""


def options() -> dict[str, Any]:
    """Streamlit's `theme_…` options."""
    theme_options: dict[str, Any] = {f"theme.{name}": value for name, value in _SHARED.items()}
    for mode, values in (("light", _LIGHT), ("dark", _DARK)):
        theme_options.update({f"theme.{mode}.{name}": value for name, value in values.items()})
    theme_options["theme.light.sidebar.backgroundColor"] = "#f7f8fb"
    theme_options["theme.dark.sidebar.backgroundColor"] = "#131822"
    return theme_options


def colors_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name in the order given; names beyond the palette share the last colour."""
    return {name: CATEGORIES[index] if index < len(CATEGORIES) else OTHER for index, name in enumerate(names)}
