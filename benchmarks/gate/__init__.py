"""What the gate lets through: planted challengers on simulated golden sets."""
