"""Command lines: one parser, one frozen dataclass a command; imports neither torch nor numpy."""
