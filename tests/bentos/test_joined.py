"""The service answers with a detector's findings as the library does, number for number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bentos.screening.app import create_app
from mammo.contract import FindingsAnswer, ScoredExam
from mammo.screening import Screener
from mammo.settings import Settings
from tests.bentos.conftest import open_client, point_to
from tests.heat_release import one_exam, write_heat_release
from tests.test_carried import JOINT, carry, stirred

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that carries a detector and scores with it."""
    plain = write_heat_release(tmp_path_factory.mktemp("home") / "releases", "r-plain")
    return carry(plain, stirred("ssd"), JOINT)


def without_time(answer: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in answer.items() if k not in ("latency_ms", "scored_at", "request")}


def test_the_service_says_what_the_library_says(
    settings: Settings, joined: Path, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"max_file_mb": 50, "max_request_mb": 200})
    files = one_exam(tmp_path)
    screener = Screener.load(joined)
    report = screener.score_files(files, key=settings.pseudonym_key(), site=settings.site)
    told = ScoredExam.of(report, [name for name, _ in files]).model_dump(mode="json")
    point_to(settings, joined.name)
    with open_client(create_app(settings, load=lambda directory: screener)) as client:
        sent = [("files", (name, data)) for name, data in files]
        answer = client.post("/v1/exams", files=sent)
        assert answer.status_code == 200, answer.text
        found = client.get(f"/v1/exams/{report.exam_id}/findings").json()
        schema = client.get("/openapi.json").json()["components"]["schemas"]
    assert without_time(answer.json()) == without_time(told)
    assert {"heat", "detector"} >= {
        one for view in told["views"] for finding in view["findings"] for one in finding["sources"]
    }
    assert any(breast["agreement"]["detector_only"] for breast in told["breasts"])
    views = {one["image_id"]: one["findings"] for one in told["views"]}
    assert {one["image_id"]: one["findings"] for one in found["views"]} == views
    assert FindingsAnswer.model_validate(found).views
    assert {"sources", "score", "share"} <= set(schema["FindingAnswer"]["properties"])
    assert "agreement" in schema["BreastAnswer"]["properties"]
