"""The registry of candidates."""

from tools.benchmark.candidates import attention, branches, contrast, convolution

CANDIDATES = (
    convolution.forms,
    attention.together,
    branches.forked,
    branches.compiled,
    contrast.heads_batched,
    contrast.queues_batched,
    contrast.enqueued_late,
)
"""From a Case to the candidates that it has."""
