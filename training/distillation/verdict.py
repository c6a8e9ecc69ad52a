"""Whether having had a teacher helped: students against the candidates that had none, on the same test texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.data import Splits
from training.distillation.config import Lesson
from training.experiment import Experiment
from training.judging import Judged, difference


def student_sentences(experiment: Experiment, judged: Sequence[Judged], splits: Splits) -> list[str]:
    """For each student a sentence about each candidate that is no student: the paired difference of macro-F1."""
    students = [item for item in judged if isinstance(experiment.candidates[item.name], Lesson)]
    return [
        _sentence(student, other, experiment, splits)
        for student in students
        for other in judged
        if other not in students
    ]


def write_student_sentences(
    folder: Path, experiment: Experiment, judged: Sequence[Judged], splits: Splits
) -> list[str]:
    """`student_sentences`, also as `students.md` in `folder` where there are any."""
    sentences = student_sentences(experiment, judged, splits)
    if sentences:
        text = "# Students\n\n" + "".join(f"- {sentence}\n" for sentence in sentences)
        (folder / "students.md").write_text(text, encoding="utf-8")
    return sentences


def _sentence(student: Judged, other: Judged, experiment: Experiment, splits: Splits) -> str:
    gain = difference(student, other, splits, experiment.gate, seed=experiment.seed)
    verdict = "better" if gain.low > 0 else "worse" if gain.high < 0 else "not shown to differ"
    return (
        f"Student {student.name} against {other.name}: macro-F1 {gain.value:+.3f} "
        f"(interval {gain.low:+.3f} to {gain.high:+.3f}): {verdict}."
    )
