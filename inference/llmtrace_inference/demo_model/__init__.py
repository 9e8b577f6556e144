"""The demo's models: trained here on text of our own, shipped with their weights; see train.py.

The local engine imports it; it imports nothing of ours.
"""

from __future__ import annotations

from pathlib import Path

VERSION = 4
"""Raise it with every training, so that a span's `model.version` tells the weights apart."""


def directory(name: str) -> Path:
    """Where a shipped model lies: `tiny-chat-s` or `tiny-chat-m`, in transformers' format."""
    return Path(__file__).parent / f"{name}-v{VERSION}"
