"""Variables and annotations that several dashboards share."""

from __future__ import annotations

from monitoring.dashboards.panel import AMBER, BLUE, Annotation, Variable

RELEASE = Variable(
    "release", "Release", "SELECT DISTINCT release_id FROM predictions ORDER BY 1", "database"
)
SCANNER = Variable(
    "scanner", "Scanner", "SELECT DISTINCT scanner FROM predictions ORDER BY 1", "database"
)
SITE = Variable("site", "Site", "SELECT DISTINCT site FROM predictions ORDER BY 1", "database")

RELEASES_MOVED = Annotation(
    "Releases",
    "SELECT at AS time, concat_ws(' ', release_id, record->>'stage', "
    "CASE WHEN record->>'rollback' = 'true' THEN '(rolled back)' END, "
    "'by', record->>'by', ':', record->>'reason') AS text, "
    "concat_ws(',', 'release', record->>'stage') AS tags "
    "FROM changes WHERE $__timeFilter(at) ORDER BY at",
    BLUE,
)
EPISODES = Annotation(
    "Episodes",
    "SELECT opened_at AS time, closed_at AS timeend, "
    "concat(cause, ' on ', stratum, ': ', action, ' (', status, ')', "
    "CASE WHEN report_url IS NULL THEN '' "
    "ELSE concat(' <a href=\"', report_url, '\">evidence</a>') END) AS text, "
    "concat_ws(',', 'episode', cause, action) AS tags "
    "FROM episodes WHERE $__timeFilter(opened_at) ORDER BY opened_at",
    AMBER,
)
SWAPS = Annotation(
    "Release put into service",
    "changes(mammo_release_swaps_total[1m]) > 0",
    BLUE,
    "prometheus",
)
