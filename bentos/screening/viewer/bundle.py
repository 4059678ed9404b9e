"""Where the viewer's files lie, and what is served of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VIEWER = Path(__file__).resolve().parent
DIST = VIEWER / "dist"
MANIFEST = "manifest.json"
PAGE = "index.html"


def read_manifest() -> dict[str, Any]:
    """Return the manifest of the bundle: ``sources`` and ``files``, each path -> SHA-256."""
    manifest: dict[str, Any] = json.loads((DIST / MANIFEST).read_text(encoding="utf-8"))
    return manifest
