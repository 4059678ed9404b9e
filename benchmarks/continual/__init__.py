"""Simulated years of a screening programme, and how soon each rule sees what changed."""
