"""How fast fine-tuning is, against the plain way: `python -m training.benchmark`.

`texts` are what is trained on, `ways` the two ways to do it, `rounds` lets them take turns, and `report` shows it.
"""
