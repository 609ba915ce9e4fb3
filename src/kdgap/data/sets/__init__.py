"""Data sets: one file each, a function from what is asked for to images; torch when one is loaded.

Every module of this folder is read when the package is, so a new file is a new data set.
"""

from kdgap.registry import read_folder

read_folder(__name__, __path__)
