"""A candidate becomes the champion: data → candidates → finetuning → evaluation → export → gate."""
