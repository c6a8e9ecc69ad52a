"""The gate: whether a run's winner replaces the champion, decided on texts that no choice has seen.

`config` says what is demanded; `contenders` are the two that are compared; `checks` holds one function a demand;
`decision` puts them together in words and tags; `pictures` and `page` show them (`report/gate.html`).

Usage::

    champion = current_champion(registry, splits, signing_key=None)
    decision = decide(contender, splits.test, champion, GateConfig(max_megabytes=50), seed=42)
    decision.promoted, decision.reasons
"""
