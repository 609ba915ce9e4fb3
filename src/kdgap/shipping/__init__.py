"""A trained network as a file that runs elsewhere, and what such a file says of images."""
