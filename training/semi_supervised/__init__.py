"""Semi-supervised learning from unlabelled texts: self-training and label spreading."""
