"""Figures as matplotlib draws them, and the files that hold them."""
