"""Users who send far more requests than anyone else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

#: Own stretches of traffic from which a user's usual volume is known.
_OWN_HISTORY = 10

#: Stretches since a project's first call from which on anything can be said of its users.
PROJECT_HISTORY = 10


@dataclass(frozen=True)
class FloodParameters:
    """How many requests are too many; the settings flood_* under [watch]."""

    window_seconds: int
    """Length of the stretches in which a user's requests are counted."""
    history_seconds: int
    """How far back others' stretches are compared with."""
    calls: int
    ratio: float
    width: float
    min_users: int
    calls_alone: int


class MinuteCounts(NamedTuple):
    """One bar of a histogram: `times` stretches of the flood window held `calls` calls each."""

    project: str
    user: str
    """A busy user, or empty: all others together."""
    calls: int
    times: int
    users: int
    """How many users these stretches belong to."""


@dataclass(frozen=True)
class Flood:
    """A user above the limit."""

    project: str
    user: str
    calls: int
    usual: float
    """Median of the others' stretches, those before or the newest; 0 when there are too few others."""
    limit: float


def flood_limit(others: Sequence[MinuteCounts], parameters: FloodParameters) -> tuple[float, float] | None:
    """Median of other users' calls per stretch, and the number of calls above which a user floods.

    None when the others are too few to compare with.
    """
    named = {counts.user for counts in others if counts.user}
    unnamed = sum(counts.users for counts in others if counts.user == "")
    if unnamed + len(named) < parameters.min_users:
        return None
    calls = np.repeat([float(counts.calls) for counts in others], [counts.times for counts in others])
    usual = float(np.median(calls))
    sigma = 1.4826 * float(np.median(np.abs(calls - usual)))
    return usual, max(float(parameters.calls), usual * parameters.ratio, usual + parameters.width * sigma)


def find_floods(
    busy: Sequence[tuple[str, str, int]],
    history: Sequence[MinuteCounts],
    newest: Sequence[MinuteCounts],
    parameters: FloodParameters,
) -> list[Flood]:
    """The floods among busy users (project, user, calls in the newest stretch).

    `history`: stretches before the newest; `newest`: that one, at each user's pace where it began within it.
    Who sends as much as others do now, or did before, is no flood: where all send more, nobody is one. A user
    whose own usual volume is that high, a batch account, is none either.
    """
    floods = []
    for project, user, calls in busy:
        own = [counts for counts in history if counts.project == project and counts.user == user]
        limits = [
            flood_limit(_others(stretches, project, user), parameters) for stretches in (history, newest)
        ]
        compared = [usual_and_limit for usual_and_limit in limits if usual_and_limit is not None]
        usual, limit = max(compared, key=itemgetter(1), default=(0.0, float(parameters.calls_alone)))
        if sum(counts.times for counts in own) >= _OWN_HISTORY:
            own_calls = np.repeat([float(counts.calls) for counts in own], [counts.times for counts in own])
            limit = max(limit, 2 * float(np.median(own_calls)))
        if calls > limit:
            floods.append(Flood(project, user, calls, usual, limit))
    return floods


def _others(stretches: Sequence[MinuteCounts], project: str, user: str) -> list[MinuteCounts]:
    return [counts for counts in stretches if counts.project == project and counts.user != user]
