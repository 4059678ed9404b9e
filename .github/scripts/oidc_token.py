"""Keep a token of this job's identity in a file, for Azure's SDK (AZURE_FEDERATED_TOKEN_FILE).

python .github/scripts/oidc_token.py FILE                once
python .github/scripts/oidc_token.py FILE --every 120    again and again, until it is ended

GitHub's tokens last some minutes. azure-identity shows one when it asks for an access token, about
once an hour, and takes it from the file unless it did so within the last ten minutes: a job may
so wait for hours. The file is whole at any time, and the owner's alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

AUDIENCE = "api://AzureADTokenExchange"
SECONDS = 30.0
NONE = (OSError, HTTPException, ValueError, KeyError)
"""No answer, a cut one, one that holds no token; a step without the right to an identity."""


def fetch() -> str:
    """Return a new token; raises one of `NONE` where there is none to be had."""
    address = f"{os.environ['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={AUDIENCE}"
    word = os.environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    request = urllib.request.Request(address, headers={"Authorization": f"bearer {word}"})
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        answer = json.load(response)
    token = answer.get("value") if isinstance(answer, dict) else None
    if not token:
        raise ValueError("the answer holds no token")
    return str(token)


def keep(path: Path) -> None:
    """Replace the file in one step."""
    draft = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(fetch())
    draft.replace(path)


def main(words: list[str]) -> int:
    """Fetch once, where a failure is one; or for ever, where the next try may do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("--every", type=float, help="seconds")
    arguments = parser.parse_args(words)
    while True:
        try:
            keep(arguments.file)
        except NONE as error:
            print(f"no new token: {type(error).__name__}: {error}", file=sys.stderr)
            if arguments.every is None:
                return 1
        if arguments.every is None:
            return 0
        time.sleep(arguments.every)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
