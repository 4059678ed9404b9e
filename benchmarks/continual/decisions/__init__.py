"""What retraining, gate and rollout do to a programme's skill over simulated years."""
