"""The dashboard *Drift by scanner*: where the inputs and the scores moved, and since when."""

from __future__ import annotations

from monitoring.dashboards.marks import EPISODES, RELEASES_MOVED
from monitoring.dashboards.panel import (
    AMBER,
    GRAY,
    GREEN,
    RED,
    Board,
    Panel,
    Variable,
    ask,
    select,
)

_NODE = 'level=~"$level",stratum=~"$stratum"'
_PAGE, _REPORT = "drift.md", "drift/"
_PART = ((None, GREEN), (0.7, AMBER), (1.0, RED))

STATES = (
    Panel(
        "State of each stratum", (
            ask(f'sum by (stratum) (mammo_control_state{{{_NODE},state="in_control"}}'
                f' or mammo_control_state{{{_NODE},state="alert"}} * 2'
                f' or mammo_control_state{{{_NODE},state="confirmed"}} * 3)', "{{stratum}}"),
        ),
        "Each programme, site, scanner and software version has a chart of its own. An *alert* is "
        "one channel past its CUSUM threshold; it is *confirmed* when the e-process agrees, and "
        "only "
        "then an episode opens and acts.",
        "runbooks/MammoDriftConfirmed.md", "short", "states", 16, 9,
        steps=((None, GRAY), (1, GREEN), (2, AMBER), (3, RED)), report=_REPORT,
        words=(("0", "learning", GRAY), ("1", "in control", GREEN), ("2", "alert", AMBER),
               ("3", "confirmed", RED)),
    ),
    Panel(
        "Strata confirmed", (
            ask(f'sum(mammo_control_state{{{_NODE},state="confirmed"}})', "confirmed"),
        ),
        "Strata in which drift is confirmed now. The same condition alerts as MammoDriftConfirmed.",
        "runbooks/MammoDriftConfirmed.md",
        "short", "number", 4, 9, steps=((None, GREEN), (1, RED)), report=_REPORT, decimals=0,
    ),
    Panel(
        "Since the monitor ran", (
            ask("time() - max(mammo_monitor_last_run_timestamp_seconds)", "since the last run"),
        ),
        "What is on this page is as old as this. The schedule runs the monitor every few minutes; "
        "after an hour with exams unread MammoMonitorBehind alerts.",
        "runbooks/MammoMonitorBehind.md",
        "s", "number", 4, 9, steps=((None, GREEN), (1800, AMBER), (3600, RED)),
        report=_REPORT,
    ),
)  # fmt: skip
STATISTICS = (
    Panel(
        "CUSUM as a part of its threshold", (
            ask(f"max by (stratum) (mammo_control_cusum{{{_NODE}}} "
                f"/ mammo_control_threshold{{{_NODE}}})", "{{stratum}}"),
        ),
        "The highest CUSUM over all channels. 1 raises the alert; the threshold is set from "
        "simulated "
        "quiet streams to the false alarms a year of monitor.yaml.",
        _PAGE, "short", steps=_PART, width=8, report=_REPORT, lowest=0,
    ),
    Panel(
        "Evidence as a part of its threshold", (
            ask(f"max by (stratum) (mammo_control_evidence{{{_NODE}}})", "{{stratum}}"),
        ),
        "Log of the e-process over the log of its threshold: valid at any time, however often one "
        "looks. 1 confirms an alert.",
        _PAGE, "short", steps=_PART, width=8, report=_REPORT,
    ),
    Panel(
        "Exams under control", (
            ask(f"max by (stratum) (mammo_control_exams{{{_NODE}}})", "{{stratum}}"),
        ),
        "Exams of each stratum under the release in service: a chart of a few dozen exams is "
        "blunt.",
        _PAGE, "short", width=8, report=_REPORT, decimals=0, lowest=0,
    ),
)  # fmt: skip
CHANNELS = (
    Panel(
        "Channels now", (
            ask("sort_desc(max by (stratum, channel) "
                f'(mammo_control_channel{{{_NODE},channel=~"$channel"}}))',
                "{{stratum}} · {{channel}}", instant=True),
        ),
        "Which channel moved: the score, what the images look like (mean intensity, contrast, "
        "sharpness, noise, breast fraction), the embedding, missing views. Part of its threshold.",
        "channels.md", "short", "bars", 12, 10, steps=_PART, report=_REPORT, lowest=0, highest=1.5,
    ),
    Panel(
        "Channels over time", (
            ask("max by (stratum, channel) "
                f'(mammo_control_channel{{{_NODE},channel=~"$channel"}})',
                "{{stratum}} · {{channel}}"),
        ),
        "The same over time: a step is a new tube, detector or software, a slope is ageing.",
        "channels.md", "short", width=12, height=10, steps=_PART, report=_REPORT, lowest=0,
    ),
)  # fmt: skip
DISTANCES = (
    Panel(
        "Population stability index", (
            ask('max by (stratum, channel) (mammo_drift_psi{stratum=~"$stratum",'
                'channel=~"$channel"})', "{{stratum}} · {{channel}}"),
        ),
        "Recent exams beside the release's reference. Shown, never decisive: the usual limits "
        "0.1 and "
        "0.25 are rules of thumb that small windows pass by chance; see the panel beside it.",
        _PAGE, "short", steps=((None, GREEN), (0.1, AMBER), (0.25, RED)), report=_REPORT, lowest=0,
        width=6,
    ),
    Panel(
        "PSI above what chance gives", (
            ask('max by (stratum, channel) (mammo_drift_psi{stratum=~"$stratum",'
                'channel=~"$channel"} - mammo_drift_psi_by_chance)', "{{stratum}} · {{channel}}"),
        ),
        "PSI less what 95 of 100 windows of this size stay below without a change. Above 0 it says "
        "something.",
        _PAGE, "short", steps=((None, GREEN), (0, RED)), report=_REPORT,
        width=6,
    ),
    Panel(
        "Exams without a value", (
            ask('max by (stratum, channel) (mammo_drift_missing{stratum=~"$stratum",'
                'channel=~"$channel"})', "{{stratum}} · {{channel}}"),
        ),
        "Share of recent exams in which a channel has no value: views that do not arrive, features "
        "that cannot be measured.",
        _PAGE, "percentunit", steps=((None, GREEN), (0.02, AMBER), (0.1, RED)), report=_REPORT,
        lowest=0,
        width=6,
    ),
    Panel(
        "Wasserstein distance", (
            ask('max by (stratum, channel) (mammo_drift_wasserstein_sd{stratum=~"$stratum",'
                'channel=~"$channel"})', "{{stratum}} · {{channel}}"),
        ),
        "How far a channel's distribution lies from the reference, in SD of the reference: half "
        "an SD "
        "is what a change of processing looks like.",
        _PAGE, "short", steps=((None, GREEN), (0.5, AMBER), (1, RED)), report=_REPORT, lowest=0,
        width=6,
    ),
)  # fmt: skip
_DAY = "$__timeGroup(scored_at, '1h')"
_RECENT = "FROM predictions WHERE level = 'exam' AND role = 'champion' AND $__timeFilter(scored_at)"
SCANNERS = (
    Panel(
        "Recall rate by scanner", (
            select(f"""
                SELECT {_DAY} AS time, scanner AS metric, avg(recall::int) AS "recall rate"
                {_RECENT} GROUP BY 1, 2 ORDER BY 1
            """, over_time=True),
        ),
        "Share of exams that the release would recall, by the hour. An acquisition that moved "
        "shows "
        "here before any outcome is known. Band: 5 to 12 % (BI-RADS 5th edition).",
        "drift.md", "percentunit",
        steps=((None, AMBER), (0.05, GREEN), (0.12, AMBER)), report=_REPORT, lowest=0,
        width=6,
    ),
    Panel(
        "Recall rate beside its target", (
            ask('sum by (scanner) (mammo_exams_recalled_total{role="champion"})'
                ' / sum by (scanner) (mammo_exams_total{role="champion"})', "{{scanner}}"),
            ask("max by (scanner) (mammo_recall_target_ratio)", "target of {{scanner}}"),
        ),
        "Share recalled of all exams in the log, beside the rate that the scanner's operating "
        "point "
        "was set to (* stands for scanners without one of their own).",
        "runbooks/MammoRecallRateOutOfRange.md", "percentunit", report=_REPORT, lowest=0,
        width=6,
    ),
    Panel(
        "Scores by scanner", (
            select(f"""
                SELECT {_DAY} AS time, scanner AS metric,
                percentile_cont(0.5) WITHIN GROUP (ORDER BY probability) AS "median",
                percentile_cont(0.9) WITHIN GROUP (ORDER BY probability) AS "90th"
                {_RECENT} GROUP BY 1, 2 ORDER BY 1
            """, over_time=True),
        ),
        "Median and 90th percentile of the exam's calibrated probability, by the hour.",
        "drift.md", "percentunit", report=_REPORT, lowest=0, highest=1,
        width=6,
    ),
    Panel(
        "Missing views by scanner", (
            select(f"""
                SELECT {_DAY} AS time, scanner AS metric,
                avg((quality LIKE '%MISSING_VIEW%')::int) AS "without a view"
                {_RECENT} GROUP BY 1, 2 ORDER BY 1
            """, over_time=True),
        ),
        "Share of exams in which one of the four standard views did not arrive: a modality that "
        "stops "
        "sending, or a rule of the PACS. The control counts it as a channel, too.",
        "drift.md", "percentunit",
        steps=((None, GREEN), (0.02, AMBER), (0.1, RED)), report=_REPORT, lowest=0,
        width=6,
    ),
)  # fmt: skip

BOARD = Board(
    "mammo-drift", "mammo · Drift by scanner",
    "Has what comes in changed: where, in which channel, since when, and is it confirmed?",
    (
        ("State", STATES), ("Statistics against thresholds", STATISTICS), ("Channels", CHANNELS),
        ("Distances, for the eye", DISTANCES), ("By scanner, from the database", SCANNERS),
    ),
    (
        Variable("level", "Level", "label_values(mammo_control_state, level)"),
        Variable("stratum", "Stratum",
                 'label_values(mammo_control_state{level=~"$level"}, stratum)'),
        Variable("channel", "Channel", "label_values(mammo_control_channel, channel)"),
    ),
    (RELEASES_MOVED, EPISODES),
    since="now-24h", refresh="1m",
)  # fmt: skip
