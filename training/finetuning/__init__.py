"""Fine-tuning of pretrained networks with transformers' Trainer.

`loop` is the entry point; `trainer`, `callbacks` and `strategies` extend the Trainer; `checkpoints` and
`resume_journal` make a run resumable.
"""
