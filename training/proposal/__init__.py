"""Propose an experiment for a data file: `python -m training new FILE`."""
