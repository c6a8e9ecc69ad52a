"""Regularisers for fine-tuning: AWP, Mixout, layer-wise learning rates, losses. Each file depends on torch only."""
