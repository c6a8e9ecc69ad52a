"""Compare candidates over several random seeds: `python -m training compare EXPERIMENT --seeds N`."""
