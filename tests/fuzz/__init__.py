"""Damaged files of every format, read: `python -m tests.fuzz [what] --count N --seed S`."""
