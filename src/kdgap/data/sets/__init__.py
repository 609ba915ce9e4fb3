"""Data sets: one file each, a function from what is asked for to images; torch when one is loaded.

Every module of this folder is read when the package is, so a new file is a new data set.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
