"""Showing what was judged: tables, figures, one page. Imports no torch."""
