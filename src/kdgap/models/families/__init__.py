"""Families of networks: one file each, which declares them and loads torch when one is built.

Every module of this folder is read when the package is, so a new file is a new family.
"""

from kdgap.registry import read_folder

read_folder(__name__, __path__)
