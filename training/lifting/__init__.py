"""What lifts a network above plain fine-tuning where few texts have labels.

`pooling` reads the whole text instead of its first token; `self_training` learns from texts that nobody labelled, by
what teachers say of them and by labels that spread over a graph (`propagation`) of sentence vectors (`vectors`).
"""
