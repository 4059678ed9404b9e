"""Detectors of findings: boxes, training, and how well they find."""
