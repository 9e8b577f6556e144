"""More columns for what holds arrays by column: what a column holds does not depend on when others came."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

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
