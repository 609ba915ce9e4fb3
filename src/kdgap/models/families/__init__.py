"""Families of networks: one file each, which declares them and loads torch when one is built.

Every module of this folder is read when the package is, so a new file is a new family.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
