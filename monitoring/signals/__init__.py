"""What is measured of a window: one signal a property, each with the scores that chance alone would give it."""
