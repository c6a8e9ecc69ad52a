"""Sections of experiment files: their keys, with defaults, limits and explanations."""
