"""How fast each piece of work is: against the plain oracle and against the machine's own floor.

`python -m tools.benchmark [step|train|data|load|probe|knn|prepare|all|gpu]` measures both sides in
one run, taking turns, so that a busy machine slows both.
"""
