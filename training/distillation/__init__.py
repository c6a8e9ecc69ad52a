"""Knowledge distillation: a smaller student learns from the outputs and the inner states of a teacher."""
