"""The whole table in one command: `python -m tools.reproduce`, one module for each question.

cells: what there is to run; data: what lies on disk; scripts: how a cell is run; ledger: what has
been run; child and work: running it; results: what a script found; published: what others found;
table: both side by side; estimate and plan: how long it would take.
"""
