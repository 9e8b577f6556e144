"""Every endpoint's span, usage and price, and that the documentation says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from .endpoint import Endpoint
from .measured import Measured, measure
from .page import table
from .rows import ENDPOINTS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sdk.md"
CALLS = [
    (endpoint, is_stream)
    for endpoint in ENDPOINTS
    if endpoint.send is not None
    for is_stream in ((False, True) if endpoint.streams else (False,))
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Measured]:
    return measure(tmp_path_factory.mktemp("endpoints"), ENDPOINTS)


@pytest.mark.parametrize(
    ("endpoint", "is_stream"), CALLS, ids=[f"{row.name}{' (stream)' * streamed}" for row, streamed in CALLS]
)
def test_endpoint(measured: dict[tuple[str, bool], Measured], endpoint: Endpoint, is_stream: bool) -> None:
    if endpoint.missing:
        pytest.skip(endpoint.missing)
    cell = measured[endpoint.name, is_stream]
    assert (cell.spans, cell.usage, cell.price) == (endpoint.spans, dict(endpoint.usage), endpoint.price)


def test_what_is_not_covered_says_why() -> None:
    assert all(endpoint.remark for endpoint in ENDPOINTS if endpoint.send is None)
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_the_page_has_the_table(measured: dict[tuple[str, bool], Measured]) -> None:
    assert table(ENDPOINTS, measured) in PAGE.read_text(encoding="utf-8"), (
        "refresh it: python -m tests.endpoints --page docs/sdk.md"
    )
