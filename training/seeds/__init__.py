"""Is a candidate better, or was it the seed? `python -m training compare EXPERIMENT --seeds N`.

Every candidate is trained with the same few seeds on the same texts; nothing is registered. The story in file names:
`trial` trains one candidate with one seed, `running` all of them in turns, `statistics` says how sure one may be, and
`report` and `picture` show it.
"""
