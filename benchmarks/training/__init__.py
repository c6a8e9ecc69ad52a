"""How fast fine-tuning is, against the plain way: `python -m benchmarks.training`.

`texts` are the texts to train on, `ways` the two ways to train, `rounds` alternates them, `report` writes the result.
"""
