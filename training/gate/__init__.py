"""The gate: whether the winner of a run replaces the champion, decided on the test part.

Usage::

    champion = current_champion(registry, splits, keys=None)
    decision = decide(contender, splits.test, champion, GateConfig(max_megabytes=50), seed=42)
    decision.promoted, decision.reasons
"""
