"""Scoring trackers on recordings with labels, as the TrackRAD2025 challenge does."""

from gating.evaluation.case import Case, Evaluation
from gating.evaluation.run import evaluate

__all__ = ["Case", "Evaluation", "evaluate"]
