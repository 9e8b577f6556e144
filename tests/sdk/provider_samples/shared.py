"""What the exchanges of several providers have."""

from __future__ import annotations

NO_TOKENS = {"input_tokens": 0, "output_tokens": 0}
