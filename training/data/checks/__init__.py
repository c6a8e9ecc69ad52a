"""Data checks, run before training: each returns a finding, and a finding of severity `error` stops the run.

Usage::

    findings = check_data(loaded, splits, config, seed=42)
    rich.print(findings)
    findings.stop_if_grave()
"""
