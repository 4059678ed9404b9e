from __future__ import annotations

import socket
import threading
import time
from datetime import datetime
from xml.etree import ElementTree

import httpx
import pytest
from pydantic import SecretStr

from mammo.pointer import read_pointer
from monitoring import loop_metrics
from monitoring.config import WATERMARK
from monitoring.metrics import Scrape, make_server
from monitoring.pages import write_index

NEW = "Phantom Draco/D4"
PLACE = f"site-1 · {NEW} · 1.0"
OUTCOMES = {
    "maturity": [{"months": 12, "auc": {"value": 0.9, "low": 0.85, "high": 0.94}, "ppv": None}],
    "findings": {"evidence": {"cancer_rank": 0.3}},
}
STRATUM = {"cusum": 4.0, "threshold": 10.0, "evidence": 0.2, "exams": 70, "state": "alert"}


@pytest.fixture
def get(hospital):
    """Serve the hospital's reports on a free port."""
    server = make_server(hospital.settings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
        yield client.get
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_empty_stack_answers(get):
    assert get("/healthz").json() == {"status": "ok"}
    assert "mammo_log_up 0.0" in get("/metrics").text
    assert "No report yet" in get("/").text


def test_the_loop_after_a_drift(hospital, get):
    hospital.release()
    hospital.outcomes(hospital.stream(30))
    hospital.stream(30, [NEW], shift=1.5, images=1.5)
    report = hospital.monitor()
    hospital.stream(4)
    text = get("/metrics").text
    for line in (
        "mammo_log_up 1.0",
        'mammo_release_in_service{release="r-1"} 1.0',
        f'mammo_exams_total{{release="r-1",role="champion",scanner="{NEW}"}} 30.0',
        "mammo_outcomes_received_total 30.0",
        'mammo_exams_with_outcome{release="r-1"} 30.0',
        "mammo_monitor_exams_behind 4.0",
        'mammo_episodes{action="recalibrate_and_retrain",cause="acquisition",status="open"} 1.0',
        f'mammo_control_state{{level="version",state="confirmed",stratum="{PLACE}"}} 1.0',
    ):
        assert line in text
    page = get(f"/drift/{report.stamp}/")
    assert "recalibrate_and_retrain" in page.text
    assert page.headers["cache-control"] == "no-cache"
    assert report.stamp in get("/drift/").text
    assert "Drift reports" in get("/").text


def test_distances_and_bad_input_of_the_last_run(hospital, get):
    shift = {"psi": 0.31, "psi_by_chance": 0.12, "wasserstein_sd": None, "missing": 0.25}
    shown = {
        "distances": {"all exams": {"score": shift}},
        "outcomes": OUTCOMES,
        "codes": [{"code": "CLOCK_BACKWARDS", "count": 2, "told": "told"}],
        "strata": {"all exams": STRATUM | {"level": "programme", "parts": {"score": 0.4}}},
    }
    hospital.log.set_watermark(WATERMARK, 0, {"report": shown})
    text = get("/metrics").text
    for line in (
        'mammo_drift_psi{channel="score",stratum="all exams"} 0.31',
        'mammo_drift_psi_by_chance{channel="score",stratum="all exams"} 0.12',
        'mammo_drift_missing{channel="score",stratum="all exams"} 0.25',
        'mammo_monitor_bad_input{code="CLOCK_BACKWARDS"} 2.0',
        'mammo_control_channel{channel="score",level="programme",stratum="all exams"} 0.4',
        'mammo_outcome{bound="low",figure="auc",months="12"} 0.85',
        'mammo_outcome_evidence{family="cancer_rank"} 0.3',
    ):
        assert line in text
    assert 'figure="ppv"' not in text and "mammo_drift_wasserstein_sd{" not in text, (
        "what is not known is no number"
    )


@pytest.mark.parametrize("path", ["/../log.db", "/%2e%2e/log.db", "/..%2flog.db", "/nothing"])
def test_nothing_outside_the_reports_is_served(hospital, get, path):
    hospital.stream(1)
    assert get(path).status_code == 404


def test_the_picture_is_svg_and_pages_escape_names(hospital):
    hospital.release()
    hospital.stream(25, ["<script>alert(1)</script>/X & Y"], images=3.0, shift=3.0)
    report = hospital.monitor()
    folder = hospital.settings.reports_dir / "drift" / report.stamp
    root = ElementTree.parse(folder / "control.svg").getroot()
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith("confirmed") for text in texts)
    assert "<script>" not in (folder / "index.html").read_text()
    assert "<script>" not in (folder.parent / "index.html").read_text()


def test_old_runs_go_unless_an_episode_links_to_them(hospital):
    hospital.release()
    stamps = []
    for _ in range(4):
        hospital.stream(1)
        stamps.append(hospital.monitor().stamp)
    root = hospital.settings.reports_dir / "drift"
    write_index(root, keep=1, linked=[f"http://host/drift/{stamps[0]}/"])
    assert {path.name for path in root.iterdir() if path.is_dir()} == {stamps[0], stamps[3]}


def test_a_database_that_says_nothing_holds_up_no_page(hospital, monkeypatch):
    pytest.importorskip("pg8000")
    monkeypatch.setattr(loop_metrics, "MOST_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, answers none
        url = f"postgresql://reader:x@127.0.0.1:{silent.getsockname()[1]}/mammo"
        settings = hospital.settings.model_copy(update={"database_url": SecretStr(url)})
        began = time.monotonic()
        text = Scrape(settings).text().decode()
    assert time.monotonic() - began < 10
    assert "mammo_log_up 0.0" in text and "mammo_disk_size_bytes" in text


@pytest.mark.parametrize(
    "pointer", ["", "{", "[]", '"r-1"', "{}", '{"previous": null}', "\x00\x00"]
)
def test_a_damaged_pointer_takes_no_other_metric_along(hospital, pointer):
    hospital.release()
    hospital.stream(1)
    hospital.settings.pointer_path.write_text(pointer)
    text = Scrape(hospital.settings).text().decode()
    assert "mammo_pointer_up 0.0" in text and "mammo_release_in_service{" not in text
    assert "mammo_log_up 1.0" in text and "mammo_disk_size_bytes" in text


def test_before_any_exam_and_before_any_outcome_it_tells_since_when(hospital):
    """What never came cannot be told from what came long ago, unless its begin is told."""
    hospital.release()
    pointer = read_pointer(hospital.settings.pointer_path)
    changed = datetime.fromisoformat(pointer["changed_at"]).timestamp()
    hospital.log.create()
    told = numbers(Scrape(hospital.settings).text().decode())
    assert told["mammo_release_changed_timestamp_seconds"] == pytest.approx(changed)
    assert not {"mammo_first_exam_timestamp_seconds", "mammo_last_exam_timestamp_seconds"} & set(
        told
    )
    hospital.stream(3)
    told = numbers(Scrape(hospital.settings).text().decode())
    first = told["mammo_first_exam_timestamp_seconds"]
    assert 0 < first <= told["mammo_last_exam_timestamp_seconds"]
    assert "mammo_last_outcome_timestamp_seconds" not in told


def numbers(text: str) -> dict[str, float]:
    """Return what has no labels of a page of metrics."""
    lines = (one.split() for one in text.splitlines() if one[0] != "#" and "{" not in one)
    return {name: float(value) for name, value in lines}


def test_a_home_without_a_release_has_no_damaged_pointer(hospital):
    assert "mammo_pointer_up 1.0" in Scrape(hospital.settings).text().decode()


def test_each_part_of_the_page_says_when_it_was_made(get):
    began = time.time()
    text = get("/metrics").text
    lines = [one for one in text.splitlines() if one.startswith("mammo_page_made")]
    made = {one.partition("{")[2].partition("}")[0]: float(one.split()[-1]) for one in lines}
    assert set(made) == {'part="home"', 'part="log"'}
    assert all(began <= at <= time.time() for at in made.values())
