"""The whole table in one command: `python -m tools.reproduce`, one module for each question.

cells: what there is to run, by which command; data: what lies on disk; run and child: running what
is missing; plan: how long it would take; published: what others found; table: both side by side;
paired: the table of a study.
The evaluations themselves are rows of `options.evaluations`.
"""
