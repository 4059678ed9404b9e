"""The page of evidence of one episode, for a radiologist first and for machines last.

What changed, where, since when, why this cause, what the system does, what a person
should do. One file, no script, no network, nothing of any patient: counts,
distributions and names of scanners only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Protocol

from monitoring.outcome_section import outcomes_section
from monitoring.page import page
from monitoring.pictures import draw_channel, number
from monitoring.plot import WatchedNode, draw_nodes
from monitoring.sections import (
    DISTANCE_NOTE,
    PROGRAMME,
    Report,
    bar,
    code_list,
    codes_section,
    distances_section,
    evidently_section,
    nodes_section,
    since,
    table,
)
from monitoring.triage import Triage
from monitoring.words import (
    ACTIONS,
    CAUSES,
    LEVELS,
    SHORT_CAUSES,
    STATES,
    cause_words,
    channel_unit,
    channel_words,
)

MOST_PICTURES = 12
PLAIN_FACTOR = 1.25
"""Weights of evidence nearer to 1 than this factor say nothing worth a colour."""
SINGLE = ("data_fault", "acquisition", "prevalence", "concept", "software_version")


@dataclass(frozen=True)
class Episode:
    """What the page is made of.

    ``told`` is `Proposal.to_dict()` (key, cause, action, reason, stratum, ...), ``triage``
    `Triage.to_dict()` (probabilities and weights), ``evidence`` the record kept with the
    episode, ``picture`` the SVG of the node's control or "".
    """

    told: Mapping[str, Any]
    evidence: Mapping[str, Any] = field(default_factory=dict)
    triage: Mapping[str, Any] = field(default_factory=dict)
    picture: str = ""

    @property
    def file(self) -> str:
        """Name of the page inside the run's folder."""
        return episode_file(self.told)


def episode_file(told: Mapping[str, Any]) -> str:
    """Return the name of an episode's page inside the run's folder."""
    slug = re.sub(r"[^a-z0-9.]+", "-", str(told["key"]).lower()).strip("-")
    return f"episode-{slug}.html"


class Grounds(Protocol):
    """What an alarm rests on: `monitoring.episodes.Proposal` has it."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """The record that is kept with the episode."""

    @property
    def triage(self) -> Triage:
        """Cause, action, probabilities and weights."""


def write_episode_pages(
    directory: Path,
    report: Report,
    alarms: Iterable[tuple[Mapping[str, Any], Grounds]],
    nodes: Iterable[WatchedNode],
) -> list[str]:
    """Write a page for every alarm of a run, new or going on; return their file names.

    ``alarms`` pair what is told of it (`Proposal.to_dict`, with the episode's own key) with
    the proposal itself. The control of the node of that name is drawn on the page.
    """
    by_name = {one.name: one for one in nodes}
    files = []
    for told, grounds in alarms:
        node = by_name.get(str(told["stratum"]))
        picture = draw_nodes([node]) if node is not None else ""
        episode = Episode(told, grounds.evidence, grounds.triage.to_dict(), picture)
        files.append(write_episode_page(directory, report, episode))
    return files


def write_episode_page(directory: Path, report: Report, episode: Episode) -> str:
    """Write the page into a run's folder; return its file name."""
    title = f"{cause_words(episode.told['cause'])}: {episode.told['stratum']}"
    (directory / episode.file).write_text(page(title, _body(report, episode)))
    return episode.file


def _body(report: Report, episode: Episode) -> list[str]:
    told, node = episode.told, report["strata"].get(episode.told["stratum"], {})
    return [
        f"<p class=quiet><a href='index.html'>Monitor run {escape(report['stamp'])}</a> · "
        f"release {escape(str(report['release_id']))} · {escape(str(told['key']))}</p>",
        f"<h1>{escape(cause_words(told['cause']))}</h1>",
        _where(told, node),
        _what_is_done(told),
        "<h2>What moved</h2>",
        _moved(report, episode),
        "<h2>Where</h2>",
        nodes_section(report["strata"], str(told["stratum"])),
        "<h2>Since when</h2>",
        _since_when(told, node),
        episode.picture and f"<figure>{episode.picture}</figure>",
        "<h2>Why this cause</h2>",
        _probabilities(told, episode.triage),
        _weights(episode.triage.get("weights", ())),
        "<h2>Outcomes</h2>",
        outcomes_section(report),
        codes_section(report.get("codes", ())),
        "<h2>Evidently</h2>",
        evidently_section(_own(report.get("drift", {}), str(told["stratum"]))),
        "<h2>All channels</h2>",
        _all_channels(report, episode),
    ]


def _where(told: Mapping[str, Any], node: Report) -> str:
    name = str(told["stratum"])
    level = LEVELS.get(str(node.get("level", "")), "")
    place = "The whole programme" if name == PROGRAMME else escape(name)
    codes = f"<br><span class=quiet>{code_list(node['codes'])}</span>" if node.get("codes") else ""
    meaning = CAUSES.get(str(told["cause"]), ("", ""))[1]
    told_level = f" <span class=quiet>({escape(level)})</span>" if level else ""
    return (
        f"<p class=lead><b>{place}</b>{told_level}{codes}</p>"
        f"<p>{escape(meaning)}</p><p>{escape(str(told['reason']))}</p>"
    )


def _what_is_done(told: Mapping[str, Any]) -> str:
    system, person = ACTIONS.get(str(told["action"]), (str(told["action"]), ""))
    return (
        "<div class=two>"
        f"<div class=box><h3>What the system does</h3><p>{_with_commands(system)}</p></div>"
        f"<div class=box><h3>What you should do</h3><p>{_with_commands(person)}</p></div></div>"
    )


def _with_commands(words: str) -> str:
    """Return the words as HTML; what stands in backticks is a command."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(words))


def _moved(report: Report, episode: Episode) -> str:
    shifts = _shifts_of(report, str(episode.told["stratum"]))
    z = known_shifts(episode.evidence)
    names = [name for group in (episode.evidence.get("moved") or {}).values() for name in group]
    names.sort(key=lambda name: -abs(z.get(name, 0.0)))
    if not names:
        return "<p>No channel moved.</p>"
    exams = episode.evidence.get("exams", 0)
    cards = "".join(_card(name, shifts.get(name), z.get(name)) for name in names[:MOST_PICTURES])
    more = len(names) - MOST_PICTURES
    rest = f"<p class=quiet>{more} more are in the table below.</p>" if more > 0 else ""
    return (
        "<p class=quiet>Grey: the reference of the release. In colour: recent exams of this "
        f"part of the programme. The shift is the mean of {exams:,} exams since the change, "
        "each ranked among the reference.</p>"
        f"<div class=cards>{cards}</div>{rest}"
    )


def _card(name: str, shift: Mapping[str, Any] | None, z: float | None) -> str:
    moved = f"<b>{z:+.1f} SD</b>" if z is not None else ""
    picture, means = "", ""
    if shift:
        picture = draw_channel(name, shift)
        flag = bool((shift.get("histogram") or {}).get("values"))
        means = "" if flag else _means(name, shift)
    return f"<div class=card><h3>{escape(channel_words(name))} {moved}</h3>{picture}{means}</div>"


def _means(name: str, shift: Mapping[str, Any]) -> str:
    unit = channel_unit(name)
    before, now = number(shift["reference_mean"]), number(shift["mean"])
    return f"<p class=quiet>mean {before} → {now} {escape(unit)}</p>"


def _shifts_of(report: Report, name: str) -> Mapping[str, Any]:
    """Return the distances of the node, or of the programme where it has none of its own."""
    distances: Mapping[str, Any] = report.get("distances") or {}
    return distances.get(name) or distances.get(PROGRAMME) or {}


def _since_when(told: Mapping[str, Any], node: Report) -> str:
    lines = []
    if node and since(node):
        lines.append(f"The change began at {since(node)}.")
    if told.get("exams_to_alarm") is not None:
        lines.append(f"It was confirmed after {told['exams_to_alarm']:,} exams.")
    if node:
        state = str(node["state"])
        lines.append(f"Now: {STATES.get(state, state)}; evidence")
        share = bar(float(node["evidence"]), state)
        return f"<p>{escape(' '.join(lines))} {share} of what is needed.</p>"
    return f"<p>{escape(' '.join(lines) or 'Not told by any single part of the programme.')}</p>"


def _probabilities(told: Mapping[str, Any], triage: Mapping[str, Any]) -> str:
    chances: Mapping[str, float] = triage.get("probabilities", {})
    if not chances:
        return "<p class=quiet>No probabilities were kept with this episode.</p>"
    rows = []
    for cause, chance in sorted(chances.items(), key=lambda one: -one[1]):
        name = escape(cause_words(cause))
        shown = f"<b>{name}</b>" if cause == told["cause"] else name
        rows.append([shown, bar(chance, "chance"), escape(CAUSES.get(cause, ("", ""))[1])])
    return table(("Cause", "Probability", "What it means"), rows)


def _weights(weights: Iterable[Mapping[str, Any]]) -> str:
    """Return what was seen, and by what factor it speaks for or against each cause."""
    rows = [
        [escape(str(one["seen"])), *(_factor(one["weights"].get(cause)) for cause in SINGLE)]
        for one in weights
    ]
    if not rows:
        return ""
    head = ("What was seen", *(SHORT_CAUSES[cause] for cause in SINGLE))
    return (
        f"{table(head, rows)}<p class=quiet>×10 for: seen ten times as often under this "
        "cause as under the others. The table of these figures is in docs/triage.md; the "
        "factors are taken as independent.</p>"
    )


def _factor(nats: float | None) -> str:
    if nats is None:
        return ""
    factor = math.exp(abs(nats))
    if factor < PLAIN_FACTOR:
        return "<span class=quiet>–</span>"
    side = "for" if nats > 0 else "against"
    size = f"{factor:.0f}" if factor >= 10 else f"{factor:.1f}"
    strength = "strong" if factor >= 10 else ""
    return f"<span class='w {side} {strength}'>×{size} {side}</span>"


def _own(drift: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return {key: drift[key] for key in dict.fromkeys((name, PROGRAMME)) if key in drift}


def _all_channels(report: Report, episode: Episode) -> str:
    shifts = _shifts_of(report, str(episode.told["stratum"]))
    if not shifts:
        return "<p class=quiet>No exams of this part lie in the window that is compared.</p>"
    return distances_section(shifts, known_shifts(episode.evidence)) + DISTANCE_NOTE


def known_shifts(evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean score z of each channel that has one (SD of the reference)."""
    shifts: Mapping[str, float | None] = evidence.get("shifts") or {}
    return {name: z for name, z in shifts.items() if z is not None and math.isfinite(z)}
