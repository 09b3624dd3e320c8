"""Scoring trackers on recordings with labels, as the TrackRAD2025 challenge does."""

from gating.evaluation.dataset import Case, DatasetError, read_cases
from gating.evaluation.run import evaluate

__all__ = ["Case", "DatasetError", "evaluate", "read_cases"]
