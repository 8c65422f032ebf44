"""Downstream evaluation of a representation, and what can be measured without labels."""

from ssl_core.evaluation.config import EvaluationConfig, FineTuningConfig

__all__ = ["EvaluationConfig", "FineTuningConfig"]
