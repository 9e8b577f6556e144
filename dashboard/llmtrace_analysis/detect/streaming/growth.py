"""Columns come and go in what holds arrays by column: what one holds does not depend on when others came."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from llmtrace_analysis.detect.detectors.series import IntArray

State = TypeVar("State")


def grow(state: State, of_columns: Callable[[int], State], columns: int) -> None:
    """Append columns to every array of `state`, and of the states that it holds, as they are in a new one.

    `of_columns` makes a new state of so many columns. Which axis of an array is that of columns is seen by
    what differs between two new ones.
    """
    _append(state, of_columns(columns), of_columns(columns + 1))


def _append(state: object, fresh: object, larger: object) -> None:
    for name, value in vars(fresh).items():
        other = getattr(larger, name)
        if isinstance(value, np.ndarray):
            axes = [axis for axis, size in enumerate(value.shape) if size != other.shape[axis]]
            if axes:
                joined = np.concatenate([getattr(state, name), value], axis=axes[0])
                object.__setattr__(state, name, joined)
        elif hasattr(value, "__dict__") and not callable(value):
            _append(getattr(state, name), value, other)


def select(state: State, of_columns: Callable[[int], State], places: IntArray) -> None:
    """Of every array of `state`, and of the states that it holds, only these columns."""
    _take(state, of_columns(1), of_columns(2), places)


def _take(state: object, fresh: object, larger: object, places: IntArray) -> None:
    for name, value in vars(fresh).items():
        other = getattr(larger, name)
        if isinstance(value, np.ndarray):
            axes = [axis for axis, size in enumerate(value.shape) if size != other.shape[axis]]
            if axes:
                # An array of several columns for each that is counted, side by side.
                width = value.shape[axes[0]]
                wide = (places[:, None] * width + np.arange(width)).ravel()
                object.__setattr__(state, name, np.take(getattr(state, name), wide, axis=axes[0]))
        elif hasattr(value, "__dict__") and not callable(value):
            _take(getattr(state, name), value, other, places)
