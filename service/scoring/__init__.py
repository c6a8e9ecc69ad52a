"""Scoring whole files: read in chunks, classified, written in parts that survive a kill, put together at the end."""
