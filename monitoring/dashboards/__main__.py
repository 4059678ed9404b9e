"""Writes the dashboards anew: ``python -m monitoring.dashboards``."""

from __future__ import annotations

from monitoring.dashboards.write import write_all

if __name__ == "__main__":
    for path in write_all():
        print(path)
