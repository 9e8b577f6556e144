"""What the month will have cost at its end, how sure that is, and how well that would have done before."""

from __future__ import annotations

import calendar
import warnings
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from llmtrace.common.time_zones import UTC_ZONE

#: Full days of history that a forecast needs, and those from which on weeks are told apart.
LEAST_DAYS = 7
WEEKLY_DAYS = 21

#: Paths drawn for the interval of a sum of days.
_PATHS = 2000


class TooLittleHistory(ValueError):
    """There are too few days to forecast from; the message says how many are needed."""


@dataclass(frozen=True)
class Forecast:
    """The month's cost in `currency`: `spent` on its full days so far, `expected` at its end, `low` to `high`
    with the given `confidence`. `method` says what was fitted, `time_zone` whose days and month these are."""

    month: str
    spent: float
    expected: float
    low: float
    high: float
    confidence: float
    history_days: int
    method: str
    time_zone: str = UTC_ZONE
    currency: str = "USD"


def month_end(
    daily: pd.Series,
    today: date,
    confidence: float = 0.9,
    *,
    zone: str = UTC_ZONE,
    currency: str = "USD",
) -> Forecast:
    """Forecast the end of `today`'s month from `daily`, the cost of each day of `zone`, oldest first.

    Only full days before `today` are learnt from; today is forecast as a whole. Raises TooLittleHistory.
    """
    known = _history(daily, today)
    first = date(today.year, today.month, 1)
    days_left = calendar.monthrange(today.year, today.month)[1] - today.day + 1
    spent = float(known[known.index >= pd.Timestamp(first)].sum())
    totals, method = simulate(known, days_left)
    low, middle, high = np.quantile(totals, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
    return Forecast(
        month=f"{today:%Y-%m}",
        spent=spent,
        expected=spent + float(middle),
        low=spent + float(low),
        high=spent + float(high),
        confidence=confidence,
        history_days=len(known),
        method=method,
        time_zone=zone,
        currency=currency,
    )


def backtest(daily: pd.Series, today: date, horizon: int = 14, confidence: float = 0.9) -> pd.DataFrame:
    """Forecasts of the sum of `horizon` days as they would have been made, beside what came.

    One row per origin, a week apart: `from`, `actual`, `expected`, `low`, `high`, `error` (relative, NaN
    where nothing was spent) and `inside` the interval. Empty where history is too short.
    """
    known = _history(daily, today)
    rows = []
    for end in range(len(known) - horizon, WEEKLY_DAYS - 1, -7):
        totals, _ = simulate(known.iloc[:end], horizon)
        low, middle, high = np.quantile(totals, [(1 - confidence) / 2, 0.5, (1 + confidence) / 2])
        actual = float(known.iloc[end : end + horizon].sum())
        rows.append(
            {
                "from": known.index[end].date().isoformat(),
                "actual": actual,
                "expected": float(middle),
                "low": float(low),
                "high": float(high),
                "error": float(middle) / actual - 1 if actual else float("nan"),
                "inside": bool(low <= actual <= high),
            }
        )
    columns = ["from", "actual", "expected", "low", "high", "error", "inside"]
    return pd.DataFrame(rows[::-1], columns=columns)


def simulate(known: pd.Series, days: int) -> tuple[np.ndarray, str]:
    """Draws of the sum of the next `days` days, and the name of the method.

    Exponential smoothing (level, and the weekday once there are three weeks) of the logarithm, because costs
    grow and scatter in proportion; where some days cost nothing, of the costs themselves.
    """
    # statsmodels takes a second to import: only forecasts pay.
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    values = known.to_numpy(dtype="float64")
    if np.ptp(values) <= 1e-9 * values.max():
        return np.full(_PATHS, float(values.mean()) * days), "every day cost the same"
    in_proportion = bool((values > 0).all())
    weekly = len(values) >= WEEKLY_DAYS
    learnt = np.log(values) if in_proportion else values
    with warnings.catch_warnings():
        # A fit that did not converge still has the interval that its residuals give it.
        warnings.simplefilter("ignore")
        model = ETSModel(
            pd.Series(learnt, index=pd.DatetimeIndex(known.index, freq="D")),
            error="add",
            trend=None,
            seasonal="add" if weekly else None,
            seasonal_periods=7 if weekly else None,
        )
        fitted = model.fit(disp=False)
        paths = fitted.simulate(
            nsimulations=days, repetitions=_PATHS, anchor="end", rng=np.random.default_rng(0)
        )
    drawn = np.asarray(paths, dtype="float64").reshape(days, _PATHS)
    drawn = np.exp(drawn) if in_proportion else np.maximum(drawn, 0.0)
    name = "exponential smoothing" + (" of the logarithm" if in_proportion else "")
    return drawn.sum(axis=0), f"{name} by weekday" if weekly else name


def _history(daily: pd.Series, today: date) -> pd.Series:
    """Full days from the first one that cost anything on."""
    known = daily[daily.index < pd.Timestamp(today)]
    spent = known[known > 0]
    known = known[known.index >= spent.index[0]] if len(spent) else known.iloc[0:0]
    if len(known) < LEAST_DAYS:
        raise TooLittleHistory(
            f"a forecast needs {LEAST_DAYS} full days with the first of them costing something; there are "
            f"{len(known)}. Start earlier with --history, or wait."
        )
    return known
