"""What several methods may be made of. Unlike their files, these may load torch at once."""
