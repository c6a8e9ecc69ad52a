"""What keeps a fine-tuned network from learning its few texts by heart. Every file here stands on torch alone.

`awp` perturbs the weights against the loss; `mixout` mixes them with the pretrained ones; `losses` weighs classes and
hard texts, and smooths labels; `depth` gives lower layers lower learning rates, or none.
"""
