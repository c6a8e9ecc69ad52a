"""The training pipeline: data, candidates, evaluation, gate, registration; resumable."""
