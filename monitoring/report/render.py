"""`report.html`: the verdict in words, then pictures, then tables; one file that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from monitoring.drift.signal import Comparison
from monitoring.judgement import chance, headline
from monitoring.labels.active_learning import novelty
from monitoring.report.advice import advice_for
from monitoring.verdict import ChangedPart, ClassScore, Estimate, Verdict
from stores.predictions import LabelledPrediction
from stores.predictions.checks import Check

_WORDS = {
    "ok": "ok",
    "breach": "breach",
    "insufficient_data": "too little data",
    "not_measured": "not measured",
}
_EXAMPLES = 8


def render_report(
    verdict: Verdict,
    comparisons: Sequence[Comparison],
    *,
    pictures: bool = True,
    evidently_page: str | None,
    texts: Sequence[LabelledPrediction] = (),
    history: Sequence[Check] = (),
) -> str:
    """The report as HTML.

    Args:
        verdict: what was found.
        comparisons: both sides of every signal, for the pictures.
        pictures: draw them, and search for the words, topics and classes that changed.
        evidently_page: name of Evidently's page beside this one, if there is one.
        texts: predictions whose texts may be quoted; empty where they may not.
        history: earlier checks against the same reference, the oldest first, and this one.
    """
    environment = Environment(
        loader=PackageLoader("monitoring.report", "."),
        autoescape=True,  # words and texts come from untrusted clients
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "moment": lambda text: datetime.fromisoformat(text).strftime("%-d %B %Y, %H:%M"),
        "words": _WORDS.__getitem__,
        "sentence": lambda text: text[:1].upper() + text[1:] + ("" if text.endswith(".") else "."),
        "estimate": _estimate,
        "duration": _duration,
        "code": _code,
        "chance": chance,
        "class_words": lambda score: _of_class(score, verdict.thresholds["max_class_fall"]),
    }
    by_name = {item.name: item for item in comparisons}
    content = by_name.get("text_content")
    judged = content is not None and content.score is not None
    old, new = (
        ([str(text) for text in content.reference], [str(text) for text in content.window])
        if judged and content
        else ([], [])
    )
    shown = _explanations(verdict, comparisons, old, new, history) if pictures else {}
    return environment.get_template("report.html.j2").render(
        v=verdict,
        headline=headline(verdict),
        advice=advice_for(verdict),
        explained=pictures,
        **{name: shown.get(name) for name in _EXPLANATIONS},
        evidently=evidently_page,
        examples=_of_part(texts, verdict.drift.changed_part) or _most_novel(texts, old),
    )


_EXPLANATIONS = ("overview", "pictures", "map", "over_time", "classes", "affected", "topics", "more", "less")


def _explanations(
    verdict: Verdict,
    comparisons: Sequence[Comparison],
    old: Sequence[str],
    new: Sequence[str],
    history: Sequence[Check],
) -> dict[str, object]:
    """Pictures, and what changed by class, topic and word: nine tenths of the time of a check."""
    # Imported here: matplotlib takes as long as the measurement of all signals.
    from monitoring.report.history_plot import signals_over_time_picture
    from monitoring.report.plots import classes_picture, embedding_map, overview_picture, signal_pictures
    from monitoring.report.segments import affected_classes, changed_topics, changed_words

    more, less = changed_words(old, new)
    return {
        "overview": overview_picture(verdict.drift),
        "pictures": signal_pictures(comparisons),
        "map": embedding_map(comparisons),
        "over_time": signals_over_time_picture(history),
        "classes": classes_picture(verdict.accuracy),
        "affected": affected_classes(comparisons, verdict.accuracy),
        "topics": changed_topics(old, new),
        "more": more,
        "less": less,
    }


def _of_part(texts: Sequence[LabelledPrediction], part: ChangedPart | None) -> list[LabelledPrediction]:
    """The most typical texts of the part that changed."""
    by_id = {row.id: row for row in texts}
    return [by_id[name] for name in (part.ids if part else []) if name in by_id][:_EXAMPLES]


def _most_novel(texts: Sequence[LabelledPrediction], reference: Sequence[str]) -> list[LabelledPrediction]:
    """The texts with the highest novelty."""
    new = novelty([row.text for row in texts], reference)
    return [texts[place] for place in np.argsort(-new, kind="stable")[:_EXAMPLES]]


def _of_class(score: ClassScore, max_fall: float) -> str:
    if score.status == "ok" and score.f1 and (score.reference_f1 or 0.0) - score.f1.value > max_fall:
        return "fall not proven"
    return _WORDS[score.status]


def _estimate(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f}% ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"


def _code(sentence: str) -> Markup:
    """A sentence with text between backticks as code."""
    parts = [escape(part) for part in sentence.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
