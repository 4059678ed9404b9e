"""An hour of the whole stack at the peak of a national programme, seen by its own Prometheus.

    python -m benchmarks.stack_soak                       an hour; writes results and pictures
    python -m benchmarks.stack_soak --minutes 5 --dry     a short one, writes nothing

`mammo up` (Prefect with its worker and schedules, MLflow, service, gateway, guard, reports), a
Prometheus that scrapes it, and a stream of phantom exams of four views at 0.8 a second: 3.2
images a second, what a programme of 2.5 million women a year sends at its busiest. Memory, disk
and latency come from the Prometheus alone, as an operator would see them.
"""
