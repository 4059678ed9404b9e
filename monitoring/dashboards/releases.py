"""The dashboard *Releases and episodes*: what was put into service, why, and what came of it."""

from __future__ import annotations

from monitoring.dashboards.marks import EPISODES, RELEASE, RELEASES_MOVED
from monitoring.dashboards.panel import AMBER, GRAY, GREEN, RED, Board, Panel, ask, select

_CHOSEN = "release_id IN (${release:sqlstring})"
_ROLLOUT = "rollout.md"

NOW = (
    Panel(
        "In service", (ask("mammo_release_in_service", "{{release}}", instant=True),),
        "The release that the durable pointer names: what every worker loads when it starts.",
        _ROLLOUT, "short", "number", 6, 5, steps=((None, GRAY),),
        words=(("1", "in service", GREEN),), report="changes/",
    ),
    Panel(
        "Tried beside it", (
            ask("sum by (release) (mammo_challenger_info) or on () label_replace("
                '0 * max(mammo_service_up == 1), "release", "none", "", "")', "{{release}}"),
        ),
        "The challenger in the shadow or as canary; none most of the time. Without data: the "
        "service does not answer.",
        _ROLLOUT, "short", "number", 6, 5, steps=((None, GRAY), (1, AMBER)),
        words=(("0", "none", GRAY), ("1", "on trial", AMBER)),
    ),
    Panel(
        "Release refused", (ask("max(mammo_release_refused)"),),
        "1 while a release that the pointer wants is refused: signature, digest, parity of the "
        "golden "
        "image, or no permission. The one before goes on serving.",
        "runbooks/MammoReleaseRefused.md", "short", "number", 6, 5, steps=((None, GREEN), (1, RED)),
        words=(("0", "no", GREEN), ("1", "refused", RED)),
    ),
    Panel(
        "Episodes open", (
            ask('sum(mammo_episodes{status=~"open|acting|failed"}) or 0 * max(mammo_log_up == 1)',
                "open"),
        ),
        "Episodes that are not over; without data the log cannot be read. One that waits for "
        "retraining longer than 15 minutes, or for a person longer than an hour, alerts "
        "(MammoEpisodeNotTakenUp, MammoPersonAsked).",
        "runbooks/MammoPersonAsked.md",
        "short", "number", 6, 5, steps=((None, GREEN), (1, AMBER), (3, RED)),
        report="drift/", decimals=0,
    ),
)  # fmt: skip
CHANGES = (
    Panel(
        "Changes", (
            select("""
                SELECT at AS "At (UTC)", release_id AS "Release", record->>'stage' AS "Stage",
                CASE WHEN record->>'rollback' = 'true' THEN 'rolled back' ELSE '' END AS "Move",
                record->>'previous' AS "Before", record->>'reason' AS "Reason",
                record->>'by' AS "By", record->'gate'->>'passed' AS "Gate passed",
                record->>'episode_key' AS "Episode"
                FROM changes WHERE $__timeFilter(at) ORDER BY at DESC LIMIT 200
            """),
        ),
        "Every move of the pointer, newest first: signed records in a hash chain. `mammo changes "
        "verify` checks them, this table does not.",
        "change_records.md", "short", "table", 24, 8, report="changes/",
    ),
)  # fmt: skip
DRIFT = (
    Panel(
        "Episodes", (
            select("""
                SELECT opened_at AS "Opened (UTC)", stratum AS "Stratum", cause AS "Cause",
                action AS "Action", status AS "Status", exams_to_alarm AS "Exams to alarm",
                extract(epoch FROM coalesce(closed_at, now() AT TIME ZONE 'UTC') - opened_at)
                AS "Open for", release_id AS "Release", started_by AS "Taken up by",
                report_url AS "Evidence"
                FROM episodes WHERE $__timeFilter(opened_at) ORDER BY opened_at DESC LIMIT 200
            """),
        ),
        "What the monitor named: cause, what it calls for, who took it up, and the page of "
        "evidence. "
        "Acknowledge by acting: `mammo close KEY --reason ...` or `mammo retrain --episode KEY`.",
        "drift.md", "short", "table", 24, 8, report="drift/", units=(("Open for", "dtdurations"),),
        linked=("Evidence",),
    ),
    Panel(
        "Open for", (
            ask("time() - max by (stratum, cause, action) "
                "(mammo_episode_opened_timestamp_seconds)", "{{cause}} on {{stratum}}: {{action}}",
                instant=True),
        ),
        "How long each episode that is not over has been open. A day without an action is a "
        "question "
        "to the one on call.",
        "runbooks/MammoEpisodeNotTakenUp.md", "s", "bars", 8, 8, report="drift/",
        steps=((None, GREEN), (3600, AMBER), (86400, RED)), lowest=0,
    ),
    Panel(
        "Exams from change to alarm", (
            ask("max by (episode) (mammo_episode_exams_to_alarm)", "{{episode}}",
                instant=True),
        ),
        "Exams between the change's estimated begin and the alarm: how long the loop was blind.",
        "drift.md", "short", "bars", 8, 8, report="drift/", decimals=0, lowest=0,
    ),
    Panel(
        "Episodes by cause and status", (
            ask("sum by (cause, status) (mammo_episodes)", "{{cause}} {{status}}", instant=True),
        ),
        "How many of each, as Prometheus sees them: the alerts watch these numbers.",
        "drift.md", "short", "bars", 8, 8, report="drift/", decimals=0, lowest=0,
    ),
)  # fmt: skip
GATE = (
    Panel(
        "Verdicts", (ask("sum by (result) (mammo_gates_total)", "{{result}}", instant=True),),
        "Releases judged, by result.", "gate.md", "short", "number", 8, 5,
        steps=((None, GRAY),), decimals=0,
    ),
    Panel(
        "Refused in a row", (ask("max(mammo_gate_refusals_in_a_row)", "refusals"),),
        "Verdicts against a release since the last one for one: when retraining does not mend what "
        "drifted, this rises.",
        "runbooks/MammoGateRefusesInARow.md",
        "short", "number", 8, 5, steps=((None, GREEN), (2, AMBER), (3, RED)), decimals=0,
    ),
    Panel(
        "Since the last verdict", (
            ask("time() - max(mammo_gate_last_timestamp_seconds)", "since"),
        ),
        "How long ago the gate last judged a release.",
        "gate.md", "s", "number", 8, 5, steps=((None, GRAY),),
    ),
    Panel(
        "Gates", (
            select("""
                SELECT at AS "At (UTC)", challenger AS "Challenger", champion AS "Champion",
                CASE WHEN passed THEN 'passed' WHEN passed IS NULL THEN 'no verdict'
                ELSE 'refused' END AS "Verdict",
                alpha AS "Alpha", decision->'ledger'->>'left' AS "Alpha left",
                (SELECT string_agg(one, ', ') FROM json_array_elements_text(
                decision->'failed') AS one) AS "Failed clauses"
                FROM gates WHERE $__timeFilter(at) ORDER BY at DESC LIMIT 200
            """),
        ),
        "Each look at the sealed golden set: the verdict, and how much of the error budget "
        "(alpha) it "
        "spent. When the account is empty a new golden set is needed.",
        "gate.md", "short", "table", 12, 9, report="changes/",
    ),
    Panel(
        "Clauses of the newest gates", (
            select("""
                SELECT g.at AS "At (UTC)", g.challenger AS "Challenger", c->>'name' AS "Clause",
                c->>'state' AS "State", (c->>'value')::float8 AS "Value",
                (c->>'low')::float8 AS "Low", (c->>'high')::float8 AS "High",
                (c->>'limit')::float8 AS "Limit"
                FROM (SELECT * FROM gates WHERE decision IS NOT NULL AND $__timeFilter(at)
                ORDER BY at DESC LIMIT 5) g, json_array_elements(g.decision->'clauses') c
                WHERE c->>'required' = 'true'
                ORDER BY g.at DESC, (c->>'passed') ASC, 3
            """),
        ),
        "What the last five gates were decided by: value, 95 % interval, limit; those that failed "
        "first.",
        "gate.md", "short", "table", 12, 9, decimals=3,
    ),
)  # fmt: skip
SIDE_BY_SIDE = (
    Panel(
        "Exams by release", (
            ask("sum by (release, role) (mammo_exams_total)", "{{release}} {{role}}"),
        ),
        "Exams in the log by the release that scored them and its role (champion, canary, shadow).",
        _ROLLOUT, "short", decimals=0, lowest=0,
        width=6,
    ),
    Panel(
        "Recall rate by release", (
            select(f"""
                SELECT $__timeGroup(scored_at, '1h') AS time, concat(release_id, ' ', role)
                AS metric, avg(recall::int) AS "recall rate" FROM predictions
                WHERE level = 'exam' AND {_CHOSEN} AND $__timeFilter(scored_at)
                GROUP BY 1, 2 ORDER BY 1
            """, over_time=True),
        ),
        "A new release that recalls twice as many is seen here within an hour. The guard of the "
        "rollout tests it (recall_times).",
        _ROLLOUT, "percentunit", steps=((None, AMBER), (0.05, GREEN), (0.12, AMBER)), lowest=0,
        width=6,
    ),
    Panel(
        "From episode to release", (
            select("""
                SELECT min(c.at) AS "In service (UTC)", c.release_id AS "Release",
                e.cause AS "Cause", e.stratum AS "Stratum",
                extract(epoch FROM min(c.at) - e.opened_at) AS "Took"
                FROM changes c JOIN episodes e ON e.key = c.record->>'episode_key'
                WHERE $__timeFilter(c.at) GROUP BY c.release_id, e.cause, e.stratum, e.opened_at
                ORDER BY 1 DESC
            """),
        ),
        "How long the loop took from the alarm to the release that answers it.",
        "drift.md", "short", "table", units=(("Took", "dtdurations"),),
        width=6,
    ),
    Panel(
        "Failures on trial", (
            select("""
                SELECT release_id AS "Release", role AS "Role", code AS "Code", count(*) AS "Exams",
                max(at) AS "Last (UTC)" FROM trial_failures WHERE $__timeFilter(at)
                GROUP BY 1, 2, 3 ORDER BY 4 DESC
            """),
        ),
        "Exams that a release on trial could not score and the champion answered.",
        _ROLLOUT, "short", "table", decimals=0,
        width=6,
    ),
)  # fmt: skip

BOARD = Board(
    "mammo-releases", "mammo · Releases and episodes",
    "What is in service since when and why, what drift did the loop name, and what did the gate "
    "say?",
    (
        ("Now", NOW), ("What was put into service", CHANGES), ("Episodes of drift", DRIFT),
        ("Gate", GATE), ("Releases side by side", SIDE_BY_SIDE),
    ),
    (RELEASE,),
    (RELEASES_MOVED, EPISODES),
    since="now-30d", refresh="1m",
)  # fmt: skip
