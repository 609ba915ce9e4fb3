"""The report as one HTML document."""
