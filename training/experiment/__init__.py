"""Experiment files: their schema, loading with overrides, smoke sizes, and the explanation of their keys.

Usage::

    experiment = load_experiment("quickstart", overrides=["candidates.minilm.epochs=1"])
"""
