"""How many requests may wait where batchers are compared."""

ROOM = 256
