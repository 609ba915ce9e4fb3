"""Kinds of claims: one file each, with its test, what refutes it, its power and its words.

Every module of this folder is read when the package is, so a new file is a new kind.
"""

from kdgap.judge.kinds.kind import KINDS, ClaimKind, kind_of
from kdgap.registry import read_folder

read_folder(__name__, __path__)

__all__ = ["KINDS", "ClaimKind", "kind_of"]
