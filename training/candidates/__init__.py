"""Candidates: what an experiment trains and compares. Each kind learns from the training part and leaves a model's
files in a folder, as the bundle keeps them, so that all are judged through `classifier.Classifier`, as they are served.
"""
