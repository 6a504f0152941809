"""A run as one page to look at: `python -m tools.report RUN [RUN …]`."""
