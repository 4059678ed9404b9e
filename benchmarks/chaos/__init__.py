"""Faults on the running service: what is killed, filled, stopped or cut off, and what is lost."""
