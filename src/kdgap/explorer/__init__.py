"""A page to look at a study with, live from its directory or exported. Imports no torch."""
