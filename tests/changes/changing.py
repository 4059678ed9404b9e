"""A small history of changes in a home, made by the code that deploys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bentos.screening.change_record import Why
from bentos.screening.deployment import deploy_release, rollback, stop_challenger
from mammo.release import Release
from mammo.settings import Settings
from tests.bentos.deploying import accept
from tests.bentos.judging import approve, judge
from tests.bentos.releases import write_release


def put(settings: Settings, release_id: str, *, bias: float = 0.0, **decision: Any) -> Release:
    """Write a real release, its Bento's folder and its verdict."""
    directory = write_release(settings.releases_dir, release_id, bias)
    bento = settings.bentoml_home / "bentos" / "screening" / f"{release_id}-c0de"
    (bento / "src").mkdir(parents=True)
    (bento / "src" / "release").symlink_to(directory)
    (bento / "bento.yaml").write_text(
        f"version: {bento.name}\nlabels: {{release: {release_id}}}\ncreation_time: '{release_id}'\n"
    )
    release = Release.read(directory)
    judge(settings, release_id, release.digest, **decision)
    return release


def make_history(home: Path) -> Settings:
    """Five changes: a first release, a trial that ends, a promotion by a person, the way back."""
    settings = Settings(home=home, _env_file=None)
    options: dict[str, Any] = {"wait": False, "check": accept}
    put(settings, "r-1")
    second = put(settings, "r-2", bias=0.1)
    deploy_release("r-1", settings, why=Why("first", by="anna"), **options)
    deploy_release("r-2", settings, stage="canary", percent=10, why=Why("drift", "k:1"), **options)
    stop_challenger(settings, why=Why("harm", by="guard", evidence={"errors": 3}), wait=False)
    approve(settings, "r-2", second.digest)
    deploy_release("r-2", settings, why=Why("drift", "k:1"), **options)
    rollback(settings, why=Why("harm", by="guard", evidence={"errors": 5}), **options)
    return settings
