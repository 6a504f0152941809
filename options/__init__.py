"""Command-line options: one frozen dataclass and one parse(argv) a script; never imports torch."""
