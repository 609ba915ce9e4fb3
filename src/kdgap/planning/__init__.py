"""A study on paper: from its file to runs and their costs; nothing is loaded or trained."""
