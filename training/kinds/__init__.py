"""Kinds of candidates; every module here is imported before an experiment is read."""
