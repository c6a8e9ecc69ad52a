"""Everything that can stop a scoring job. Rows that cannot be scored stop nothing: they carry their error.

ScoringError
 ├── InputRefused        the file cannot be scored as it was asked for: a column, an extension, an option
 ├── InputUnreadable     the file breaks off or is not what its extension says; the message names the line
 ├── OutputRefused       the output exists, or another process is writing it
 ├── ResumeRefused       unfinished work is there, and belongs to another input, model or set of options
 ├── ModelMissing        there is no model to score with
 ├── EngineUnavailable   the cluster to score on is not there
 └── WorkersLost         workers of the cluster died again and again, or could not do their work
"""

from __future__ import annotations


class ScoringError(Exception):
    """Base of every error of this package; the message says what was wrong and what to do."""


class InputRefused(ScoringError):
    """The file cannot be scored as it was asked for."""


class InputUnreadable(ScoringError):
    """The file breaks off, or is not what its extension says."""


class OutputRefused(ScoringError):
    """The output exists already, or another process is writing it."""


class ResumeRefused(ScoringError):
    """Unfinished work is there, and belongs to another input, model or set of options."""


class ModelMissing(ScoringError):
    """There is no model to score with."""


class EngineUnavailable(ScoringError):
    """Ray is not installed, does not answer, or has fewer processors than were requested."""


class WorkersLost(ScoringError):
    """Workers of the cluster died again and again, or could not load the model."""
