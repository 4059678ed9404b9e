"""The dashboard *Service*: rate, errors and duration of what clients ask (the RED method)."""

from __future__ import annotations

from monitoring.dashboards.marks import SWAPS
from monitoring.dashboards.panel import AMBER, GRAY, GREEN, RED, Board, Panel, Variable, ask, grown

_PAGE = "service.md"
_RATE = "[$__rate_interval]"
_OF_RELEASE = 'release=~"$release",scanner=~"$scanner"'


def _quantile(part: float, stage: str = "") -> str:
    """Return the quantile of a stage, or of each of them for none."""
    only = f'stage="{stage}",' if stage else ""
    buckets = f"sum by (le, stage) (rate(mammo_stage_seconds_bucket{{{only}}}{_RATE}))"
    return f"histogram_quantile({part}, {buckets})"


NOW = (
    Panel(
        "Ready", (ask("max(mammo_service_ready)"),),
        "1 when every worker has a release in service. 0: one has none, and refuses what comes to "
        "it with NOT_READY.",
        "runbooks/MammoServiceNotReady.md", kind="number", width=4, height=4,
        steps=((None, RED), (1, GREEN)),
        words=(("0", "one is not", RED), ("1", "ready", GREEN)),
    ),
    Panel(
        "Requests that failed", (
            ask(f'(sum(rate(mammo_requests_total{{status=~"5.."}}{_RATE}))'
                f" or 0 * sum(rate(mammo_requests_total{_RATE})))"
                f" / sum(rate(mammo_requests_total{_RATE}))"),
        ),
        "Share of answers with a status of 500 and above: the service's own faults and overload. "
        "Amber from 1 %, red from 5 %.",
        "runbooks/MammoErrorBudgetBurnsFast.md", "percentunit", "number", 4, 4,
        steps=((None, GREEN), (0.01, AMBER), (0.05, RED)), decimals=2,
    ),
    Panel(
        "Score, 95 of 100 exams", (ask(_quantile(0.95, "score"), "score"),),
        "95th percentile of the stage `score`, without receiving and reading. "
        "It tells a slow model or a machine without a free core.",
        "runbooks/MammoLatencyBudgetBurnsFast.md", "s", "number", 4, 4,
        steps=((None, GREEN), (2.5, AMBER), (10, RED)), decimals=2,
    ),
    Panel(
        "Exams that wait", (ask("sum(mammo_exams_waiting)"),),
        "Exams accepted and not yet scored. The queue's length is MAMMO_QUEUE_EXAMS (32 unless "
        "set); "
        "when it is full, clients are told to come again (429 or 503 with Retry-After).",
        "runbooks/MammoQueueFull.md",
        "short", "number", 4, 4, steps=((None, GREEN), (16, AMBER), (32, RED)), decimals=0,
    ),
    Panel(
        "Predictions in the spool", (ask("sum(mammo_spool_waiting)"),),
        "Predictions on the disk that the database has not taken. Nothing is lost while it grows; "
        "the monitor does not see them.",
        "runbooks/MammoPredictionsWaitForLog.md", "short", "number", 4, 4,
        steps=((None, GREEN), (1, AMBER), (1000, RED)), decimals=0,
    ),
    Panel(
        "In service", (ask("mammo_release_info", "{{release}} ({{kind}})", instant=True),),
        "The release that answers, its kind and the version of the data it learnt from.",
        "rollout.md", "short", "number", 4, 4, steps=((None, GRAY),),
        words=(("1", "in service", GREEN),),
    ),
)  # fmt: skip
RATE = (
    Panel(
        "Requests by route", (
            ask("sum by (method, route) (rate(mammo_requests_total[$__rate_interval]))",
                "{{method}} {{route}}"),
        ),
        "Answered requests a second, by route template: no id is ever in a label.",
        _PAGE, "reqps",
    ),
    Panel(
        "Exams by release", (
            ask("sum by (release, decision) "
                f"(rate(mammo_predictions_total{{{_OF_RELEASE}}}{_RATE}))",
                "{{release}} {{decision}}"),
        ),
        "Exams scored, logged and answered a second, by the release that answered and its "
        "decision.",
        "rollout.md", "short",
    ),
    Panel(
        "Exams by scanner", (
            ask(f"sum by (scanner) (rate(mammo_predictions_total{{{_OF_RELEASE}}}{_RATE}))",
                "{{scanner}}"),
        ),
        "Exams a second by scanner. A scanner that falls silent is a PACS route or a gateway "
        "first.",
        "gateway.md", "short",
    ),
)  # fmt: skip
ERRORS = (
    Panel(
        "Errors by status", (
            ask(grown('mammo_requests_total{status=~"[45].."}', "status"), "{{status}}"),
        ),
        "Answers in each interval: 4xx is what clients sent, 5xx what the service could not do. "
        "429 "
        "and 503 are overload.",
        "service_faults.md", "short", lowest=0,
    ),
    Panel(
        "Refusals by code", (
            ask(grown("mammo_refusals_total", "code"), "{{code}}"),
        ),
        "Files and requests refused, by the stable code of the error; docs/reading_cases.md says "
        "what each means and what to do.",
        "reading_cases.md", "short",
    ),
    Panel(
        "Turned away and lost", (
            ask("sum(increase(mammo_exams_turned_away_total[$__rate_interval]))", "turned away"),
            ask(grown("mammo_trial_failures_total", "role"), "failed as {{role}}"),
            ask("sum(increase(mammo_images_lost_total[$__rate_interval]))", "images lost"),
            ask("sum(increase(mammo_results_lost_total[$__rate_interval]))", "reports lost"),
        ),
        "Exams told to come again, exams that a release on trial could not score (another one "
        "answered), and answered exams whose images or report the disk refused.",
        "service_faults.md", "short",
    ),
)  # fmt: skip
DURATION = (
    Panel(
        "Answers by route, 95 of 100", (
            ask("histogram_quantile(0.95, sum by (le, route) "
                f"(rate(mammo_request_duration_seconds_bucket{_RATE})))", "{{route}}"),
            ask("histogram_quantile(0.95, sum by (le) "
                f"(rate(mammo_exam_seconds_bucket{_RATE})))", "exams scored"),
        ),
        "From a request's first byte to its answer, by route template: what a client waits. "
        "`/v1/exams` is the list and refusals, too; what is promised is of `exams scored` alone.",
        "service_speed.md", "s", steps=((None, GREEN), (30, RED)), width=12,
    ),
    Panel(
        "Median by stage", (ask(_quantile(0.5), "{{stage}}"),),
        "Half of the exams are quicker. Stages of an exam: receive, read, score, network, log, "
        "keep "
        "(images); decode and prepare are of one view.",
        "service_speed.md", "s", width=12,
    ),
    Panel(
        "95 of 100 by stage", (ask(_quantile(0.95), "{{stage}}"),),
        "95th percentile by stage, from a histogram with buckets of 5 ms to 60 s: between two "
        "buckets the value is interpolated.",
        "service_speed.md", "s", steps=((None, GREEN), (10, RED)), width=12,
    ),
    Panel(
        "99 of 100 by stage", (ask(_quantile(0.99), "{{stage}}"),),
        "99th percentile by stage: what the unlucky client sees.",
        "service_speed.md", "s", steps=((None, GREEN), (30, RED)), width=12,
    ),
)  # fmt: skip
INSIDE = (
    Panel(
        "Queue", (
            ask("sum(mammo_exams_inside)", "inside"),
            ask("sum(mammo_exams_waiting)", "waiting"),
            ask("sum(mammo_uploads)", "open requests"),
            ask("max(mammo_queue_limit)", "limit"),
        ),
        "Exams inside the service, those of them that wait, and requests that are open. "
        "Of the worker that answered the scrape.",
        "runbooks/MammoQueueFull.md", "short",
    ),
    Panel(
        "Scores by scanner", (
            ask("histogram_quantile(0.5, sum by (le, scanner) (rate("
                f"mammo_exam_score_bucket{{{_OF_RELEASE}}}{_RATE})))", "{{scanner}} median"),
            ask("histogram_quantile(0.9, sum by (le, scanner) (rate("
                f"mammo_exam_score_bucket{{{_OF_RELEASE}}}{_RATE})))", "{{scanner}} 90th"),
        ),
        "Median and 90th percentile of the calibrated score of answered exams.",
        "drift.md", "percentunit", lowest=0, highest=1,
    ),
    Panel(
        "Exams offered to a challenger", (
            ask(grown("mammo_shadow_total", "fate"), "{{fate}}"),
        ),
        "In the shadow a challenger scores beside the champion and nobody sees it: scored, dropped "
        "(no time), failed.",
        "rollout.md", "short",
    ),
    Panel(
        "Audit log", (
            ask("min(mammo_audit_up)", "readable"),
            ask("sum(increase(mammo_audit_lines_total[$__rate_interval]))", "new lines"),
        ),
        "Whether the audit log, a hash chain, can be read, and how many lines were added.",
        "runbooks/MammoAuditUnreadable.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Predictions set aside", (ask("sum(mammo_spool_refused)", "set aside"),),
        "Predictions that the database will never take: a person must look at them.",
        "runbooks/MammoPredictionsSetAside.md",
        "short", steps=((None, GREEN), (1, RED)), decimals=0, lowest=0,
    ),
    Panel(
        "Outcomes received", (
            ask(grown("mammo_outcomes_total", "kind"), "{{kind}}"),
        ),
        "Outcomes that hospitals told: new, repeated, and of exams never scored here.",
        "late_outcomes.md", "short",
    ),
)  # fmt: skip

BOARD = Board(
    "mammo-service", "mammo · Service",
    "Does the service answer, how quickly, and what does it refuse? RED: rate, errors, duration.",
    (
        ("Now", NOW), ("Rate", RATE), ("Errors", ERRORS), ("Duration", DURATION),
        ("Queue, trial, outcomes", INSIDE),
    ),
    (
        Variable("release", "Release", "label_values(mammo_predictions_total, release)"),
        Variable("scanner", "Scanner",
                 'label_values(mammo_predictions_total{release=~"$release"}, scanner)'),
    ),
    (SWAPS,),
    since="now-3h", refresh="15s",
)  # fmt: skip
