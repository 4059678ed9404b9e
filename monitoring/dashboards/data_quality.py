"""The dashboard *Data quality*: what came in, what was refused, how fresh all of it is."""

from __future__ import annotations

from monitoring.dashboards.marks import SCANNER, SITE
from monitoring.dashboards.panel import AMBER, GREEN, RED, Board, Panel, ask, grown, select

_CHOSEN = "site IN (${site:sqlstring}) AND scanner IN (${scanner:sqlstring})"
_EXAMS = (
    "FROM predictions WHERE level = 'exam' AND role = 'champion' "
    f"AND {_CHOSEN} AND $__timeFilter(scored_at)"
)

FRESH = (
    Panel(
        "Since the last exam", (ask("time() - max(mammo_last_exam_timestamp_seconds)"),),
        "Silence in working hours is a PACS route, a gateway or the service. Nights and week-ends "
        "are silent in most programmes.",
        "runbooks/MammoNoExams.md",
        "s", "number", 6, 4, steps=((None, GREEN), (3600, AMBER), (86400, RED)),
    ),
    Panel(
        "Log readable", (ask("min(mammo_log_up)"),),
        "0 when the prediction log cannot be read: nothing is monitored while that lasts "
        "(MammoLogUnreadable).",
        "runbooks/MammoLogUnreadable.md", "short", "number", 6, 4, steps=((None, RED), (1, GREEN)),
        words=(("0", "unreadable", RED), ("1", "readable", GREEN)),
    ),
    Panel(
        "Exams not monitored yet", (ask("max(mammo_monitor_exams_behind)"),),
        "Exams in the log that the monitor has not read.",
        "runbooks/MammoMonitorBehind.md",
        "short", "number", 6, 4, steps=((None, GREEN), (500, AMBER), (5000, RED)),
        report="drift/", decimals=0,
    ),
    Panel(
        "Since the last outcome", (ask("time() - max(mammo_last_outcome_timestamp_seconds)"),),
        "How long ago an outcome was received. Without outcomes the AUC here is of last year.",
        "runbooks/MammoNoOutcomes.md", "s", "number", 6, 4,
        steps=((None, GREEN), (604800, AMBER), (2592000, RED)),
    ),
)  # fmt: skip
INCOMING = (
    Panel(
        "Exams by scanner", (
            select(f"""
                SELECT $__timeGroup(scored_at, '1h') AS time, scanner AS metric,
                count(*) AS exams {_EXAMS} GROUP BY 1, 2 ORDER BY 1
            """, over_time=True),
        ),
        "Exams scored an hour, by scanner.", "gateway.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Quality codes by scanner", (
            select(f"""
                SELECT concat(scanner, ' · ', code) AS metric, count(*) AS exams
                FROM (SELECT scanner, unnest(string_to_array(quality, '|')) AS code {_EXAMS}) q
                WHERE code <> '' GROUP BY scanner, code ORDER BY 2 DESC LIMIT 25
            """),
        ),
        "What the reader noted of exams that it did score; docs/reading_cases.md explains each "
        "code. "
        "A code that rises on one scanner is a change of its headers or its processing.",
        "reading_cases.md", "short", "bars", decimals=0, lowest=0,
    ),
    Panel(
        "Images of an exam", (
            select(f"""
                SELECT scanner AS "Scanner", software_version AS "Version", count(*) AS "Exams",
                avg((quality LIKE '%MISSING_VIEW%')::int) AS "Without a view",
                avg((quality LIKE '%FILE_REFUSED%')::int) AS "With a refused file",
                avg(latency_ms) / 1000 AS "Mean time"
                {_EXAMS} GROUP BY 1, 2 ORDER BY 3 DESC
            """),
        ),
        "By scanner and software version: exams, share without one of the four views, share with a "
        "refused file, time of scoring.",
        "reading_cases.md", "short", "table",
        units=(("Without a view", "percentunit"), ("With a refused file", "percentunit"),
               ("Mean time", "s")),
    ),
)  # fmt: skip
REFUSED = (
    Panel(
        "Refused by code", (
            ask(grown("mammo_refusals_total", "code", "$__range"), "{{code}}", instant=True),
        ),
        "Files and requests that the service refused in the chosen time, by stable code.",
        "reading_cases.md", "short", "bars", decimals=0, lowest=0,
    ),
    Panel(
        "Decode failures", (
            ask(grown("mammo_decode_failures_total", "scanner, code"), "{{scanner}} {{code}}"),
        ),
        "Pixels that could not be decoded, broken files, syntaxes without a decoder, decoders that "
        "crashed or ran out of time; scanner unknown where no file of the exam could be read.",
        "runbooks/MammoDecodeFailures.md", "short", lowest=0,
    ),
    Panel(
        "Requests that failed", (
            select("""
                SELECT code AS "Code", count(*) AS "Requests", max(at) AS "Last (UTC)"
                FROM failed_requests WHERE $__timeFilter(at) GROUP BY 1 ORDER BY 2 DESC
            """),
        ),
        "From the log: requests of which no exam was scored, by code.",
        "service.md", "short", "table",
    ),
)  # fmt: skip
HOME = (
    Panel(
        "Disk", (
            ask("max(mammo_disk_used_bytes)", "used"),
            ask("max(mammo_disk_available_bytes)", "left for us"),
            ask("max(mammo_disk_size_bytes)", "size"),
        ),
        "The file system of MAMMO_HOME. A full disk first loses images and reports, never a "
        "prediction that was answered.",
        "runbooks/MammoDiskFilling.md", "bytes", lowest=0,
    ),
    Panel(
        "Disk left", (
            ask("max(mammo_disk_available_bytes) / max(mammo_disk_size_bytes)", "left"),
        ),
        "Share of the disk that may still be written to.",
        "runbooks/MammoDiskFull.md", "percentunit", "number", 4, 8,
        steps=((None, RED), (0.1, AMBER), (0.2, GREEN)), decimals=1,
    ),
    Panel(
        "Files that grow", (ask("max by (file) (mammo_file_size_bytes)", "{{file}}"),),
        "Size of the log, the spool, the audit log and others: what fills a disk over months.",
        "state.md", "bytes", width=12, lowest=0,
    ),
    Panel(
        "Quarantine by code", (
            ask("max by (code) (mammo_quarantine_files)", "{{code}}", instant=True),
        ),
        "Files that an ingest refused, with a report each, until a person has looked.",
        "runbooks/MammoQuarantineGrows.md", "short", "bars", decimals=0, lowest=0,
    ),
    Panel(
        "Inbox", (ask("max(mammo_inbox_files)", "files that wait"),),
        "Files that wait for the next ingest. One that rises is a worker that does not run.",
        "runbooks/MammoInboxNotRead.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Since the index changed", (
            ask("time() - max(mammo_index_changed_timestamp_seconds)", "since"),
        ),
        "How long ago an ingest last changed the exam index: what training learns from is as old.",
        "checks.md", "s", "number", 8, 8, steps=((None, GREEN), (604800, AMBER), (2592000, RED)),
    ),
)  # fmt: skip
FLOWS = (
    Panel(
        "Prefect", (ask("max(mammo_prefect_up)", "answers"),),
        "0 when Prefect's API does not answer: nothing is scheduled, and no episode is taken up.",
        "runbooks/MammoPrefectDown.md", "short", "number", 4, 8, steps=((None, RED), (1, GREEN)),
        words=(("0", "silent", RED), ("1", "answers", GREEN)),
    ),
    Panel(
        "Since each flow's success", (
            ask("time() - max by (flow) (mammo_flow_last_success_timestamp_seconds)", "{{flow}}",
                instant=True),
        ),
        "How long ago a run of each flow last completed.",
        "runbooks/MammoFlowFails.md",
        "s", "bars", 10, 8, steps=((None, GREEN), (86400, AMBER)), lowest=0,
    ),
    Panel(
        "What the last run took", (
            ask("max by (flow) (mammo_flow_last_duration_seconds)", "{{flow}}", instant=True),
        ),
        "Duration of the last completed run of each flow.",
        "state.md", "s", "bars", 10, 8, lowest=0,
    ),
)  # fmt: skip
OUTCOMES = (
    Panel(
        "Outcomes by source", (
            select("""
                SELECT $__timeGroup(received_at, '1d') AS time, source AS metric,
                count(*) AS outcomes FROM outcomes WHERE $__timeFilter(received_at)
                GROUP BY 1, 2 ORDER BY 1
            """, over_time=True),
        ),
        "Outcomes received a day, by source.", "late_outcomes.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Days from exam to outcome", (
            select("""
                SELECT o.source AS "Source", count(*) AS "Outcomes",
                percentile_cont(0.5) WITHIN GROUP (ORDER BY
                extract(epoch FROM o.known_at - p.scored_at)) AS "Median",
                percentile_cont(0.9) WITHIN GROUP (ORDER BY
                extract(epoch FROM o.known_at - p.scored_at)) AS "90th"
                FROM outcomes o JOIN predictions p USING (exam_id)
                WHERE p.level = 'exam' AND p.role = 'champion' AND $__timeFilter(o.received_at)
                GROUP BY 1 ORDER BY 2 DESC
            """),
        ),
        "How late outcomes are: the maturity at which the audit can be read.",
        "late_outcomes.md", "short", "table",
        units=(("Median", "dtdurations"), ("90th", "dtdurations")),
    ),
    Panel(
        "Bad input of the monitor", (
            ask("max by (code) (mammo_monitor_bad_input)", "{{code}}", instant=True),
        ),
        "What the last run of the monitor noted of its input: clocks that went back, outcomes that "
        "contradict each other, references that are small. MammoMonitorBadInput alerts.",
        "runbooks/MammoMonitorBadInput.md", "short", "bars", report="drift/", decimals=0, lowest=0,
    ),
)  # fmt: skip
GATEWAY = (
    Panel(
        "Gateway", (ask("max(mammo_gateway_up)", "up"),),
        "1 while the DICOM gateway receives. While it is down modalities keep what they have.",
        "runbooks/MammoGatewayDown.md", "short", "number", 4, 8, steps=((None, RED), (1, GREEN)),
        words=(("0", "down", RED), ("1", "up", GREEN)),
    ),
    Panel(
        "Studies that came by DICOM", (
            ask("sum by (state) (mammo_gateway_studies)", "{{state}}"),
        ),
        "Studies by state: receiving, waiting, scored, refused.",
        "runbooks/MammoGatewayBacklog.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Images received by code", (
            ask("sum by (code) (mammo_gateway_images_total)", "{{code}}"),
        ),
        "Objects that came by DICOM, by the code for which they are not scored; none: they are.",
        "gateway.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Since the last image", (
            ask("time() - max(mammo_gateway_last_received_timestamp_seconds)", "since"),
        ),
        "How long ago the last object was received by DICOM.",
        "gateway.md", "s", "number", 4, 8, steps=((None, GREEN), (3600, AMBER), (86400, RED)),
    ),
    Panel(
        "Open associations", (
            ask("max(mammo_gateway_associations)", "open"),
            ask("max(mammo_gateway_associations_limit)", "limit"),
        ),
        "DICOM associations beside their limit: at the limit a modality waits.",
        "gateway.md", "short", decimals=0, lowest=0,
    ),
    Panel(
        "Incidents", (ask("max(mammo_gateway_incidents)", "studies"),),
        "Studies with something that an administrator should look at: `mammo studies`.",
        "runbooks/MammoGatewayIncidents.md",
        "short", "number", 4, 8, steps=((None, GREEN), (1, AMBER)), decimals=0,
    ),
    Panel(
        "Documents to send", (
            ask("sum by (destination, state) (mammo_gateway_documents)",
                "{{destination}} {{state}}"),
        ),
        "Reports for the archives of peers.yaml, by state: what waits is sent again, nothing is "
        "lost (`mammo outbox`).",
        "runbooks/MammoOutboxStuck.md", "short", decimals=0, lowest=0,
        width=12,
    ),
)  # fmt: skip

BOARD = Board(
    "mammo-data", "mammo · Data quality",
    "Does everything arrive, is it what it should be, and how fresh is what the loop learns from?",
    (
        ("Freshness", FRESH), ("What came in", INCOMING), ("What was refused", REFUSED),
        ("Disk, inbox, quarantine", HOME), ("Outcomes and the monitor's input", OUTCOMES),
        ("DICOM gateway", GATEWAY), ("Flows", FLOWS),
    ),
    (SITE, SCANNER),
    (),
    since="now-7d", refresh="1m",
)  # fmt: skip
