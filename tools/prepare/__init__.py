"""Raw recordings to the published arrays: `python -m tools.prepare FORMAT --raw DIR`."""
