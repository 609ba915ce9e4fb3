"""Training and evaluation: one teacher pass, one student step, nothing hidden.

Read `train.py` first; it is the whole method from top to bottom.
"""
