"""Other ways to the product's answers, timed beside it; see `CANDIDATES` in candidates/all.py.

A candidate that wins by more than five per cent on a GPU moves into the product; one that does not
is removed. Each is a small function that a test on the CPU holds equal to the product.
"""
