"""From records to verdicts. Imports no torch."""
