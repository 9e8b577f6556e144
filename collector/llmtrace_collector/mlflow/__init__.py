"""Experiment runs in MLflow: read what a run did, summarise it, bring its MLflow run up to date.

The app imports it; of ours it may import the store's reader and nothing else.
"""

from .sync import MlflowSync, SyncResult
from .tracking import MlflowUnavailable

__all__ = ["MlflowSync", "MlflowUnavailable", "SyncResult"]
