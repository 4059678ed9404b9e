"""Write the tables of docs/service_speed.md from speed.json.

python -m benchmarks.service.report
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.service.load import PEAK_IMAGES_PER_SECOND, TAIL_BAR, THROUGHPUT_BAR
from benchmarks.service.overhead import BAR, NO_OP_BAR_MS
from benchmarks.written import markdown_table, write_between

PAGE = Path(__file__).parents[2] / "docs/service_speed.md"
RESULTS = Path(__file__).with_name("speed.json")
STAGES = ("receive", "read", "score", "log", "keep")
GRAPH_NAMES = {"onnx_fp32": "lite0, float32", "onnx_int8": "lite0, int8"}


def main() -> None:
    """Replace the tables in the page."""
    write_page(json.loads(RESULTS.read_text()))


def write_page(found: dict[str, Any]) -> None:
    """Write every table of the page from what `benchmarks.service.__main__.measure` found."""
    tables = {
        "overhead": _overhead(found),
        "no-ops": _no_ops(found),
        "load": _load(found),
        "cores": _cores(found),
        "batches": _batches(found),
        "sides": _sides(found),
    }
    for name, text in tables.items():
        write_between(PAGE, f"service {name}", f"{text}\n\n{_told(found['run'])}")


def _told(run: dict[str, Any]) -> str:
    machine, load = run["machine"], run["load_average"]
    busy = "not noted, others were at work" if load is None else f"{load:g}"
    return (
        f"Commit {run['commit']}, {run['date']}; {run['cores']} cores, {machine['processor']} "
        f"({', '.join(machine['instructions'])}); onnxruntime {machine['onnxruntime']}. "
        f"{run['turns']} turns. Load average before the run: {busy}."
    )


def _graphs(found: dict[str, Any], part: str) -> list[tuple[str, Any]]:
    return [(GRAPH_NAMES[name], one[part]) for name, one in found["graphs"].items()]


def _mark(value: float, missed: bool, digits: int = 2) -> str:
    return f"{value:.{digits}f}{' **MISSED**' if missed else ''}"


def _overhead(found: dict[str, Any]) -> str:
    head = ["model", "exam", "MB", "in process, ms", "over HTTP, ms", "wall, times"]
    head += [f"at most {BAR:g}", "medians, times", "CPU, times", *STAGES]
    rows = [
        [
            model,
            row["exam"],
            f"{row['megabytes']:g}",
            _ms(row["in_process"]["least_s"]),
            _ms(row["over_http"]["least_s"]),
            f"{row['wall_ratio']:.3f}",
            "missed" if row["wall_ratio"] > BAR else "yes",
            f"{row['median_ratio']:.3f}",
            f"{row['cpu_ratio']:.3f}",
            *(f"{row['stages_ms'].get(name, 0):g}" for name in STAGES),
        ]
        for model, rows in _graphs(found, "overhead")
        for row in rows
    ]
    return markdown_table(head, rows)


def _no_ops(found: dict[str, Any]) -> str:
    head = ["request", "status", "median, ms", "99%, ms", f"at most {NO_OP_BAR_MS:g}"]
    rows = [
        [
            f"`{row['request']}`",
            str(row["status"]),
            f"{row['p50_ms']:g}",
            f"{row['p99_ms']:g}",
            "missed" if row["p99_ms"] > NO_OP_BAR_MS else "yes",
        ]
        for row in _graphs(found, "no_ops")[0][1]
    ]
    return markdown_table(head, rows)


def _load(found: dict[str, Any]) -> str:
    head = ["model", "way", "exams", "refused", "exams a second", "median, s", "99%, s",
            f"99% / median (at most {TAIL_BAR:g})", "CPU s an exam",
            f"throughput (at least {THROUGHPUT_BAR:g})", "by CPU time"]  # fmt: skip
    rows: list[list[str]] = []
    for model, one in _graphs(found, "load"):
        http, plain = one["over_http"], one["in_process"]
        missed = one["throughput_ratio"] < THROUGHPUT_BAR
        ratios = [_mark(one["throughput_ratio"], missed), f"{one['cpu_throughput_ratio']:.2f}"]
        rows.append([model, "over HTTP", *_tally(http, http["p99_to_p50"] > TAIL_BAR), *ratios])
        rows.append([model, "in process", *_tally(plain, missed=False), "1", "1"])
    return markdown_table(head, rows)


def _tally(one: dict[str, Any], missed: bool) -> list[str]:
    return [
        str(one["exams"]),
        str(one["refused"]),
        f"{one['exams_per_s']:.2f}",
        f"{one['p50_s']:.2f}",
        f"{one['p99_s']:.2f}",
        _mark(one["p99_to_p50"], missed),
        f"{one['cpu_s_an_exam']:.3f}",
    ]


def _cores(found: dict[str, Any]) -> str:
    head = ["model", "exam", "images a second and core",
            f"cores for {PEAK_IMAGES_PER_SECOND:g} images a second, 70% busy", "from"]  # fmt: skip
    rows = [
        [model, one["exam"], f"{one['images_per_s_per_core']:.1f}", f"{one['cores_at_peak']:.2f}",
         "eight callers"]
        for model, one in _graphs(found, "load")
    ]  # fmt: skip
    for model, exams in _graphs(found, "overhead"):
        for row in exams[1:]:
            rate = 4 / row["over_http"]["cpu_s"]
            cores = PEAK_IMAGES_PER_SECOND / rate / 0.7
            rows.append([model, row["exam"], f"{rate:.1f}", f"{cores:.2f}", "one caller"])
    return markdown_table(head, rows)


def _batches(found: dict[str, Any]) -> str:
    head = ["model", "threads a run", "views a run", "runs at a time", "wall ms a view",
            "CPU ms a view"]  # fmt: skip
    rows = [
        [
            model,
            str(row["threads"]),
            str(row["views_a_run"]),
            str(row["runs_at_a_time"]),
            f"{row['wall_ms']:g}",
            f"{row['cpu_ms']:g}",
        ]
        for model, rows in _graphs(found, "batches")
        for row in rows
    ]
    return markdown_table(head, rows)


def _sides(found: dict[str, Any]) -> str:
    head = ["model", "exams at a time", "exams a second", "CPU s an exam", "median, s"]
    rows = [
        [
            model,
            str(row["exams_at_a_time"]),
            f"{row['exams_per_s']:.2f}",
            f"{row['cpu_s_an_exam']:.3f}",
            f"{row['latency_s']:.2f}",
        ]
        for model, rows in _graphs(found, "sides")
        for row in rows
    ]
    return markdown_table(head, rows)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"


if __name__ == "__main__":
    main()
