"""Eight lessons on the training room, kept as jupytext scripts; `python -m notebooks` runs and renders them."""
