"""The benchmark: the service beside what a user would run instead, on the same weights, threads and texts.

The story in file names: `material` makes weights and texts; `peers` says who takes part, `servers/` holds those that
have to be written first, `environment` makes one of its own for whose packages conflict with ours; `starting` starts
and stops one; `driving` asks it in closed and open loops; `running` does the rounds; `results`, `table` and `pictures`
show what came of it.
"""
