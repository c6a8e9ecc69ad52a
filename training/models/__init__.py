"""Candidates: configuration, weights and training of each kind of model that an experiment can compare."""
