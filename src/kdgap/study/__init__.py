"""From what a user asks for to a finished, verified record."""
