"""Downstream evaluation of a representation, and what can be measured without labels."""

from ssl_core.evaluation.config import CollapseThresholds, EvaluationConfig, FineTuningConfig

__all__ = ["CollapseThresholds", "EvaluationConfig", "FineTuningConfig"]
