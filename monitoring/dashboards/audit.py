"""The dashboard *Screening audit*: the figures of a BI-RADS audit, for the release's recalls.

What is audited is the release at its operating point, not the radiologists: the recall is the
release's word. Bands are the acceptable ranges of `audit_sql.MEASURES`.
"""

from __future__ import annotations

from monitoring.dashboards.audit_sql import EXAMS, audit_by_month, audit_number, audit_table
from monitoring.dashboards.marks import EPISODES, RELEASE, RELEASES_MOVED, SCANNER, SITE
from monitoring.dashboards.panel import (
    AMBER,
    GRAY,
    GREEN,
    RED,
    Board,
    Choice,
    Panel,
    ask,
    select,
)

_PAGE = "grafana.md#screening-audit"
_BENCH = (
    "Band: BI-RADS 5th edition (ACR 2013); mean of the BCSC: Lehman et al., Radiology 2017, "
    "doi:10.1148/radiol.2016161174."
)
_RECALL = ((None, AMBER), (0.05, GREEN), (0.12, AMBER), (0.2, RED))
_DETECTED = ((None, RED), (2.5, GREEN))
_PPV1 = ((None, AMBER), (0.03, GREEN), (0.08, AMBER))
_SENSITIVITY = ((None, RED), (0.75, GREEN))
_SPECIFICITY = ((None, AMBER), (0.88, GREEN), (0.95, AMBER))

NOW = (
    Panel(
        "Exams audited", (select(f"WITH {EXAMS} SELECT count(*) AS value FROM exams"),),
        "Exams of the chosen release, scanner and site that are as old as the chosen maturity. "
        "Below "
        "some hundreds every other number here is mostly chance: read the intervals in the table.",
        _PAGE, "short", "number", 4, 5, steps=((None, GRAY),), decimals=0,
    ),
    Panel(
        "Recall rate", (select(audit_number("recall", "true")),),
        f"Exams recalled of all (abnormal interpretation rate). Mean 11.6 %. {_BENCH}",
        _PAGE, "percentunit", "number", 4, 5, steps=_RECALL, decimals=1,
    ),
    Panel(
        "Cancers detected in 1000", (select(audit_number("cancer AND recall", "true", 1000)),),
        f"Recalled exams with cancer, in 1000 exams. Mean 5.1, at least 2.5 is accepted. {_BENCH} "
        "Sets enriched with cancers, as phantoms are, lie far above it and say nothing of a "
        "programme.",
        _PAGE, "short", "number", 4, 5, steps=_DETECTED, decimals=1,
    ),
    Panel(
        "PPV1", (select(audit_number("cancer AND recall", "recall")),),
        f"Cancers among the recalled. Mean 4.4 %, 3 to 8 % is accepted. {_BENCH}",
        _PAGE, "percentunit", "number", 4, 5, steps=_PPV1, decimals=1,
    ),
    Panel(
        "Sensitivity", (select(audit_number("recall AND cancer", "cancer")),),
        "Recalled among the cancers known by then. Mean 86.9 %, at least 75 % is accepted. "
        f"{_BENCH} "
        "Cancers of women who were not recalled are known late or never (verification bias): at 3 "
        "months this is too good.",
        "late_outcomes.md", "percentunit", "number", 4, 5, steps=_SENSITIVITY, decimals=1,
    ),
    Panel(
        "Outcome known", (select(audit_number("cancer IS NOT NULL", "true")),),
        "Share of the exams whose outcome is known. An exam without one is unlabelled, never "
        "negative, and is in no specificity.",
        "late_outcomes.md", "percentunit", "number", 4, 5,
        steps=((None, RED), (0.5, AMBER), (0.9, GREEN)), decimals=1,
    ),
)  # fmt: skip
TABLE = (
    Panel(
        "Audit", (select(audit_table()),),
        "Every measure with its counts and 95 % interval (Wilson 1927). Where an interval covers "
        "the "
        f"acceptable range, nothing is shown either way. {_BENCH} PPV3 counts outcomes whose "
        "source "
        "names a biopsy or its histology.",
        _PAGE, "short", "table", 24, 10, decimals=1,
    ),
)  # fmt: skip
MONTHS = (
    Panel(
        "Recall rate by month", (
            select(audit_by_month("recall", "true", "recall rate"), over_time=True),
        ),
        f"By scanner. {_BENCH}", _PAGE, "percentunit", steps=_RECALL, lowest=0,
    ),
    Panel(
        "Cancers detected in 1000 by month", (
            select(audit_by_month("cancer AND recall", "true", "detected", 1000), over_time=True),
        ),
        f"By scanner; months that are not as old as the maturity are missing. {_BENCH}",
        _PAGE, "short", steps=_DETECTED, lowest=0,
    ),
    Panel(
        "Specificity by month", (
            select(audit_by_month("NOT recall AND NOT cancer", "NOT cancer", "specificity"),
                   over_time=True),
        ),
        f"Not recalled among those known to be free of cancer. Mean 88.9 %. {_BENCH}",
        _PAGE, "percentunit", steps=_SPECIFICITY, lowest=0, highest=1,
    ),
)  # fmt: skip
_FIGURE = 'mammo_outcome{figure="%s",bound="%s"}'
MATURITY = (
    Panel(
        "AUC by maturity", (
            ask(_FIGURE % ("auc", "value"), "{{months}} months"),
            ask(_FIGURE % ("auc", "low"), "{{months}} months, low"),
            ask(_FIGURE % ("auc", "high"), "{{months}} months, high"),
        ),
        "AUC of the exams that are 3, 12 and 24 months old, with its 95 % interval (patients "
        "resampled). Figures of one maturity can be compared over time, those of two cannot.",
        "late_outcomes.md", "short", decimals=3, highest=1, report="drift/",
    ),
    Panel(
        "AUC beside the reference", (ask('mammo_auc', "{{of}} {{bound}} ({{release}})"),),
        "AUC in the stream beside that of the release's reference exams. MammoAucBelowReference in "
        "Grafana's alerts fires where the stream's upper bound is below the reference's lower one.",
        "runbooks/MammoAucBelowReference.md",
        "short", decimals=3, highest=1, report="drift/",
    ),
    Panel(
        "Evidence of outcomes", (ask("max by (family) (mammo_outcome_evidence)", "{{family}}"),),
        "Whether outcomes say that something changed, as a part of the threshold: 1 confirms. "
        "Families: how cancers rank, how many there are, how sure the scores are.",
        "runbooks/MammoOutcomesConfirm.md", "short", steps=((None, GREEN), (0.7, AMBER), (1, RED)),
        report="drift/",
    ),
    Panel(
        "Figures by maturity", (
            ask('max by (figure, months) (mammo_outcome{bound="value"})', "{{figure}} {{months}}",
                instant=True),
        ),
        "Sensitivity, recall rate, PPV and detection rate of each maturity, as the monitor "
        "measures "
        "them over its own window: the audit above asks the database instead.",
        "late_outcomes.md", "short", "bars", 12, decimals=3, report="drift/", lowest=0,
        highest=1,
    ),
    Panel(
        "Outcomes joined", (
            ask("max by (release) (mammo_exams_with_outcome)", "{{release}}"),
            ask("max(mammo_outcomes_received_total)", "received"),
        ),
        "Exams of each release that have an outcome, and outcomes received at all: a gap is "
        "outcomes "
        "of exams that were never scored here.",
        "late_outcomes.md", "short", width=12, decimals=0, lowest=0,
    ),
)  # fmt: skip

BOARD = Board(
    "mammo-audit", "mammo · Screening audit",
    "Does the release find cancers without recalling too many, as a BI-RADS audit reads it?",
    (
        ("Now, at the chosen maturity", NOW), ("BI-RADS audit", TABLE), ("By month", MONTHS),
        ("By maturity, from the monitor", MATURITY),
    ),
    (
        SITE, SCANNER, RELEASE,
        Choice("maturity", "Known after", (
            ("3 months", "91"), ("12 months", "365"), ("24 months", "731"),
        )),
    ),
    (RELEASES_MOVED, EPISODES),
    since="now-3y", refresh="15m",
)  # fmt: skip
