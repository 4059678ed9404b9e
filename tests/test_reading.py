"""Files of an exam, read in processes that may die, as the service does it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mammo.dicom.read import read_mammogram
from mammo.errors import DecoderTimeout, NotDicom, ReadError
from mammo.killable import Limits
from mammo.preprocess import PreprocessConfig
from mammo.reading import ReadView, ViewReader, read_view
from mammo.settings import Settings
from tests.dicom.builders import draw_pixels, make_file

pytestmark = pytest.mark.slow

KEY, CONFIG = bytes(range(32)), PreprocessConfig(height=64, width=32)
FILE = make_file(draw_pixels(12, rows=200, columns=100))


def hang(data: bytes, *_: object) -> ReadView:
    """Stand in for a codec that never ends, but for the file that is sound."""
    if data != FILE:
        time.sleep(60)
    return read_view(data, KEY, "site", CONFIG)


def codes(results: list[ReadView | ReadError]) -> list[str]:
    return [one.code if isinstance(one, ReadError) else "READ" for one in results]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], ViewReader]:
    def make(seconds: float, exam_seconds: float) -> ViewReader:
        monkeypatch.setattr("mammo.reading.read_view", hang)
        return ViewReader(Limits(seconds, 512), exam_seconds=exam_seconds)

    return make


def test_a_refusal_stands_in_the_place_of_its_file() -> None:
    results = ViewReader().read([FILE, b"no DICOM", FILE], KEY, "site", CONFIG)
    assert codes(results) == ["READ", NotDicom.code, "READ"]


def test_a_view_has_the_codes_of_header_and_pixels() -> None:
    data = make_file(draw_pixels(12, rows=200, columns=100), LossyImageCompression="01")
    view = read_view(data, KEY, "site", CONFIG)
    header = read_mammogram(data, key=KEY, site="site")[0].quality
    assert set(view.mammogram.quality) == {*header, *view.prepared.quality}
    assert {"LOSSY_COMPRESSED"} < set(view.mammogram.quality)


def test_the_settings_limit_time_memory_and_size() -> None:
    settings = Settings(read_seconds=7, read_memory_mb=300, max_file_mb=1, _env_file=None)
    reader = ViewReader.of(settings)
    assert (reader.limits, reader.max_bytes) == (Limits(7, 300), 2**20)
    assert codes(reader.read([bytes(2**20 + 1)], KEY, "site", CONFIG)) == ["TOO_LARGE"]


def test_an_exam_has_its_time(hanging: Callable[[float, float], ViewReader]) -> None:
    reader = hanging(1.0, 2.5)
    begun = time.monotonic()
    results = reader.read([b"hang"] * 40, KEY, "site", CONFIG)
    assert codes(results) == [DecoderTimeout.code] * 40
    assert "the exam's files took longer than 2.5 s" in str(results[-1])
    assert time.monotonic() - begun < 18  # 40 files of a second, two at a time, are 20


def test_one_exam_does_not_hold_up_the_others(
    hanging: Callable[[float, float], ViewReader],
) -> None:
    reader = hanging(1.0, 60.0)
    reader.start()
    many = threading.Thread(target=reader.read, args=([b"hang"] * 24, KEY, "site", CONFIG))
    many.start()
    time.sleep(0.2)
    assert codes(reader.read([FILE], KEY, "site", CONFIG)) == ["READ"]
    assert many.is_alive()  # the exam of 24 goes on, and the other has its answer
    many.join()
