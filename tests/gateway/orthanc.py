"""Orthanc with DICOM and DICOMweb, started for a test; an archive that others wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from flows.servers import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, TOKEN_USER = "mammo", "reader"
PASSWORD = "orthanc-secret-1"


def require_orthanc() -> None:
    """Skip by name where it is not installed."""
    if shutil.which("Orthanc") is None or not PLUGIN.exists():
        pytest.skip("orthanc is not installed: apt-get install orthanc orthanc-dicomweb")


class Orthanc:
    """A server in ``folder``; may be stopped and started again with what it has."""

    def __init__(self, folder: Path, ae_title: str = "ORTHANC", **differs: Any) -> None:
        self.folder, self.ae_title = folder, ae_title
        self.port, self.dicom_port = free_port(), free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "Name": ae_title, "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"), "Plugins": [str(PLUGIN)],
            "HttpPort": self.port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "DicomServerEnabled": True, "DicomAet": ae_title, "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True, "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True, "DicomAlwaysAllowEcho": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }  # fmt: skip
        (folder / "orthanc.json").write_text(json.dumps(told | differs))
        self.client = httpx.Client(base_url=self.root, timeout=30)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                ["Orthanc", str(self.folder / "orthanc.json")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert time.monotonic() < deadline, (self.folder / "log.txt").read_text()[-2000:]
            time.sleep(0.1)
        return self

    def _is_up(self) -> bool:
        try:
            return self.client.get("/system").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.client.close()

    def get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def instances(self) -> dict[str, bytes]:
        """Return what it has: SOP Instance UID -> file."""
        found = {}
        for one in self.get("/instances"):
            uid = self.get(f"/instances/{one}/simplified-tags")["SOPInstanceUID"]
            found[uid] = self.client.get(f"/instances/{one}/file").raise_for_status().content
        return found

    def empty(self) -> None:
        for one in self.get("/patients"):
            self.client.delete(f"/patients/{one}").raise_for_status()
