"""Statistics on plain numbers: knows nothing of torch, files or runs."""
