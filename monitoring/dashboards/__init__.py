"""Grafana's dashboards as tables of panels, and what runs their queries.

    python -m monitoring.dashboards        writes dashboards/grafana/ anew

A panel is one entry of a table (`service`, `drift`, `audit`, `releases`, `data_quality`);
`render` makes Grafana's JSON of it with the Foundation SDK, and `check` runs what is in the
JSON on a real Prometheus and a real database.
"""
