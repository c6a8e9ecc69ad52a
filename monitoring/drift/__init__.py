"""Drift signals: what is measured of a window, and how it is compared with the reference."""
