"""The bases of methods that read every stage, or both embeddings."""

from __future__ import annotations

from kdgap.methods.method import Method
from kdgap.models.taps import Taps


class OnStages(Method):
    """Base of methods that read the maps of every stage of both networks."""

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read every stage."""
        return Taps(maps=stages)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read every stage."""
        return Taps(maps=stages)


class OnEmbeddings(Method):
    """Base of methods that read both embeddings."""

    def student_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the embedding."""
        return Taps(embedding=True)

    def teacher_taps(self, stages: tuple[str, ...]) -> Taps:
        """Read the embedding."""
        return Taps(embedding=True)
