"""Hyperparameter search with Optuna: trials, pruning, reports, and many processes on one study."""
