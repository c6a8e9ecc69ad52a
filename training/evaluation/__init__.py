"""Evaluation: metrics with confidence intervals, cost, behavioural tests, error analysis."""
