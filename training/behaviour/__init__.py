"""Behavioural tests of a classifier: what it must do whatever its accuracy (CheckList).

Ribeiro, Wu, Guestrin and Singh 2020, *Beyond Accuracy: Behavioral Testing of NLP Models with CheckList*,
arXiv:2005.04118. `config` says how much is tried; `changes` rewrites texts without changing what they say; `terms`
finds the words that tell a class; `running` tries it all on a classifier; `result` is what comes of it.
"""
