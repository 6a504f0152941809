"""What the scripts run: preparation, training loop, checkpoints, probe, retrieval, reports."""
