"""The pages of a run and of an episode, from a report made by hand (`reports.py`)."""

from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from monitoring.evidence_page import Episode, write_episode_page, write_episode_pages
from monitoring.pages import run_links, write_index, write_run_page
from monitoring.plot import plot_nodes
from monitoring.words import ACTIONS, CAUSES


def _load() -> ModuleType:
    path = Path(__file__).with_name("reports.py")
    spec = importlib.util.spec_from_file_location("reports", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reports = _load()


class Checked(HTMLParser):
    """Keeps the text and the links, and refuses tags that are closed in another order."""

    void = frozenset({"meta", "img", "br", "path", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(v) for k, v in attrs if k in ("href", "src")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return None

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def write(folder: Path, episode: Episode, **changes: Any) -> Checked:
    name = write_episode_page(folder, reports.report(**changes), episode)
    return Checked((folder / name).read_text())


def test_the_evidence_answers_what_a_radiologist_asks(tmp_path):
    found = write(tmp_path, reports.episode()).text
    for words in (
        "Images are made differently",
        "site-2 · Draco/D4 · 2.1 (version)",
        "VERSION_NEW (the release has not met this software version)",
        ACTIONS["recalibrate_and_retrain"][0],
        ACTIONS["recalibrate_and_retrain"][1],
        "The change began at exam 206 (115 exams ago)",
        "It was confirmed after 16 exams",
        "Unlikeness to the reference's images +1.5 SD",
    ):
        assert words in found


def test_pictures_are_of_what_moved_and_of_both_sides(tmp_path):
    html = (
        tmp_path / write_episode_page(tmp_path, reports.report(), reports.episode())
    ).read_text()
    pictures = re.findall(r"<svg class=channel.*?</svg>", html)
    assert len(pictures) == 4, "score, embedding distance, brightness and tube voltage"
    for one in pictures:
        paths = ElementTree.fromstring(one.replace("class=channel", "")).findall("path")
        assert len(paths) == 3, "the reference, recent exams, and the axis"


def test_the_named_cause_has_the_highest_probability_and_its_weights(tmp_path):
    found = write(tmp_path, reports.episode()).text
    named = found.split("Why this cause")[1]
    assert re.match(r".*?Images are made differently 9\d%", named)
    assert re.search(r"The scanner is: a new software version ×\S+ against .*?×\d+ for", named)


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_cause_and_action_has_words(tmp_path, cause, action):
    episode = Episode(reports.told(cause=cause, action=action))
    found = write(tmp_path, episode).text
    assert CAUSES[cause][0] in found
    for words in ACTIONS[action]:
        assert words.replace("`", "").replace(" ", "") in found.replace(" ", "")
    assert "No probabilities were kept" in found, "an old episode is shown without them"


def test_every_word_of_the_triage_is_known():
    from typing import get_args

    from monitoring.triage import Action, Cause

    assert set(get_args(Cause)) <= set(CAUSES)
    assert set(get_args(Action)) <= set(ACTIONS)


def test_nothing_is_fetched_and_names_are_escaped(tmp_path):
    wild = "<script>alert(1)</script>"
    told = reports.told(stratum=wild, key=f"r-1:{wild}:act:1", reason=wild)
    strata = {wild: reports.watched(reports.CHANGED, "version") | {"scanner": wild}}
    page = write(tmp_path, Episode(told, triage={"probabilities": {wild: 1.0}}), strata=strata)
    assert "script" not in page.tags
    assert page.links == ["index.html"]
    assert page.text.count(wild) >= 4


@pytest.mark.parametrize("shift", [float("nan"), None])
def test_a_channel_whose_shift_is_not_known_is_shown_without_one(tmp_path, shift):
    record = {"moved": {"missing": ("missing",)}, "shifts": {"missing": shift}, "exams": 0}
    text = write(tmp_path, Episode(reports.told(), record)).text
    assert "A view is missing" in text and "nan" not in text


def test_an_episode_of_no_node_is_told_of_the_programme(tmp_path):
    """Outcomes speak of all exams; nothing of the control stands behind them."""
    told = reports.told(stratum="all exams", cause="concept", action="retrain")
    page = write(tmp_path, Episode(told), strata={}, distances={})
    assert "The whole programme" in page.text
    assert "No channel moved." in page.text


def test_the_run_page_links_its_episodes_and_says_what_was_wrong(tmp_path):
    codes = [{"code": "CLOCK_BACKWARDS", "count": 3, "told": "exams older than the last"}]
    drift = {
        "all exams": {
            "drifted": True, "share": 0.6, "moved": ["score"], "method": "ks", "threshold": 0.05,
            "exams": 815, "note": "", "page": "evidently.html",
        }
    }  # fmt: skip
    report = reports.report(codes=codes, drift=drift)
    name = write_episode_page(tmp_path, report, reports.episode())
    write_run_page(tmp_path, report)
    page = Checked((tmp_path / "index.html").read_text())
    assert {name, "evidently.html", "evidently.json", "report.json"} <= set(page.links)
    assert "CLOCK_BACKWARDS 3 exams older than the last" in page.text
    assert "PSI by chance" in page.text
    assert json.loads((tmp_path / "report.json").read_text())["distances"]["all exams"]


def test_an_alarm_that_goes_on_is_linked_with_its_evidence_of_now(tmp_path):
    grounds = SimpleNamespace(evidence=reports.episode().evidence, triage=reports.triage())
    report = reports.report(episodes_opened=[], alarms=[reports.told()])
    pairs = [(reports.told(), grounds)]
    (name,) = write_episode_pages(tmp_path, report, pairs, [reports.node()])
    assert "change after 205" in (tmp_path / name).read_text(), "its own control is drawn"
    write_run_page(tmp_path, report)
    page = Checked((tmp_path / "index.html").read_text())
    assert name in page.links and "Going on since an earlier run" in page.text


def test_the_tree_is_in_order_and_deeper_nodes_are_further_in(tmp_path):
    write_run_page(tmp_path, reports.report())
    text = Checked((tmp_path / "index.html").read_text()).text
    order = "all exams programme .* site-1 site .* Aurora/A1 scanner .* 1.0 version .* site-2 site"
    assert re.search(order, text)
    html = (tmp_path / "index.html").read_text()
    depths = [float(one) for one in re.findall(r"padding-left:([\d.]+)em", html)]
    assert depths == [0.0, 1.4, 2.8, 4.2, 1.4, 2.8, 4.2]


@pytest.mark.parametrize(("policy", "told"), [("control", True), ("evidently", False)])
def test_the_budget_is_told_of_the_rule_that_keeps_one(tmp_path, policy, told):
    write_run_page(tmp_path, reports.report(policy=policy, false_alarms_a_year=0.5))
    text = Checked((tmp_path / "index.html").read_text()).text
    assert ("at most 0.5 confirmed false alarms a year" in text) == told


def test_a_node_whose_parents_are_not_watched_is_named_in_full(tmp_path):
    """With one scanner at a site the site's node would be the same: there is none."""
    strata = {one.name: reports.watched(one, "version") for one in (reports.KNOWN, reports.CHANGED)}
    write_run_page(tmp_path, reports.report(strata=strata))
    html = (tmp_path / "index.html").read_text()
    assert "site-1 · Aurora/A1 · 1.0 version" in Checked(html).text
    assert set(re.findall(r"padding-left:([\d.]+)em", html)) == {"0.0"}


def test_an_old_run_without_the_new_parts_is_still_listed(tmp_path):
    old = reports.report()
    del old["distances"], old["codes"]
    old["strata"] = {"site-1 · X · 1": {
        name: value
        for name, value in reports.watched(reports.KNOWN, "version").items()
        if name != "level"
    }}  # fmt: skip
    run = tmp_path / "20251128T080000-000"
    run.mkdir()
    write_run_page(run, old)
    write_index(tmp_path)
    assert run.name in (tmp_path / "index.html").read_text()


def test_the_control_is_drawn_with_its_three_moments(tmp_path):
    path = plot_nodes([reports.node()], tmp_path / "control.svg")
    texts = [one.text or "" for one in ElementTree.parse(path).getroot().iter() if one.text]
    assert {"change after 205", "alert 214", "confirmed 221"} <= set(texts)
    assert "header" in texts and "refused" not in texts, "only groups that are watched"
    assert plot_nodes([], tmp_path / "none.svg") is None


def test_what_a_run_wrote_is_linked(tmp_path):
    drift = {"all exams": {"page": "evidently.html"}, "site-1": {"page": None}}
    url = "http://host/drift/20261128T080000-000/"
    report = reports.report(drift=drift, report_url=url)
    links = {key: link for key, link, _ in run_links(report)}
    assert links == {
        "drift-report": url,
        "evidence-r-1-site-2-draco-d4-2-1-act-1": (
            f"{url}episode-r-1-site-2-draco-d4-2.1-act-1.html"
        ),
        "evidently-all-exams": f"{url}evidently.html",
        "evidently-json-all-exams": f"{url}evidently.json",
    }
    assert all(re.fullmatch(r"[a-z0-9-]+", key) for key in links), "as Prefect's keys must be"


@pytest.mark.parametrize("url", [None, "http://host/drift/20251128T080000-000/"])
def test_a_run_that_wrote_nothing_links_nothing(url):
    assert run_links(reports.report(report_url=url)) == []
