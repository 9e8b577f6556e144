"""The charts. Times are shifted to the visitor's zone here and drawn as UTC, so that every browser agrees."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import altair as alt
import pandas as pd

from . import formats, theme

#: Axis text of seconds, dollars and counts, in Vega's expression language.
_SECONDS_AXIS = (
    "datum.value == 0 ? '0' : datum.value >= 1 ? format(datum.value, '.3~g') + ' s' "
    ": format(datum.value * 1000, '.3~g') + ' ms'"
)
_USD_AXIS = (
    "datum.value == 0 ? '$0' : datum.value >= 1000 ? '$' + format(datum.value, '.3~s') "
    ": '$' + format(datum.value, '.3~g')"
)
_COUNT_AXIS = "datum.value >= 1000 ? format(datum.value, '.3~s') : format(datum.value, '.3~g')"
_PERCENT_AXIS = "format(datum.value, '.3~%')"

# The day at midnight, the time of day elsewhere.
_TIME_AXIS = (
    "utchours(datum.value) == 0 && utcminutes(datum.value) == 0 "
    "? utcFormat(datum.value, '%e %b') : utcFormat(datum.value, '%H:%M')"
)

#: Unit of a detection → axis text.
_UNIT_AXES = {"s": _SECONDS_AXIS, "ratio": _PERCENT_AXIS, "USD": _USD_AXIS}

_HEIGHT = 230

#: Around every chart, in pixels; the box that it stands in has its own.
_PADDING = {"left": 0, "top": 4, "right": 4, "bottom": 0}


def local(data: pd.DataFrame, zone: ZoneInfo) -> pd.DataFrame:
    """Adds `at` (milliseconds of local time, as if it were UTC) and `when` (its text) from `time`."""
    shifted = data["time"].dt.tz_convert(zone).dt.tz_localize(None)
    data = data.copy()
    data["at"] = shifted.astype("datetime64[ms]").astype("int64")
    data["when"] = shifted.dt.strftime("%d %b %H:%M:%S")
    return data.drop(columns=["time"])


def _ends(window: tuple[datetime, datetime], zone: ZoneInfo, data: pd.DataFrame) -> list[float]:
    """The ends of the time axis: the whole window, so that a quiet hour looks quiet, and every bar."""
    edges = local(pd.DataFrame({"time": pd.to_datetime(list(window), utc=True)}), zone)["at"]
    return [
        float(min([edges.iloc[0], *data["at"].head(1)])),
        float(max([edges.iloc[1], *data["end"].tail(1)])),
    ]


def _x(domain: Sequence[float] | None = None) -> alt.X:
    scale = alt.Scale(type="utc", domain=list(domain)) if domain else alt.Scale(type="utc")
    return alt.X(
        "at:T",
        title=None,
        scale=scale,
        axis=alt.Axis(grid=False, labelOverlap=True, tickCount=8, labelExpr=_TIME_AXIS),
    )


def _reach(ends: Sequence[float]) -> alt.Chart:
    """An invisible layer that makes the time axis of a layered chart reach from end to end: Vega-Lite cannot
    merge the given domains of several layers."""
    chart: alt.Chart = alt.Chart(pd.DataFrame({"at": list(ends)})).mark_point(opacity=0).encode(x=_x())
    return chart


def _y(field: str, expression: str, whole: bool = False, **options: Any) -> alt.Y:
    axis = alt.Axis(labelExpr=expression, tickCount=4, title=None)
    if whole:
        axis["tickMinStep"] = 1
    return alt.Y(f"{field}:Q", title=None, axis=axis, **options)


def _legend() -> alt.Legend:
    return alt.Legend(
        orient="top",
        title=None,
        symbolType="square",
        symbolSize=90,
        symbolStrokeWidth=0,
        offset=8,
        labelLimit=260,
        columns=8,
    )


def _crosshair(data: pd.DataFrame, tooltip: list[alt.Tooltip]) -> alt.Chart:
    hover = alt.selection_point(
        on="pointerover", nearest=True, fields=["at"], empty=False, clear="pointerout"
    )
    chart: alt.Chart = (
        alt.Chart(data)
        .mark_rule(color=theme.OTHER, strokeWidth=1)
        .encode(x=_x(), opacity=alt.condition(hover, alt.value(0.8), alt.value(0)), tooltip=tooltip)
        .add_params(hover)
    )
    return chart


def percentiles(data: pd.DataFrame, zone: ZoneInfo) -> alt.LayerChart | alt.FacetChart:
    """p50, p95 and p99 of `data` (seconds) over time."""
    names = {"p50": "p50", "p95": "p95", "p99": "p99"}
    wide = local(data[["time", *names]], zone)
    for name in names:
        wide[f"{name}_text"] = [formats.seconds(value) for value in wide[name]]
    long = wide.melt(id_vars=["at"], value_vars=list(names), var_name="series", value_name="value").dropna()
    color = alt.Color(
        "series:N",
        scale=alt.Scale(domain=list(names), range=[theme.P50, theme.P95, theme.P99]),
        legend=_legend(),
    )
    # Where few calls fall into a bucket p95 and p99 are one: p95 is drawn over the wider p99.
    lines = [
        alt.Chart(long[long["series"] == name])
        .mark_line(strokeWidth=width, interpolate="monotone", point=alt.OverlayMarkDef(size=12, filled=True))
        .encode(x=_x(), y=_y("value", _SECONDS_AXIS), color=color)
        for name, width in (("p99", 4), ("p95", 2), ("p50", 2))
    ]
    tooltip = [alt.Tooltip("when:N", title="Time")]
    tooltip += [alt.Tooltip(f"{name}_text:N", title=name) for name in names]
    return alt.layer(*lines, _crosshair(wide, tooltip)).properties(height=_HEIGHT, padding=_PADDING)


def calls(
    data: pd.DataFrame,
    zone: ZoneInfo,
    window: tuple[datetime, datetime],
    step: int,
    word: str = "Calls",
    height: int = _HEIGHT,
) -> alt.LayerChart | alt.FacetChart:
    """`calls` per bucket of `step` seconds as bars over the whole window, `errors` among them in red."""
    wide = local(data[["time", "calls", "errors"]], zone)
    # A gap between bars, in time because the bars' ends are.
    wide["end"] = wide["at"] + step * 880
    wide["share"] = [
        formats.percent(errors / calls if calls else None)
        for calls, errors in zip(wide["calls"], wide["errors"], strict=True)
    ]
    parts = [
        wide.assign(series="Failed", low=0, high=wide["errors"]),
        wide.assign(series="Succeeded", low=wide["errors"], high=wide["calls"]),
    ]
    return _bars(
        pd.concat(parts),
        _COUNT_AXIS,
        {"Succeeded": theme.CALLS, "Failed": theme.ERROR},
        [
            alt.Tooltip("when:N", title="Time"),
            alt.Tooltip("calls:Q", title=word, format=","),
            alt.Tooltip("errors:Q", title="Failed", format=","),
            alt.Tooltip("share:N", title="Error rate"),
        ],
        height,
        _ends(window, zone, wide),
        whole=True,
    )


def shares(
    data: pd.DataFrame,
    zone: ZoneInfo,
    window: tuple[datetime, datetime],
    step: int,
    colors: dict[str, str],
) -> alt.LayerChart | alt.FacetChart:
    """`share` (0 to 1) per bucket of `step` seconds as bars, stacked by `kind`; `degraded` of `answers` are
    named where one points. `colors` names the kinds in stacking order from below."""
    long = local(data[["time", "kind", "degraded", "answers", "share"]], zone)
    order = {name: place for place, name in enumerate(colors)}
    long = long.sort_values(
        ["at", "kind"], key=lambda column: column.map(order) if column.name == "kind" else column
    )
    long["high"] = long.groupby("at")["share"].cumsum()
    long["low"] = long["high"] - long["share"]
    long["end"] = long["at"] + step * 880
    long["text"] = [formats.percent(share) for share in long["share"]]
    return _bars(
        long.rename(columns={"kind": "series"}),
        _PERCENT_AXIS,
        colors,
        [
            alt.Tooltip("when:N", title="Time"),
            alt.Tooltip("series:N", title="Kind"),
            alt.Tooltip("degraded:Q", title="Degraded", format=","),
            alt.Tooltip("answers:Q", title="Answers", format=","),
            alt.Tooltip("text:N", title="Share"),
        ],
        _HEIGHT,
        _ends(window, zone, long),
    )


def _bars(
    data: pd.DataFrame,
    axis: str,
    colors: dict[str, str],
    tooltip: list[alt.Tooltip],
    height: int,
    ends: list[float],
    whole: bool = False,
) -> alt.LayerChart | alt.FacetChart:
    """Bars from `at` to `end` and from `low` to `high`, coloured by `series`.

    Stacked here, not by Vega, which does not stack marks that have both ends in time.
    """
    data = data[data["high"] > data["low"]]
    bars = (
        alt.Chart(data)
        .mark_rect()
        .encode(
            x=_x(ends),
            x2="end:T",
            y=_y("low", axis, whole=whole, scale=alt.Scale(zero=True, nice=True)),
            y2="high:Q",
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=list(colors), range=list(colors.values())),
                legend=_legend(),
            ),
            tooltip=tooltip,
        )
    )
    # As a layer, since Streamlit gives a chart without layers more room above.
    return alt.layer(bars).properties(height=height, padding=_PADDING)


def areas(
    data: pd.DataFrame,
    zone: ZoneInfo,
    window: tuple[datetime, datetime],
    step: int,
    colors: dict[str, str],
    currency: str,
    text: Callable[[float], str],
    height: int = 260,
) -> alt.LayerChart | alt.FacetChart:
    """`value` per bucket of `step` seconds as areas stacked by `series`, flat over each bucket.

    `colors` names the series in stacking order from below; `text` writes an amount of `currency`.
    """
    long = local(data[["time", "series", "value"]], zone)
    # Every series has every bucket, or the areas above would lean across the gaps. A gap needs a zero where
    # it begins; the first and last hour of daylight saving time make none.
    width = step * 1000
    ends = _ends(window, zone, long.sort_values("at").assign(end=long["at"] + width))
    known = sorted(set(long["at"]))
    after = [
        at + width for at, following in itertools.pairwise([*known, math.inf]) if following > at + 1.5 * width
    ]
    every = sorted({int(ends[0]), *known, *after})
    wide = long.pivot_table(index="at", columns="series", values="value", aggfunc="sum")
    wide = wide.reindex(index=every, columns=list(colors)).fillna(0.0)
    full = wide.reset_index().melt(id_vars=["at"], var_name="series", value_name="value")
    order = {name: index for index, name in enumerate(colors)}
    full["order"] = [order[name] for name in full["series"]]
    axis = _USD_AXIS if currency == "USD" else _USD_AXIS.replace("$", f"{currency} ")
    drawn = (
        alt.Chart(full)
        .mark_area(interpolate="step-after", line={"strokeWidth": 1.5}, opacity=0.75)
        .encode(
            x=_x(),
            y=_y("value", axis, stack="zero"),
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=list(colors), range=list(colors.values())),
                legend=_legend(),
            ),
            order=alt.Order("order:Q"),
        )
    )
    when = pd.to_datetime(wide.index.to_series(), unit="ms").dt.strftime("%d %b %H:%M")
    whole = [text(value) for value in wide.sum(axis="columns")]
    spoken = pd.DataFrame({"at": wide.index, "when": when.to_numpy(), "whole": whole})
    tooltip = [alt.Tooltip("when:N", title="From"), alt.Tooltip("whole:N", title="In all")]
    for place, name in enumerate(colors):
        spoken[f"amount_{place}"] = [text(value) for value in wide[name]]
        tooltip.append(alt.Tooltip(f"amount_{place}:N", title=name))
    return alt.layer(_reach(ends), drawn, _crosshair(spoken, tooltip)).properties(
        height=height, padding=_PADDING
    )


def month(
    summed: pd.Series,
    first: datetime,
    end: datetime,
    outlook: tuple[float, float, float],
    limits: dict[str, float],
) -> alt.LayerChart | alt.FacetChart:
    """Cost summed up over a month's full UTC days, where it is expected to end, and limits as lines.

    `outlook` is the expected sum at the month's end with the low and the high end of its interval, in USD.
    """
    ends = [first.timestamp() * 1000, end.timestamp() * 1000]
    days = [day.timestamp() * 1000 + 86_400_000 for day in pd.DatetimeIndex(summed.index).tz_localize("UTC")]
    spent = pd.DataFrame({"at": [ends[0], *days], "value": [0.0, *summed.to_list()]})
    spent["text"] = [formats.usd(value) for value in spent["value"]]
    expected, low, high = outlook
    ahead = pd.DataFrame(
        {"at": [spent["at"].iloc[-1], ends[1]], "value": [spent["value"].iloc[-1], expected]}
    )
    interval = pd.DataFrame(
        {
            "at": [ends[1]],
            "low": [low],
            "high": [high],
            "text": [f"{formats.usd(expected)}, {formats.usd(low)} to {formats.usd(high)}"],
        }
    )
    layers: list[alt.Chart] = [
        _reach(ends),
        alt.Chart(spent)
        .mark_area(line={"strokeWidth": 2, "color": theme.P95}, color=theme.P95, opacity=0.18)
        .encode(x=_x(), y=_y("value", _USD_AXIS), tooltip=[alt.Tooltip("text:N", title="Spent")]),
        alt.Chart(ahead)
        .mark_line(strokeDash=[5, 4], strokeWidth=2, color=theme.P95)
        .encode(x=_x(), y=_y("value", _USD_AXIS)),
        alt.Chart(interval)
        .mark_rule(strokeWidth=7, color=theme.P50, opacity=0.7)
        .encode(
            x=_x(),
            y=_y("low", _USD_AXIS),
            y2="high:Q",
            tooltip=[alt.Tooltip("text:N", title="At the end")],
        ),
    ]
    if limits:
        lines = pd.DataFrame({"name": list(limits), "value": list(limits.values())})
        layers.append(
            alt.Chart(lines).mark_rule(color=theme.ERROR, strokeDash=[2, 3]).encode(y=_y("value", _USD_AXIS))
        )
        layers.append(
            alt.Chart(lines.assign(at=ends[0]))
            .mark_text(align="left", dx=4, dy=-6, color=theme.ERROR)
            .encode(x=_x(), y=_y("value", _USD_AXIS), text="name:N")
        )
    return alt.layer(*layers).properties(height=_HEIGHT, padding=_PADDING)


def units(data: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Cost by number of reserved units: what the units cost, and what overflows at pay-as-you-go.

    Columns of `data`: `units`, `reserved_cost`, `overflow_cost` in USD, `utilisation`.
    """
    names = {"reserved_cost": "Reserved", "overflow_cost": "Pay-as-you-go"}
    long = data.rename(columns=names).melt(
        id_vars=["units", "utilisation"],
        value_vars=list(names.values()),
        var_name="series",
        value_name="value",
    )
    long["text"] = [formats.usd(value) for value in long["value"]]
    long["use"] = [formats.percent(value) for value in long["utilisation"]]
    bars = (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X("units:O", title="Units", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=_y("value", _USD_AXIS, stack="zero"),
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=list(names.values()), range=[theme.P95, theme.P99]),
                legend=_legend(),
            ),
            tooltip=[
                alt.Tooltip("units:Q", title="Units"),
                alt.Tooltip("series:N", title="Of"),
                alt.Tooltip("text:N", title="Cost"),
                alt.Tooltip("use:N", title="Units are used to"),
            ],
        )
    )
    return alt.layer(bars).properties(height=_HEIGHT, padding=_PADDING)


def around_incident(
    data: pd.DataFrame,
    series: dict[str, str],
    zone: ZoneInfo,
    unit: str,
    band: tuple[float | None, float | None],
    opened: datetime,
    ended: datetime | None,
) -> alt.LayerChart | alt.FacetChart:
    """A metric around an incident: its lines (column → label), the expected band, and the incident's time."""
    wide = local(data[["time", *series]], zone)
    for name in series:
        wide[f"{name}_text"] = [formats.with_unit(value, unit) for value in wide[name]]
    long = wide.melt(id_vars=["at"], value_vars=list(series), var_name="column", value_name="value").dropna()
    long["series"] = [series[name] for name in long["column"]]
    labels = list(series.values())
    axis = _UNIT_AXES.get(unit, _COUNT_AXIS)
    layers: list[alt.Chart] = []
    spans = local(pd.DataFrame({"time": pd.to_datetime([opened, ended or opened], utc=True)}), zone)
    start, end = int(spans["at"].iloc[0]), int(spans["at"].iloc[1])
    if ended is not None and end > start:
        lasted = pd.DataFrame({"at": [start], "end": [end]})
        layers.append(alt.Chart(lasted).mark_rect(color=theme.ERROR, opacity=0.08).encode(x=_x(), x2="end:T"))
    low, high = band
    if high is not None:
        ranges = pd.DataFrame({"low": [low or 0.0], "high": [high]})
        layers.append(
            alt.Chart(ranges).mark_rect(color=theme.BAND, opacity=0.16).encode(y=_y("low", axis), y2="high:Q")
        )
        layers.append(
            alt.Chart(ranges)
            .mark_rule(color=theme.BAND, strokeDash=[4, 3], strokeWidth=1.5)
            .encode(y=_y("high", axis))
        )
    layers.append(
        alt.Chart(long)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=18, filled=True))
        .encode(
            x=_x(),
            y=_y("value", axis),
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=labels, range=[theme.P95, theme.P50, theme.P99][: len(labels)]),
                legend=_legend() if len(labels) > 1 else None,
            ),
        )
    )
    layers.append(
        alt.Chart(pd.DataFrame({"at": [start]})).mark_rule(color=theme.ERROR, strokeWidth=2).encode(x=_x())
    )
    tooltip = [alt.Tooltip("when:N", title="Time")]
    tooltip += [alt.Tooltip(f"{name}_text:N", title=label) for name, label in series.items()]
    layers.append(_crosshair(wide, tooltip))
    return alt.layer(*layers).properties(height=280, padding=_PADDING)


def limit_shares(
    data: pd.DataFrame, zone: ZoneInfo, window: tuple[datetime, datetime], names: Sequence[str]
) -> alt.LayerChart | alt.FacetChart:
    """`share` of limits (1 is all of one) over time as lines, by `series` of `names`, and the limit."""
    long = local(data[["time", "series", "share"]], zone)
    long["text"] = [formats.percent(value) for value in long["share"]]
    ends = _ends(window, zone, long.sort_values("at").assign(end=long["at"]))
    limit = pd.DataFrame({"share": [1.0], "name": ["Limit"], "at": [ends[0]]})
    top = max(1.1, float(long["share"].max()) * 1.05) if len(long) else 1.1
    y = _y("share", _PERCENT_AXIS, scale=alt.Scale(domain=[0, top]))
    lines = (
        alt.Chart(long)
        .mark_line(strokeWidth=2, interpolate="monotone", point=alt.OverlayMarkDef(size=10, filled=True))
        .encode(
            x=_x(),
            y=y,
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=list(names), range=list(theme.CATEGORIES[: len(names)])),
                legend=_legend(),
            ),
            tooltip=[
                alt.Tooltip("when:N", title="Minute up to"),
                alt.Tooltip("series:N", title="Limit"),
                alt.Tooltip("text:N", title="Used"),
            ],
        )
    )
    rule = alt.Chart(limit).mark_rule(color=theme.ERROR, strokeDash=[5, 4], strokeWidth=1.5).encode(y=y)
    word = (
        alt.Chart(limit)
        .mark_text(align="left", dx=4, dy=-7, color=theme.ERROR)
        .encode(x=_x(), y=y, text="name:N")
    )
    return alt.layer(_reach(ends), lines, rule, word).properties(height=_HEIGHT, padding=_PADDING)
