"""Files of a Kaggle competition, through Kaggle's own client (kagglesdk, Apache-2.0).

`kagglesdk` is what the packages ``kaggle`` and ``kagglehub`` are made of. Importing
``kaggle`` already calls home to try the token, and ``kagglehub`` resumes without
asking whether the far file is still the same; of the three only this one does
nothing when imported and hands out the answer as it is.

Credentials are found as Kaggle's client finds them: ``KAGGLE_API_TOKEN`` (a token or
the path of a file with one), ``~/.kaggle/access_token``, ``KAGGLE_USERNAME`` with
``KAGGLE_KEY``, ``~/.kaggle/kaggle.json``. No message or log shows them.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlparse

from mammo.data.download import CHUNK_BYTES, Answer, Told, require_name
from mammo.data.download_retry import PASSING, Passing, retry_after
from mammo.errors import DownloadRefused, SourceInvalid, SourceNotFound

if TYPE_CHECKING:
    import requests

R = TypeVar("R")
PAGE_FILES = 200
"""Files of a page of the listing; the most that Kaggle gives."""
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
TOKEN_HELP = (
    "make a token at https://www.kaggle.com/settings (API, Generate New Token) and put it into "
    "the variable KAGGLE_API_TOKEN, or into the file ~/.kaggle/access_token"
)
ODD_TOKEN = f"the Kaggle token has a line break, or another sign that none has: {TOKEN_HELP}"
EXPIRED = frozenset((400, 401, 403, 410))
"""What the storage behind Kaggle answers when a signed address is too old."""


class Competition:
    """The files of one competition; each thread has a client of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._local = threading.local()

    def list_files(self) -> Iterator[tuple[str, int]]:
        """Yield name and bytes of every file, page by page.

        Raises
        ------
        DownloadRefused, SourceNotFound
            See `open_file`.
        SourceInvalid
            The listing names a file outside the folder, or comes to no end.
        """
        from kagglesdk.competitions.types.competition_api_service import ApiListDataFilesRequest

        token, seen = "", set()
        while True:
            asked = ApiListDataFilesRequest()
            asked.competition_name, asked.page_size, asked.page_token = self.name, PAGE_FILES, token
            page = self._ask(self._files().list_data_files, asked, "these files")
            yield from ((require_name(one.name), one.total_bytes) for one in page.files)
            token = page.next_page_token
            if not token:
                return
            if token in seen:
                raise SourceInvalid("Kaggle's listing of the files goes in a circle: try later")
            seen.add(token)

    @contextmanager
    def open_file(self, name: str, start: int, validator: str | None) -> Iterator[Answer]:
        """Give a file's bytes from ``start`` on, or from 0 when the far file has changed.

        Raises
        ------
        DownloadRefused
            No token, a wrong one, or the competition's rules are not accepted.
        SourceNotFound
            The competition has no such file.
        Passing
            The far side is busy or the connection broke.
        """
        from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFileRequest

        asked = ApiDownloadDataFileRequest()
        asked.competition_name, asked.file_name = self.name, name
        response = self._ask(self._files().download_data_file, asked, name)
        try:
            told = _told(response, name)
            if start and validator == told.validator:
                if start == told.bytes:
                    yield Answer(told, start, ())
                    return
                response.close()
                response, start = self._go_on(response, start, validator, told)
            else:
                start = 0
            yield Answer(told, start, _chunks(response))
        finally:
            response.close()

    def _go_on(
        self, response: requests.Response, start: int, validator: str | None, told: Told
    ) -> tuple[requests.Response, int]:
        """Ask again where the answer came from, for the rest (RFC 9110 section 14)."""
        again = response.request.copy()
        again.headers["Range"] = f"bytes={start}-"
        again.headers["If-Range"] = validator or ""
        session = self._session()
        kept = session.merge_environment_settings(str(again.url), {}, True, None, None)
        rest = _named(lambda: session.send(again, **kept), self.name)
        if rest.status_code == 200:
            return rest, 0
        found = RANGE.fullmatch(rest.headers.get("Content-Range", ""))
        if rest.status_code != 206 or not found or found[2] not in ("*", str(told.bytes)):
            rest.close()
            raise Passing(
                f"asked for the rest, the far side answers with status {rest.status_code}",
                retry_after(rest.headers),
            )
        return rest, int(found[1])

    def _ask(self, method: Callable[[Any], Any], asked: Any, what: str) -> Any:
        return _named(lambda: method(asked), self.name, what)

    def _files(self) -> Any:
        self._session()
        return self._local.client.competitions.competition_api_client

    def _session(self) -> requests.Session:
        """Return this thread's signed-in session."""
        if not hasattr(self._local, "session"):
            self._local.client, self._local.session = _sign_in()
        return self._local.session


def _sign_in() -> tuple[Any, requests.Session]:
    """Make a client; nothing is sent yet.

    kagglesdk sets neither a time limit nor a way to ask for unpacked bytes, and
    hands out its session only so (``kagglehub.auth`` does the same).
    """
    try:
        from kagglesdk import KaggleClient
    except ImportError:
        raise DownloadRefused(
            "Kaggle's client is not installed: run `pip install -e '.[kaggle]'` in the checkout"
        ) from None

    import mammo

    client = KaggleClient(
        username=os.environ.get("KAGGLE_USERNAME"),
        password=os.environ.get("KAGGLE_KEY"),
        user_agent=f"mammo/{mammo.__version__}",
    )
    http = client.http_client()
    try:
        http._init_session()
    except (OSError, ValueError):  # it takes the token for a path first, and quotes it
        raise DownloadRefused(ODD_TOKEN) from None
    session = http._session
    if session.auth is None:
        raise DownloadRefused(f"no Kaggle token was found: {TOKEN_HELP}")
    session.headers["Accept-Encoding"] = "identity"  # ranges are of the bytes as they are stored
    for scheme in ("https://", "http://"):
        session.mount(scheme, _timed_adapter())
    return client, session


def _timed_adapter() -> Any:
    from requests.adapters import HTTPAdapter

    class Timed(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
            options["timeout"] = options.get("timeout") or (CONNECT_SECONDS, READ_SECONDS)
            return super().send(request, **options)

    return Timed()


def _named(call: Callable[[], R], competition: str, what: str = "the file") -> R:
    """Call, and give what goes wrong its name; requests' own texts may quote the token."""
    import requests

    try:
        return call()
    except requests.HTTPError as error:
        raise _refusal(error.response, competition, what) from None
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Passing(f"no connection ({type(error).__name__})") from None
    except json.JSONDecodeError:
        raise _web_page() from None
    except ValueError:  # what http.client says of a header's value, and it quotes it
        raise DownloadRefused(ODD_TOKEN) from None


def _refusal(response: requests.Response | None, competition: str, what: str) -> Exception:
    if response is None:
        return Passing("no answer came")
    status = response.status_code
    address = f"https://www.kaggle.com/competitions/{competition}"
    if status in PASSING:
        asked = retry_after(response.headers)
        return Passing(f"Kaggle answers with status {status}", asked)
    if response.history and status in EXPIRED:
        return Passing(f"the storage behind Kaggle answers with status {status}")
    if status == 401:
        return DownloadRefused(f"Kaggle does not know the token (status 401): {TOKEN_HELP}")
    if status == 403:
        return DownloadRefused(
            "Kaggle does not let this account download (status 403): sign in with it, accept the "
            f"competition's rules at {address}/rules, then run the same command again"
        )
    if status == 404:
        return SourceNotFound(
            f"the competition {competition} has not got {what}; see {address}/data"
        )
    return DownloadRefused(f"Kaggle refuses with status {status}; see {address}/data")


def _web_page() -> DownloadRefused:
    return DownloadRefused(
        "a web page came in place of the file: a proxy or a login page stands between. Set "
        "HTTPS_PROXY, or ask whoever keeps the network; nothing was kept"
    )


def _told(response: requests.Response, name: str) -> Told:
    headers = response.headers
    if headers.get("Content-Type", "").startswith("text/html") and not name.endswith(".html"):
        raise _web_page()
    length, etag = headers.get("Content-Length", ""), headers.get("ETag", "")
    strong = etag if etag and not etag.startswith("W/") else None
    served = urlparse(response.url).path.rpartition("/")[2]
    return Told(
        bytes=int(length) if length.isdecimal() else None,
        validator=strong or headers.get("Last-Modified"),
        md5=_md5(headers.get("x-goog-hash", "")),
        zipped=served == f"{name.rpartition('/')[2]}.zip",
    )


def _md5(header: str) -> str | None:
    """Return the MD5 of Google's storage header in hex: ``crc32c=..., md5=BASE64``."""
    for part in header.split(","):
        kind, _, value = part.strip().partition("=")
        if kind == "md5":
            try:
                return base64.b64decode(value, validate=True).hex()
            except binascii.Error:
                return None
    return None


def _chunks(response: requests.Response) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(CHUNK_BYTES)
    except requests.RequestException as error:
        raise Passing(f"the connection broke ({type(error).__name__})") from None
