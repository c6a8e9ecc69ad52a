"""Distillation: a smaller student learns from what a trained teacher says, and from how it comes to say it.

The story in file names: `config` says what is wanted; `teacher` finds who teaches; `extra` adds texts that nobody
labelled; `objective` is what a student network minimises, `student` trains it; `linear` is the student that is no
network at all.
"""
