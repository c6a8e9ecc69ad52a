"""Monitoring: a window of live predictions is compared with the reference of the champion.

One check: `settings` → `champion` (the served model and its reference) → `window` (its predictions) → `drift` (signals
and their significance) and `accuracy` (from labels) → `judgement` and `verdict` (in words and as JSON) → `publishing`
(report, Prometheus textfile, MLflow) → `alerts` and `retraining`. `check` runs these steps.
"""
