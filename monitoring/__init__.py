"""The champion is watched: a live window of the prediction store against the reference that travels with the model.

The way of one check: `settings` → `champion` (what is served, and its reference) → `window` (what was answered) →
`signals` (what moved, and whether chance explains it) and `accuracy` (where labels came back) → `verdict` (in words
and as JSON) → `report`, `prometheus`, `tracking` (where it is put) → `breach` (what is done about it).
`check` walks it; `cli` is the command.
"""
