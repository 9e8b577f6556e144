"""One collector with generated traffic for all tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboard.stack import Stack, collector
from tests.dashboard.traffic import HOSTILE_USER


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running collector with an hour of traffic and two incidents, anomaly-1 and abuse-1."""
    with collector(tmp_path_factory.mktemp("pages")) as running:
        running.put_incident("anomaly-1")
        running.put_incident(
            "abuse-1",
            kind="abuse",
            rule="flood",
            severity="warning",
            title=f"{HOSTILE_USER} sends 12 times more than others",
            summary="132 requests in 60 s; others usually send 9.",
            metric="calls",
            dimensions={"user": HOSTILE_USER},
            observed=132,
            expected_low=None,
            expected_high=40,
            unit="requests",
            evidence=[running.hostile_trace],
        )
        running.put_delivery("anomaly-1", ok=False)
        running.put_delivery("anomaly-1", ok=True)
        yield running
