"""Checks of the data before anything is trained on it: each gives a finding, and a grave one stops the run.

`config` holds the limits; `finding` is what a check gives; `copies` looks for leaks, duplicates and labels that
contradict one another; `content` at balance, lengths and rows that are no proper text; `language` at languages;
`checking` runs them all; `page` shows them (`data.html`).

Usage::

    findings = check_data(loaded, splits, config, seed=42)
    rich.print(findings)
    findings.stop_if_grave()
"""
