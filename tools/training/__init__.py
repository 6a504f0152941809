"""Pre-training: the step, the epochs around it, recorded steps and the run's log."""
