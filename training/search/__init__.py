"""A systematic search: many configurations of one candidate, each a trial, hopeless ones stopped early.

The story in file names: `config` says what an experiment may search, `space` draws a configuration from it, `study`
is where trials are kept so that processes share them, `trials` trains one, `searching` goes on until all are done, and
`report` with `pictures` tells what came of it.
"""
