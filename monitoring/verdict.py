"""The verdict: what a check found, as typed JSON with a published schema (`verdict.schema.json`).

`python -m monitoring schema` prints the schema; a test holds the published file to it. Fields are added, not renamed:
`schema_version` rises when a reader of the old form would go wrong.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["ok", "breach", "insufficient_data"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class WatchedModel(_Part):
    """The model version that was watched."""

    name: str
    version: str
    alias: str | None
    """The alias it was found by; null when it is pinned."""
    registered_at: str | None = None
    """ISO 8601, UTC; null where no registry knows."""
    champion_since: str | None = None
    """When it was promoted last, ISO 8601, UTC; null where the registry does not say."""
    first_prediction: str | None = None
    """Time of the first prediction of this version that the store has, ISO 8601, UTC; null where there is none."""


class OtherSource(_Part):
    """Predictions of the watched version that came from a source which is no traffic."""

    source: str
    predictions: int
    labelled: int
    """Those whose label is known."""
    correct: int
    """Of these, the ones where the model was right."""


class WindowFacts(_Part):
    """What the check looked at."""

    since: str
    """ISO 8601, UTC; the window begins with it."""
    until: str
    """ISO 8601, UTC; the window ends before it."""
    sources: list[str] = Field(default_factory=list)
    """Sources of the predictions that the check looked at (TRAFFIC_SOURCES); empty: an older release, which did not
    know sources."""
    other_sources: list[OtherSource] = Field(default_factory=list)
    """What the window holds from other sources; it counts nowhere in this verdict."""
    predictions: int
    """Predictions of the watched version."""
    other_versions: int
    """Predictions of other versions of the model, not looked at."""
    sampled: int
    """Predictions that were read."""
    distinct_texts: int
    """Different texts among them; drift is judged on these."""
    repeated_texts: int
    """Rows read that repeat another row's text."""
    texts_of_reference: int
    """Different texts that stand word for word in the reference; left out where words are compared."""


class Since(_Part):
    """When a signal that is in breach began to differ."""

    moment: str
    """ISO 8601, UTC."""
    by: Literal["within_window", "change_point", "first_breach", "first_prediction"]
    """`within_window`: the predictions of a window changed at that moment, in this check's window or in that of an
    earlier one of the same run of breaches; `change_point`: a rise is proven over the windows before, the first of
    which begins then; `first_breach`: the first window of an unbroken run of breaches begins then; `first_prediction`:
    the signal has differed since this version's first prediction."""
    windows: int
    """Windows that were compared, this one included; none overlaps another."""


class Usual(_Part):
    """A signal compared with the same time of earlier weeks, because it is in breach of the reference."""

    windows: list[str]
    """Beginnings of these windows, ISO 8601, UTC."""
    accepted: int = 0
    """How many of these windows a person accepted as usual at this time of the week."""
    texts: int
    """Their predictions."""
    value: float
    """How far this window is from them."""
    threshold: float
    """From which on it is a breach, too."""


class AcceptedTexts(_Part):
    """A live window that a person accepted as part of the reference."""

    id: int
    """By which `python -m monitoring accept --revoke` takes it back."""
    since: str
    """ISO 8601, UTC; the window begins with it."""
    until: str
    """ISO 8601, UTC; the window ends before it."""
    accepted_at: str
    """ISO 8601, UTC."""
    accepted_by: str
    texts: int
    """Texts of it in the reference of this check: none that stand there already, that the retention policy removed, or
    that belong to the window that is judged."""


class Signal(_Part):
    """One property of the traffic, compared with the reference; or `service_latency`, compared with the days before."""

    name: str
    title: str
    measure: str
    """What `value` is."""
    status: Status | Literal["not_measured"]
    value: float | None = None
    """Effect size: how far the window is from the reference."""
    threshold: float | None = None
    """The value from which it is a breach, at this window's size: the floor, or what chance gives if that is more."""
    floor: float
    """Effect size below which nothing is a breach, however certain."""
    p_value: float | None = None
    """Chance of so large a value when nothing changed."""
    p_adjusted: float | None = None
    """The same, corrected over all signals (Holm); a breach is at most alpha."""
    reference_texts: int
    window_texts: int
    words: str
    """What happened, in words."""
    since: Since | None = None
    """When it began; null unless in breach."""
    usual: Usual | None = None
    """How far the window is from what is usual at this time of the week, where the reference alone would say breach and
    a weekly rhythm is known; `status` is then `breach` only if the window differs from both. Else null."""
    evidence: Literal["none", "if_repeated", "at_once"] | None = None
    """What this window is worth as an alarm: `at_once`: it is one by itself; `if_repeated`: it is one where the window
    before, which has no prediction in common with it, was in breach by the same signal. null: not judged, or a verdict
    of an older release."""
    alarm: Literal["none", "at_once", "repeated", "lasts"] | None = None
    """Whether it is an alarm, and by which rule; `lasts`: it was one at the check before, and is still within a fifth
    of its threshold. null as above."""


class ChangedPart(_Part):
    """Texts of a kind that the reference lacks, where they can be told from the others."""

    share: float
    """Of the window's different texts, less as many as the reference has of the like."""
    texts: int
    """How many that is."""
    ids: list[str]
    """Ids of predictions, the most typical first; at most 20."""
    terms: list[str]
    """Words that they have more often than the others; a word of fewer than five texts is not named."""


class Repeats(_Part):
    """Predictions that repeat the text of another one: bots and retries, which are no drift of the content."""

    status: Literal["ok", "many"]
    """`many`: at least a fifth of the predictions read. It is no breach."""
    share: float
    """Of the predictions read that repeat a text."""
    largest: float
    """Share of the predictions read that have the most frequent text."""
    largest_id: str | None
    """Id of a prediction with that text; null where no text repeats."""


class Drift(_Part):
    """Whether the traffic is still like the reference, and the service as quick as on the days before."""

    status: Status
    alpha: float
    """Chance of a false alarm over all signals together."""
    signals: list[Signal]
    changed_part: ChangedPart | None = None
    """null unless `new_matter` is in breach."""
    weeks: int | None = None
    """How many earlier windows at the same time of the week this version has, where a signal is in breach of the
    reference; with fewer than two a weekly rhythm cannot be told apart from a change. Else null."""
    repeats: Repeats | None = None
    """null in verdicts of older releases."""
    accepted: list[AcceptedTexts] = Field(default_factory=list)
    """Live windows whose texts stand in the reference on a person's word; weekly ones are in `usual` of a signal."""


class Estimate(_Part):
    """A figure with its interval."""

    value: float
    low: float
    high: float


class Floor(_Part):
    """The value below which accuracy or macro-F1 is a breach."""

    value: float
    by: Literal["setting", "registration"]
    """`setting`: MONITORING_MIN_ACCURACY or MONITORING_MIN_MACRO_F1; `registration`: the lower end of the interval of
    what the version reached on its held-out texts, less MONITORING_MAX_ACCURACY_FALL."""
    reached: Estimate
    """The same figure on the reference, with its interval."""


class ClassScore(_Part):
    """One class, where its truth is known."""

    label: str
    known: bool
    """Whether the model has this class; feedback may name one that it lacks."""
    labelled: int
    """Labelled predictions whose truth is this class."""
    f1: Estimate | None
    """null when the class is neither predicted nor true among the labelled."""
    reference_f1: float | None
    status: Status


class Sampling(_Part):
    """Correction of the accuracy for the sampling of labels."""

    batches: int
    """Batches of the label queue that it rests on."""
    labelled: int
    """Labelled predictions of the window that they chose."""
    effective_labels: float
    """As many labels of evenly chosen predictions would be as good."""
    covered: float
    """Share of the window's predictions that could have been chosen: what the figures speak for."""
    as_they_came: Estimate
    """Accuracy with equal weights of all labels."""


class ExpectedAccuracy(_Part):
    """The accuracy that the probabilities of the answers let expect, without labels."""

    estimate: Estimate | None
    """With the interval that holds the accuracy which labels of these answers would show: it counts the error of the
    calibration, too. null: no estimate; `words` says why."""
    mean_confidence: float | None
    """Mean probability of the answers, not calibrated by class: mostly too low where texts of the classes have changed,
    far too high on texts of no class."""
    novel_share: float | None
    """Share of the texts that have more unseen words than 95 % of the reference texts; above 0.15 there is no estimate.
    null: texts are not stored."""
    words: str


class Accuracy(_Part):
    """How right the model was, where labels came back."""

    status: Status
    labelled: int
    coverage: float
    """Share of the window's predictions that have a label."""
    mean_lag_seconds: float | None
    """Between prediction and label."""
    confidence_level: float
    """Of every interval here."""
    accuracy: Estimate | None
    macro_f1: Estimate | None
    reference_accuracy: float
    """On the held-out texts, when the model was registered."""
    accuracy_floor: Floor | None = None
    """Accuracy surely below it is a breach; null in verdicts from before there was one."""
    macro_f1_floor: Floor | None = None
    """The same of macro-F1."""
    fall: Estimate | None
    """Reference accuracy less accuracy."""
    expected_accuracy: float | None
    """The value of `expected`; null where there is no estimate. In verdicts from before there was one: the mean
    confidence."""
    expected: ExpectedAccuracy | None = None
    """What to expect without labels; null in verdicts from before there was one."""
    classes: list[ClassScore]
    failures: list[str] = Field(default_factory=list)
    """Every threshold that is breached, in words; empty unless `status` is `breach`."""
    sampling: Sampling | None = None
    """null: the labels are counted as they came. Else accuracy, F1 and fall are corrected for the sampling."""
    words: str


class Alarm(_Part):
    """Whether the checks so far, taken together, are an alarm: what alerts and retraining follow. A breach is the
    finding of one window, and 1 in 100 quiet windows is in breach at the default alpha."""

    on: bool
    reasons: list[str]
    """Names of the signals that are an alarm, and `accuracy`; what labels prove is one at once."""
    days: float
    """The promise: on unchanged traffic at most one false episode is expected in this number of days, as
    MONITORING_ALARM_DAYS sets it. It counts the drift signals, over all references that could have been drawn."""
    checks_per_window: int
    """Checks of this version within one length of the window, this one included; the levels follow from it."""
    at_once_alpha: float
    """Alpha over all signals that a single window must reach."""
    repeated_alpha: float
    """The same of two windows in succession."""
    words: str


class Verdict(_Part):
    """What one check found."""

    schema_version: Literal[1] = 1
    checked_at: str
    """ISO 8601, UTC."""
    status: Status
    summary: str
    """The verdict in one or two sentences."""
    reasons: list[str]
    """Every threshold that is breached, in words; empty unless `status` is `breach`."""
    notes: list[str]
    """What else a reader should know: repeated texts, other versions, things that could not be done."""
    model: WatchedModel
    window: WindowFacts
    drift: Drift
    accuracy: Accuracy
    thresholds: dict[str, float] = Field(default_factory=dict)
    """The settings that decided."""
    alarm: Alarm | None = None
    """null in verdicts of older releases."""

    @property
    def alarms(self) -> bool:
        """Whether somebody is to be told."""
        return self.status == "breach" if self.alarm is None else self.alarm.on

    @property
    def exit_code(self) -> int:
        """0: within thresholds, or too little data to say; 1: a threshold is breached."""
        return 1 if self.status == "breach" else 0
