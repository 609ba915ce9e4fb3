"""The judging wing: from records to tables. Imports no torch."""
