"""A DICOMweb archive: search by QIDO-RS, retrieval by WADO-RS (PS3.18 sections 10.4, 10.6).

httpx and not ``dicomweb-client``: that parses a retrieved instance in memory, has
no limit to its size, and does not keep to Retry-After. What is searched for
comes as DICOM JSON with names in it; only identifiers, dates and counts are looked at.
No message or log holds an identifier, so httpx may not log addresses while it asks.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from mammo.data.download_retry import PASSING, Passing, Patience, retry_after
from mammo.data.sources.multipart import Broken, single_part
from mammo.errors import ArchiveUnreachable, FileVanished, SettingsInvalid

if TYPE_CHECKING:
    import httpx

    from mammo.settings import Settings

T = TypeVar("T")
PAGE = 500
"""Matches asked for at a time; an archive may give fewer."""
ANSWER_BYTES = 64 * 2**20
TIMEOUT_SECONDS = 60.0
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
JSON_TYPES = ("application/dicom+json", "application/json")
INSTANCE = 'multipart/related; type="application/dicom"'
AS_STORED = INSTANCE + "; transfer-syntax=*"
LET_IN = (
    "set MAMMO_DICOMWEB_TOKEN, or MAMMO_DICOMWEB_USER and MAMMO_DICOMWEB_PASSWORD, to an account "
    "that may search and retrieve"
)


@dataclass(frozen=True)
class Address:
    """Where an archive is and how it lets us in; secrets stay out of ``repr``."""

    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def find_address(settings: Settings, url: str | None = None) -> Address:
    """Return the archive given, or that of the settings.

    Raises
    ------
    SettingsInvalid
        There is none, or it is no http address, or holds a password.
    """
    text = (url or settings.dicomweb_url or "").rstrip("/")
    if not text:
        raise SettingsInvalid(
            "no archive is given: name its DICOMweb root, or set MAMMO_DICOMWEB_URL to it, "
            "e.g. https://pacs.example/dicom-web"
        )
    try:
        parts = urlsplit(text)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise SettingsInvalid(
            "the archive's address is no http or https address: it should read like "
            "https://pacs.example/dicom-web"
        )
    if parts.username or parts.password or parts.query:
        raise SettingsInvalid(
            "the archive's address holds an account or a query: leave them out; " + LET_IN
        )
    secrets = (settings.dicomweb_token, settings.dicomweb_password)
    token, password = (one.get_secret_value().strip() if one else None for one in secrets)
    if token and not (token.isascii() and token.isprintable()):
        raise SettingsInvalid("MAMMO_DICOMWEB_TOKEN has signs that no token has: " + LET_IN)
    return Address(text, token, settings.dicomweb_user, password)


class Archive:
    """An open connection; use as a context manager."""

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        import httpx

        self.address, self._patience = address, patience or Patience(tries=5)
        self._accept = AS_STORED
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        account = None
        if not address.token and address.user:
            account = httpx.BasicAuth(address.user, address.password or "")
        self._client = httpx.Client(
            headers=headers, auth=account, timeout=TIMEOUT_SECONDS, follow_redirects=False
        )

    def __enter__(self) -> Archive:
        self._quiet = [_Quiet(name) for name in ("httpx", "httpcore")]
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._quiet:
            one.lift()
        self._client.close()

    def search(self, path: str, parameters: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield the matches of a search, page by page, each a DICOM JSON object.

        An archive may give fewer than were asked for, or not know ``offset``: the
        search ends with the page that brings nothing new.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            paged = parameters | {"limit": str(PAGE), "offset": str(offset)}
            try:
                page = self.patiently(partial(self._search_once, path, paged))
            except Broken as error:
                raise ArchiveUnreachable(
                    f"{self.address.host}: {error.what}: check that MAMMO_DICOMWEB_URL is the "
                    "root of its DICOMweb services, and what stands between"
                ) from None
            new = [one for one in page if _key(one) not in seen]
            seen.update(map(_key, new))
            yield from new
            offset += len(page)
            if not new:
                return

    @contextmanager
    def retrieve(self, path: str) -> Iterator[Iterator[bytes]]:
        """Give the bytes of one instance as they stream in, as stored where possible.

        Raises
        ------
        FileVanished
            The archive no longer has it.
        Passing, ArchiveUnreachable
            It does not answer as it should; the first may pass.
        """
        with self._get(path, {}, self._accept) as response:
            if response.status_code in (400, 406) and self._accept != INSTANCE:
                self._accept = INSTANCE  # some know no "*" and say so
                raise Passing("the archive does not give instances as stored", 0.0)
            if response.status_code in (404, 410):
                raise FileVanished("the archive lists the instance and does not have it")
            self._require_ok(response)
            yield self._body(response)

    def _body(self, response: httpx.Response) -> Iterator[bytes]:
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("application/dicom") and "json" not in kind:
            return self._raw(response)
        if not kind.startswith("multipart/related"):
            raise Broken("the archive sends an instance as something else than DICOM")
        found = re.search(r'boundary="?([^";]+)"?', kind)
        if found is None:
            raise Broken("the multipart answer does not tell its boundary")
        return single_part(self._raw(response), found[1].strip())

    def _raw(self, response: httpx.Response) -> Iterator[bytes]:
        with _named_failures():
            yield from response.iter_bytes(2**16)

    def patiently(self, work: Callable[[], T]) -> T:
        """Do, and do again while it fails in a passing way.

        Raises
        ------
        ArchiveUnreachable
            It failed as often as `Patience` allows.
        Broken
            Answers came and were broken so often.
        """
        failures = 0
        while True:
            try:
                return work()
            except Passing as trouble:
                failures += 1
                pause = self._patience.pause(failures, trouble)
                if pause is None and isinstance(trouble, Broken):
                    raise
                if pause is None:
                    raise ArchiveUnreachable(
                        f"{self.address.host}: {trouble.what}, {failures} times in a row. What "
                        "came is kept; run it again when the archive answers"
                    ) from None
                time.sleep(pause)

    def _search_once(self, path: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        with self._get(path, parameters, JSON_TYPES[0]) as response:
            if response.status_code == 204:
                response.read()
                return []
            if response.status_code in (400, 404, 406, 414):
                raise ArchiveUnreachable(
                    f"{self.address.host} does not answer the search (status "
                    f"{response.status_code}): the address should be the root of its DICOMweb "
                    "services, e.g. https://pacs.example/dicom-web"
                )
            self._require_ok(response)
            if not response.headers.get("Content-Type", "").startswith(JSON_TYPES):
                raise Broken("the search is answered with something else than DICOM JSON")
            text = bytearray()
            for chunk in self._raw(response):
                text += chunk
                if len(text) > ANSWER_BYTES:
                    raise Broken(f"a page of matches is above {ANSWER_BYTES // 2**20} MB")
        try:
            matches = json.loads(bytes(text) or b"[]")
        except ValueError:
            matches = None
        if not isinstance(matches, list) or not all(isinstance(one, dict) for one in matches):
            raise Broken("the search is answered with JSON that is no list of objects")
        return matches

    @contextmanager
    def _get(self, path: str, parameters: dict[str, str], accept: str) -> Iterator[httpx.Response]:
        url, headers = f"{self.address.url}/{path}", {"Accept": accept}
        with (
            _named_failures(),
            self._client.stream("GET", url, params=parameters, headers=headers) as response,
        ):
            yield response

    def _require_ok(self, response: httpx.Response) -> None:
        status, host = response.status_code, self.address.host
        if status in PASSING:
            raise Passing(f"it answers with status {status}", retry_after(response.headers))
        if status in (401, 403, 407):
            raise ArchiveUnreachable(f"{host} does not let us in (status {status}): {LET_IN}")
        if 300 <= status < 400 or response.headers.get("Content-Type", "").startswith("text/html"):
            raise ArchiveUnreachable(
                f"{host} answers with a web page or leads to another address (status {status}): a "
                "login page or a proxy stands between. Check MAMMO_DICOMWEB_URL; " + LET_IN
            )
        if status != 200:
            raise ArchiveUnreachable(
                f"{host} answers with status {status}, which PS3.18 does not have here: ask "
                "whoever runs the archive"
            )


def texts_of(match: dict[str, Any], tag: str) -> list[str]:
    """Return the values of an attribute of a match (DICOM JSON, PS3.18 annex F)."""
    element = match.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [str(value) for value in values] if isinstance(values, list) else []


def text_of(match: dict[str, Any], tag: str) -> str:
    """Return the first value of an attribute of a match, "" when it has none."""
    return next(iter(texts_of(match, tag)), "")


def is_uid(text: str) -> bool:
    """Return True for a UID as PS3.5 section 9.1 has it: digits, dots, at most 64."""
    return len(text) <= 64 and UID.fullmatch(text) is not None


def _key(match: dict[str, Any]) -> str:
    """Return what tells two matches apart: instance, series or study UID."""
    uids = (text_of(match, tag) for tag in ("00080018", "0020000E", "0020000D"))
    return next((uid for uid in uids if uid), "")


@contextmanager
def _named_failures() -> Iterator[None]:
    """Turn httpx's errors, whose requests hold identifiers, into `Passing`."""
    import httpx

    try:
        yield
    except httpx.HTTPError as error:
        raise Passing(f"no answer ({type(error).__name__})") from None
    except httpx.InvalidURL:
        raise ArchiveUnreachable(
            "the archive's address cannot be used: check MAMMO_DICOMWEB_URL"
        ) from None


class _Quiet(logging.Filter):
    """Keeps a library's lines out of the logs: its addresses hold identifiers."""

    def __init__(self, logger: str) -> None:
        super().__init__()
        names = [n for n in logging.root.manager.loggerDict if n.split(".")[0] == logger]
        self._loggers = [logging.getLogger(name) for name in {logger, *names}]
        for one in self._loggers:
            one.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let nothing pass."""
        return False

    def lift(self) -> None:
        """Take the filter off again."""
        for one in self._loggers:
            one.removeFilter(self)
