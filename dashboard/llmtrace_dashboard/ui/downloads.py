"""What visitors take away as files."""

from __future__ import annotations

import pandas as pd

from llmtrace.common.escaping import csv_document


def csv_of(frame: pd.DataFrame) -> str:
    """The frame as CSV without its index: numbers as they are, what is not known empty, no formulas."""
    known = frame.astype(object).where(frame.notna(), None)
    return csv_document(list(frame.columns), known.itertuples(index=False, name=None))
