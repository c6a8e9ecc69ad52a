"""Train, compare, evaluate and register text classifiers: data, candidates, evaluation, gate, registration."""
