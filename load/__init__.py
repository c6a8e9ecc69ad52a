"""Load tests and benchmarks; this room speaks HTTP only."""
