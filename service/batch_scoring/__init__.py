"""Scoring whole files: read in chunks, classified, written in parts that survive a kill, joined at the end."""
