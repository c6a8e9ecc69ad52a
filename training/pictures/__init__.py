"""Pictures of how a training went, and of how candidates compare; those of one model's answers stand in `plots`."""
