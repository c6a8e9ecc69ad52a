"""Kinds of candidates, one file each; every module here is imported before an experiment is read."""
