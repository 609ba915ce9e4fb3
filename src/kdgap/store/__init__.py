"""What happened: run directories, weights with cards, provenance.

Importing this package or its `card` and `record` modules needs no torch.
"""
