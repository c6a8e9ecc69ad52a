"""Everything this room can raise, besides what its data, the bundle and the stores raise.

TrainingError
 ├── ExperimentInvalid     the experiment file, or a --set, says something that cannot be
 ├── WeightsMissing        the weights that a network starts from cannot be loaded
 ├── ParityError           the exported network does not compute what the trained one does
 ├── NetworkUnreadable     the torch network cannot be read back from an ONNX file
 ├── TeacherUnusable       there is no such teacher, or it cannot teach these labels
 ├── NotFinite             a loss or a gradient is no longer a number
 ├── OutOfMemory           not even one text at once fits into memory
 ├── CheckpointRefused     a checkpoint was changed, or made elsewhere
 ├── SearchUnavailable     the database of a search's trials does not answer, or not to everybody
 ├── SearchFailed          a search has not one complete trial
 ├── NoCandidateLeft       every candidate that may win has failed
 └── EvaluationRefused     a model cannot be evaluated on the given texts
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of every error of this package."""


class ExperimentInvalid(TrainingError):
    """The experiment file, or an override of it, is not valid; the message names the key."""


class WeightsMissing(TrainingError):
    """The weights that a network starts from cannot be loaded."""


class ParityError(TrainingError):
    """The exported network's probabilities differ from the trained one's by more than the tolerance."""


class NetworkUnreadable(TrainingError):
    """An ONNX file does not hold what is needed to build its torch network again."""


class TeacherUnusable(TrainingError):
    """The teacher of a distillation is not there, cannot be run, or knows other labels."""


class NotFinite(TrainingError):
    """A loss or a gradient is infinite or not a number, so nothing can be learned from it."""


class OutOfMemory(TrainingError):
    """Memory does not suffice for one text at once."""


class CheckpointRefused(TrainingError):
    """A checkpoint is not what was written, or was signed by another key; the message says which, and what to do."""


class SearchUnavailable(TrainingError):
    """The database that keeps a search's trials does not answer, or is one that not everybody can reach."""


class SearchFailed(TrainingError):
    """A search ended without one complete trial; the message has the reason of the last that failed."""


class NoCandidateLeft(TrainingError):
    """Every candidate that may win has failed, so there is nothing to register."""


class EvaluationRefused(TrainingError):
    """A model cannot be evaluated: it, or the texts, are not what they must be."""
