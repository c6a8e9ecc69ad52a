"""One run: checks before it, its state and events, training and resuming a candidate, MLflow."""
