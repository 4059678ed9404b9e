"""Run the DICOM gateway: ``python -m bentos.gateway`` (a child of `mammo up`)."""

from __future__ import annotations

import logging
import signal
import sys

from bentos.gateway.gateway import Gateway
from mammo.errors import MammoError
from mammo.settings import read_settings


def main() -> None:
    """Receive until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("pynetdicom", "httpx", "pydicom"):  # their lines hold UIDs, titles and URLs
        logging.getLogger(name).setLevel(logging.CRITICAL)
    settings = read_settings()
    gateway = Gateway(settings)
    signal.signal(signal.SIGTERM, gateway.stop)
    signal.signal(signal.SIGINT, gateway.stop)
    try:
        with gateway:
            gateway.run()
    except MammoError as refusal:
        sys.exit(f"{refusal.code}: {refusal.message}")
    except OSError as error:
        sys.exit(f"The port {settings.dicom_port} cannot be listened on: {error.strerror}")


if __name__ == "__main__":
    main()
