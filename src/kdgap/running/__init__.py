"""One run: from its specification into its directory, and the door to the test images."""
