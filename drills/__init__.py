"""Drills: faults that are made on purpose against real processes, each with the promise that must hold meanwhile."""

from drills.registry import Bench, Drill, Outcome, drill

__all__ = ["Bench", "Drill", "Outcome", "drill"]
