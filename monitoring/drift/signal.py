"""A drift signal: one property of the traffic with its settings, score, wording and figure; and the registry.

A signal is a subclass of `DriftSignal` with the decorator `register_signal`, in any module of `monitoring.drift` or in
a module that is imported before the check. Nothing else names it: checks, reports, metrics, history and the settings
table take all signals from `signals()`.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from pydantic_settings import SettingsConfigDict

from monitoring.drift.permutation import Floats, PermutationSampler, Score
from monitoring.verdict import ChangedPart
from stores.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from monitoring.window import Window

T = TypeVar("T")
Values = Sequence[object] | Floats

MAX_FEATURES = 8
"""Dimensions that the change-point search keeps of a signal's features: its time grows with them."""


class NotComparable(Exception):
    """A signal cannot be measured on these texts; the message says why."""


class SignalSettings(Settings):
    """Base of the settings of a signal. A field `monitoring_min_…` is an effect floor and is listed in the verdict."""

    model_config = SettingsConfigDict(allow_inf_nan=False)


@dataclass(frozen=True)
class DriftData:
    """What the signals of one check are measured from."""

    reference: pd.DataFrame
    """Columns as in `classifier.reference`; texts cut to the length that is compared."""
    window: Window
    minimum: int
    """Values that each side must have."""
    sampler: PermutationSampler
    whole_reference: pd.DataFrame
    """The reference before it was sampled; texts in full length."""
    cache: Path | None = None
    """Folder of files that are the same at every check; None: nothing is kept."""
    comparisons: list[Comparison] = field(default_factory=list)
    """Of all signals, in their order; filled before the first score is computed."""
    _shared: dict[Callable[[DriftData], object], object] = field(default_factory=dict)

    @cached_property
    def reference_texts(self) -> list[str]:
        """Texts of the reference."""
        return list(self.reference["text"])

    @cached_property
    def window_texts(self) -> list[str]:
        """Distinct texts of the window."""
        return [row.text for row in self.window.distinct]

    @cached_property
    def novel_texts(self) -> list[str]:
        """Distinct texts of the window that are not in the reference."""
        return [row.text for row in self.window.novel]

    def once(self, compute: Callable[[DriftData], T]) -> T:
        """Result of `compute(self)`, computed at most once: for work that several signals share."""
        if compute not in self._shared:
            self._shared[compute] = compute(self)
        return self._shared[compute]  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Sides:
    """Values of a signal in the reference and in the window."""

    reference: Values
    window: Values
    classes: tuple[str, ...] = ()
    """Names of the columns of two-dimensional values."""
    times: Sequence[float] = ()
    """When each value of the window was predicted, seconds since the epoch; empty where this is not known."""


@dataclass(slots=True)
class Comparison:
    """Both sides of a signal, and its score once it is measured."""

    signal: DriftSignal
    sides: Sides
    floor: float
    """Score below which nothing is a breach."""
    minimum: int
    """Values that each side must have."""
    score: Score | None = None
    problem: str = ""
    """Why it cannot be measured."""
    subject: str = ""
    """What of the signal the score is of, such as one class; empty: all of it."""
    part: ChangedPart | None = None
    """The texts that make the change, where the signal can tell them from the others."""

    @property
    def name(self) -> str:
        """Of the signal."""
        return self.signal.name

    @property
    def title(self) -> str:
        """Of the signal."""
        return self.signal.title

    @property
    def reference(self) -> Values:
        """Values of the reference."""
        return self.sides.reference

    @property
    def window(self) -> Values:
        """Values of the window."""
        return self.sides.window

    @property
    def enough(self) -> bool:
        """Whether both sides have enough values."""
        return min(len(self.reference), len(self.window)) >= self.minimum


class DriftSignal(ABC):
    """One property of the traffic that is compared with the reference.

    Subclass it, directly or through `NumericSignal` or `CategoricalSignal`, and decorate it with `register_signal`.
    Settings are read from the environment when it is constructed, once per check.
    """

    name: ClassVar[str]
    """Key in verdicts, metrics and the history."""
    title: ClassVar[str]
    unit: ClassVar[str]
    """Of the values."""
    measure: ClassVar[str]
    """What the score is."""
    settings_class: ClassVar[type[SignalSettings]]
    order: ClassVar[int] = 1000
    """Position in reports."""
    alpha_share: ClassVar[float | None] = None
    """Share of MONITORING_ALPHA that it gets; None: an equal part of what the others leave."""
    of_service: ClassVar[bool] = False
    """Whether it measures the service and not the traffic: retraining does not change it."""
    needs_text: ClassVar[bool] = False
    """Whether it cannot be measured without the texts themselves."""
    score_without_change: ClassVar[float] = 0.0
    possible_cause: ClassVar[str] = ""
    """A frequent cause of a breach, for the advice in reports and alerts."""
    evidently_type: ClassVar[Literal["text", "categorical", "numerical"] | None] = None
    """Column type on Evidently's page; None: Evidently has no such measure, and the score is shown as a metric."""
    evidently_method: ClassVar[str] = ""
    """Evidently's name of the measure."""

    def __init__(self) -> None:
        self.settings = self.settings_class()

    @abstractmethod
    def floor(self, data: DriftData) -> float:
        """The effect floor: the score below which nothing is a breach, however significant."""

    @abstractmethod
    def sides(self, data: DriftData) -> Sides | None:
        """The values to compare; None: the signal is left out of this check."""

    @abstractmethod
    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The score of a comparison with enough values, and its null distribution.

        Raises:
            NotComparable: it cannot be measured on these values.
        """

    @abstractmethod
    def describe(self, comparison: Comparison) -> str:
        """What changed, as a clause without capital and full stop."""

    def describe_too_few(self, comparison: Comparison) -> str:
        """Why there are too few values."""
        count = min(len(comparison.reference), len(comparison.window))
        return f"{count} texts to compare, {comparison.minimum} are needed."

    def lacks_texts(self, window: Window) -> bool:
        """Whether it cannot be measured because no text of the window is stored."""
        return self.needs_text and not window.distinct and bool(window.redacted)

    def figure(self, comparison: Comparison) -> Figure | None:  # noqa: ARG002
        """A picture of both sides; None: there is none."""
        return None

    def features(self, comparison: Comparison) -> Floats | None:  # noqa: ARG002
        """Features for the change-point search, reference first, (values, features); None: it has none."""
        return None


_REGISTRY: dict[str, type[DriftSignal]] = {}
S = TypeVar("S", bound=type[DriftSignal])


def register_signal(signal: S) -> S:
    """Class decorator: measure this signal in every check.

    Raises:
        ValueError: another signal has the name.
    """
    present = _REGISTRY.get(signal.name)
    if present is not None and (present.__module__, present.__qualname__) != (
        signal.__module__,
        signal.__qualname__,
    ):
        raise ValueError(f"two drift signals are named {signal.name!r}: {present} and {signal}")
    _REGISTRY[signal.name] = signal
    return signal


def unregister_signal(name: str) -> None:
    """Remove a signal from the registry; for tests and examples."""
    _REGISTRY.pop(name, None)


def signals() -> dict[str, type[DriftSignal]]:
    """All registered signals by name, in the order of reports."""
    _import_builtin_signals()
    return dict(sorted(_REGISTRY.items(), key=lambda item: item[1].order))


@cache
def _import_builtin_signals() -> None:
    """Import every module of `monitoring.drift`: its decorators fill the registry."""
    package = import_module("monitoring.drift")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"monitoring.drift.{module.name}")


def signal_settings() -> list[type[SignalSettings]]:
    """The settings classes of all signals, each once."""
    return list(dict.fromkeys(signal.settings_class for signal in signals().values()))


def effect_floors() -> dict[str, float]:
    """Values of all settings `MONITORING_MIN_…` of the signals, without the prefix `monitoring_`.

    Raises:
        ValidationError: a setting is out of range.
    """
    return {
        name.removeprefix("monitoring_"): float(value)
        for settings in signal_settings()
        for name, value in settings().model_dump().items()
        if name.startswith("monitoring_min_")
    }


def title_of(name: str) -> str:
    """Title of a signal; one that only an older release has is named by its key."""
    found = signals().get(name)
    return found.title if found else name.replace("_", " ").capitalize()


def is_of_service(name: str) -> bool:
    """Whether the signal of this name measures the service and not the traffic."""
    found = signals().get(name)
    return found is not None and found.of_service


def relative_change(value: float, threshold: float, name: str) -> float:
    """Size of a signal's change as a multiple of the threshold from which it is a breach."""
    found = signals().get(name)
    unchanged = found.score_without_change if found else 0.0
    if not unchanged:
        return value / threshold
    return max(0.0, value - unchanged) / max(threshold - unchanged, 1e-9)
