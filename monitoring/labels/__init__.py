"""Labels: which predictions to label, label files, and weights of labels."""
