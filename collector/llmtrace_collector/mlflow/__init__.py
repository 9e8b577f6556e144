"""Experiment runs in MLflow: read what a run did, summarise it, bring its MLflow run up to date."""

from .sync import MlflowSync, SyncResult
from .tracking import MlflowUnavailable

__all__ = ["MlflowSync", "MlflowUnavailable", "SyncResult"]
