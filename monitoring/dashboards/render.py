"""Makes Grafana's JSON of a dashboard's tables, with the Grafana Foundation SDK (Apache-2.0).

No data source has an id here: panels name the variables ``${DS_PROMETHEUS}`` and
``${DS_DATABASE}``, which a reader sets at the top of the dashboard.
"""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.models import common as look
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards.panel import (
    DOCS,
    REPORTS,
    Annotation,
    Board,
    Choice,
    Panel,
    Query,
    Source,
    Steps,
    Variable,
)

SOURCES: dict[Source, model.DataSourceRef] = {
    "prometheus": model.DataSourceRef("prometheus", "${DS_PROMETHEUS}"),
    "database": model.DataSourceRef("grafana-postgresql-datasource", "${DS_DATABASE}"),
}
TEXT_BOXES = {
    "reports": ("Reports at", "http://localhost:3080"),
    "docs": ("Docs at", "https://example.org/mammo/docs"),
}
SCHEMA_VERSION = 41
"""Of dashboards of Grafana 11.6, which the SDK is pinned to; later ones migrate it on reading."""
_BUILDERS: dict[str, Any] = {
    "lines": timeseries.Panel,
    "number": stat.Panel,
    "bars": bargauge.Panel,
    "table": table.Panel,
    "states": statetimeline.Panel,
}


def render(board: Board) -> str:
    """Return the dashboard as JSON text, the same for the same tables."""
    made = json.loads(JSONEncoder(sort_keys=True).encode(make(board)))
    made["schemaVersion"] = SCHEMA_VERSION
    return json.dumps(made, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def make(board: Board) -> model.Dashboard:
    """Return the SDK's dashboard."""
    marks: list[Any] = [_Built(_annotation(one)) for one in board.annotations]
    frame = (
        build.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(list(board.tags))
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .timezone("browser")
        .refresh(board.refresh)
        .links([_link_to_others()])
        .variables(_variables(board))
        .annotations(marks)
    )
    place = 0
    for row, (title, panels) in enumerate(board.rows):
        frame.with_row(build.Row(title).id(100 + row))
        for panel in panels:
            place += 1
            frame.with_panel(_panel(panel, place))
    return frame.build()


class _Built:
    """A model that was built by hand, where the SDK has no builder for all of it."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def build(self) -> Any:
        return self._made


def _link_to_others() -> build.DashboardLink:
    link = build.DashboardLink("mammo").type(model.DashboardLinkType.DASHBOARDS).tags(["mammo"])
    return link.as_dropdown(False).include_vars(False).keep_time(True).target_blank(False)


def _variables(board: Board) -> list[Any]:
    """Data sources first, since the others ask them; the text boxes last."""
    asked = {one.source for one in board.variables if isinstance(one, Variable)}
    asked |= {query.source for panel in board.panels() for query in panel.queries}
    asked |= {one.source for one in board.annotations}
    titles: dict[Source, str] = {"prometheus": "Prometheus", "database": "Prediction database"}
    made: list[Any] = [
        build.DatasourceVariable(str(SOURCES[name].uid).strip("${}"))
        .label(titles[name])
        .type(str(SOURCES[name].type_val))
        for name in titles
        if name in asked
    ]
    made += [_choice(one) if isinstance(one, Choice) else _variable(one) for one in board.variables]
    return made + [
        build.TextBoxVariable(name).label(label).default_value(text)
        for name, (label, text) in TEXT_BOXES.items()
    ]


def _variable(one: Variable) -> Any:
    query: Any = one.query
    if one.source == "prometheus":
        query = {"query": one.query, "refId": one.name, "qryType": 5}
    made = build.QueryVariable(one.name).label(one.label).query(query)
    made.datasource(SOURCES[one.source]).multi(True).include_all(True)
    made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(model.VariableSort.ALPHABETICAL_ASC)
    return made.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _choice(one: Choice) -> Any:
    text, value = one.options[0]
    made = build.CustomVariable(one.name).label(one.label)
    made.values(",".join(f"{text} : {value}" for text, value in one.options))
    return made.current(model.VariableOption(selected=True, text=text, value=value))


def _annotation(one: Annotation) -> model.AnnotationQuery:
    made = model.AnnotationQuery(one.name, SOURCES[one.source], True, False, one.colour)
    if one.source == "prometheus":
        made.expr = one.query
        made.target = {"expr": one.query, "refId": "Anno", "interval": "15s"}  # type: ignore[assignment]
    else:
        made.target = _sql(one.query, "Anno")  # type: ignore[assignment]
    return made


def _sql(text: str, name: str, shape: str = "table") -> dict[str, Any]:
    return {
        "refId": name,
        "format": shape,
        "rawQuery": True,
        "editorMode": "code",
        "rawSql": text,
    }


def _panel(panel: Panel, place: int) -> Any:
    made = _BUILDERS[panel.kind]().id(place).title(panel.title).description(_about(panel))
    made.height(panel.height).span(panel.width).unit(panel.unit).links(_links(panel))
    made.datasource(SOURCES[panel.queries[0].source])
    for name, query in zip("ABCDEFGH", panel.queries, strict=False):
        made.with_target(_target(query, name, panel.kind))
    _set_numbers(made, panel)
    _LOOKS[panel.kind](made, panel)
    return made


def _about(panel: Panel) -> str:
    return f"{panel.about}\n\nWhat to do: [{panel.runbook}]({DOCS}/{panel.runbook})"


def _links(panel: Panel) -> list[Any]:
    found = [("Runbook", f"{DOCS}/{panel.runbook}")]
    if panel.report:
        found.append(("Report", f"{REPORTS}/{panel.report}"))
    return [
        build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).target_blank(True)
        for title, url in found
    ]


def _target(query: Query, name: str, kind: str) -> Any:
    source = SOURCES[query.source]
    if query.source == "database":
        shape = "time_series" if query.over_time else "table"
        content = {**_sql(query.text, name, shape), "datasource": source.to_json()}
        return _Built(UnknownDataquery(content))
    made = Dataquery().expr(query.text).ref_id(name).datasource(source)
    made.legend_format(query.legend or "__auto")
    if kind == "table":
        return made.instant().format(PromQueryFormat.TABLE)
    # as series each value has its legend; as a table there were one column for all
    made.format(PromQueryFormat.TIME_SERIES)
    return made.instant() if query.instant or _is_of_now(query, kind) else made.range()


def _is_of_now(query: Query, kind: str) -> bool:
    """Return whether a number is asked for now alone.

    Of a range Grafana shows the last that there was, hours after its page was gone: *ready* of a
    service that is dead. A quantile stands: where no exam came for a minute, there is none of now.
    """
    return kind == "number" and not query.text.startswith("histogram_quantile")


def _set_numbers(made: Any, panel: Panel) -> None:
    if panel.steps:
        made.thresholds(_thresholds(panel.steps))
    for name, value in (
        ("decimals", panel.decimals),
        ("min", panel.lowest),
        ("max", panel.highest),
    ):
        if value is not None:
            getattr(made, name)(value)
    if panel.words:
        options = {
            value: model.ValueMappingResult(text, colour, index=place)
            for place, (value, text, colour) in enumerate(panel.words)
        }
        made.mappings([model.ValueMap(options)])
    for column in panel.linked:
        link = {"title": "Open", "url": "${__value.raw}", "targetBlank": True}
        made.override_by_name(column, [model.DynamicConfigValue("links", [link])])
    for column, unit in panel.units:
        made.override_by_name(column, [model.DynamicConfigValue("unit", unit)])


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    return build.ThresholdsConfig().steps([model.Threshold(at, colour) for at, colour in steps])


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().display_mode(look.LegendDisplayMode.TABLE)
    return (
        legend.placement(look.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )


def _lines(made: Any, panel: Panel) -> None:
    made.legend(_legend()).tooltip(
        common.VizTooltipOptions()
        .mode(look.TooltipDisplayMode.MULTI)
        .sort(look.SortOrder.DESCENDING)
    )
    made.line_width(1).fill_opacity(8).show_points(look.VisibilityMode.AUTO)
    if panel.steps:
        style = look.GraphThresholdsStyleMode.DASHED
        made.thresholds_style(common.GraphThresholdsStyleConfig().mode(style))


def _last(panel: Panel) -> common.ReduceDataOptions:
    """Show the last value of every series; every row where a database gives rows."""
    rows = panel.queries[0].source == "database"
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(rows).fields("")


def _number(made: Any, panel: Panel) -> None:
    made.reduce_options(_last(panel)).color_mode(look.BigValueColorMode.VALUE)
    made.graph_mode(look.BigValueGraphMode.AREA).text_mode(look.BigValueTextMode.AUTO)


def _bars(made: Any, panel: Panel) -> None:
    made.reduce_options(_last(panel)).display_mode(look.BarGaugeDisplayMode.LCD)
    made.orientation(look.VizOrientation.HORIZONTAL)


def _table(made: Any, panel: Panel) -> None:
    made.show_header(True).cell_height(look.TableCellHeight.SM).filterable(True)


def _states(made: Any, panel: Panel) -> None:
    made.show_value(look.VisibilityMode.NEVER).merge_values(True).row_height(0.8)
    made.fill_opacity(70).line_width(0)
    made.legend(_legend().calcs([])).color_scheme(
        build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)
    )


_LOOKS: dict[str, Any] = {
    "lines": _lines,
    "number": _number,
    "bars": _bars,
    "table": _table,
    "states": _states,
}
