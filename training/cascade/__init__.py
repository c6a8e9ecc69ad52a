"""Cascades: weights and thresholds of their stages, and the report on what they trade."""
