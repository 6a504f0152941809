"""The method: hierarchical encoder, five heads, five queues, momentum and the contrast."""
