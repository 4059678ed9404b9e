"""The dashboards' queries on a real Prometheus and a real PostgreSQL."""
