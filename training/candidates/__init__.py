"""Training of networks, heads on frozen encoders, and static linear models."""
