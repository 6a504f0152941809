"""One module for each source of recordings."""
