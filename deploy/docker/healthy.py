"""The healthcheck of every container of ours: exit status 0 when its process does its work.

python deploy/docker/healthy.py http http://127.0.0.1:3000/readyz
python deploy/docker/healthy.py gateway        its threads have told that they live
python deploy/docker/healthy.py guard          what it watches can be read, the log answers
python deploy/docker/healthy.py worker         Prefect has heard of it within 40 s
"""

from __future__ import annotations

import json
import sys
import urllib.request
from datetime import UTC, datetime, timedelta

from mammo.settings import Settings, read_settings

SECONDS = 4.0
SILENCE = timedelta(seconds=40)  # a worker tells of itself every 30 s
POOL = "mammo"


def answers(url: str) -> bool:
    """True when a GET has a status below 400 (urllib raises from there on)."""
    with urllib.request.urlopen(url, timeout=SECONDS) as response:
        return bool(response.status < 400)


def gateway_lives(settings: Settings) -> bool:
    """True when the gateway has told of itself within 15 s."""
    from bentos.gateway.alive import is_alive

    return is_alive(settings)


def guard_can_look(settings: Settings) -> bool:
    """True when the pointer and the log, all that the guard works with, can be read."""
    from mammo.pointer import read_pointer
    from mammo.prediction_log import PredictionLog

    read_pointer(settings.pointer_path)
    log = PredictionLog(settings.log_url, busy_seconds=SECONDS)
    try:
        log.watermark("guard")
    finally:
        log.close()
    return True


def worker_is_online(settings: Settings) -> bool:
    """True when Prefect has had a heartbeat of a worker of the pool lately."""
    request = urllib.request.Request(
        f"{settings.prefect_api_url}/work_pools/{POOL}/workers/filter",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        beats = [one.get("last_heartbeat_time") for one in json.load(response)]
    since = datetime.now(UTC) - SILENCE
    return any(beat and datetime.fromisoformat(beat) >= since for beat in beats)


CHECKS = {"gateway": gateway_lives, "guard": guard_can_look, "worker": worker_is_online}


def main(arguments: list[str]) -> int:
    """Return 0 when well; what is wrong goes to stderr, where `docker inspect` shows it."""
    what, *rest = arguments
    try:
        well = answers(*rest) if what == "http" else CHECKS[what](read_settings())
    except Exception as error:  # noqa: BLE001 - whatever it is, the container is not well
        print(f"{what}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
