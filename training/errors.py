"""Exceptions of training and of its data; those of bundles and stores are defined there.

TrainingError
 ├── ExperimentInvalid     the experiment file, or a --set, says something invalid
 ├── WeightsMissing        the weights that a network starts from cannot be loaded
 ├── WeightsUnsuitable     the weights do not fit their tokenizer, the texts, or the task
 ├── ParityError           the exported network does not compute what the trained one does
 ├── NetworkUnreadable     the torch network cannot be read back from an ONNX file
 ├── TeacherUnusable       there is no such teacher, or it cannot teach these labels
 ├── StageUnusable         a candidate cannot be a stage of a cascade
 ├── NotFinite             a loss or a gradient is no longer a number
 ├── OutOfMemory           not even a batch of one text fits into memory
 ├── CheckpointRefused     a checkpoint was changed, or made elsewhere
 ├── SearchUnavailable     the database of a search's trials does not answer, or not to every process
 ├── SearchFailed          a search has not one complete trial
 ├── NoCandidateLeft       every candidate that may win has failed
 ├── EvaluationRefused     a model cannot be evaluated on the given texts
 └── PromotionRefused      a version has other labels than the champion, or the gate refused it

DataError
 ├── SourceNotFound    no such file, packaged source or hub data set
 ├── ColumnNotFound    no text or label column by the given or a common name
 ├── DataRefused       too many rows are unusable, or nothing is left to learn from
 │    └── NotOneValue  a text or a label is a list or an object
 ├── ColumnAmbiguous   two columns have the name of the one that is needed
 └── ClassTooSmall     a class has too few texts for every part of the split
"""

from __future__ import annotations

from typing import Any


class TrainingError(Exception):
    """Base of every error of this package."""


class ExperimentInvalid(TrainingError):
    """The experiment file, or an override of it, is not valid; the message names the key."""


class WeightsMissing(TrainingError):
    """The weights that a network starts from cannot be loaded."""


class WeightsUnsuitable(TrainingError):
    """Weights, tokenizer, texts and configuration do not fit together; training would go wrong unnoticed."""


class ParityError(TrainingError):
    """The exported network's probabilities differ from the trained one's by more than the tolerance."""


class NetworkUnreadable(TrainingError):
    """An ONNX file does not hold what is needed to build its torch network again."""


class TeacherUnusable(TrainingError):
    """The teacher of a distillation is not there, cannot be run, or knows other labels."""


class StageUnusable(TrainingError):
    """A candidate that a cascade names as a stage is not there, has failed, or cannot be one."""


class NotFinite(TrainingError):
    """A loss or a gradient is infinite or not a number, so nothing can be learned from it."""


class OutOfMemory(TrainingError):
    """Not even a batch of one text fits into memory."""


class CheckpointRefused(TrainingError):
    """A checkpoint is not what was written, or was signed by another key; the message says which, and what to do."""


class SearchUnavailable(TrainingError):
    """The database that keeps a search's trials does not answer, or is not reachable from every process."""


class SearchFailed(TrainingError):
    """A search ended without one complete trial; the message has the reason of the last that failed."""


class NoCandidateLeft(TrainingError):
    """Every candidate that may win has failed, so there is nothing to register."""


class EvaluationRefused(TrainingError):
    """A model cannot be evaluated: it, or the texts, are not what they must be."""


class PromotionRefused(TrainingError):
    """A version has other labels than the champion, or the gate refused it; `--force` promotes it all the same."""


class DataError(Exception):
    """Base of every error of this package; the message says what to change."""


class SourceNotFound(DataError):
    """The source does not exist, or cannot be read as what its name says."""


class ColumnNotFound(DataError):
    """The source has no such column, or none with a common name."""


class DataRefused(DataError):
    """More rows are unusable than `max_refused` allows, or too few labels are left."""


class NotOneValue(DataRefused):
    """A text or a label is a list or an object; the message names the row.

    `value` is what was found, `row` and `column` say where, once it is known.
    """

    def __init__(self, value: Any, message: str = "", *, row: int = 0, column: str = "") -> None:
        super().__init__(message or f"a value of type {type(value).__name__} is not one text")
        self.value = value
        self.row = row
        self.column = column


class ColumnAmbiguous(DataError):
    """Two columns have the name of the text or the label; the message says how to choose."""


class ClassTooSmall(DataError):
    """A class is too small for the split; the message names it and its count."""
