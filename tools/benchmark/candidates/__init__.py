"""Other ways to the product's answers, timed beside it.

A candidate that wins by more than five per cent on a GPU moves into the product; one that does not
is removed. Each is a small function that a test on the CPU holds equal to the product.
"""

from tools.benchmark.candidates import attention, branches, contrast, convolution, recurrent

CANDIDATES = (
    convolution.forms,
    attention.together,
    recurrent.padded,
    branches.forked,
    branches.compiled,
    contrast.heads_batched,
    contrast.queues_batched,
    contrast.enqueued_late,
)
"""From a Case to the candidates that it has."""
