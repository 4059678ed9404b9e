"""The conformance statement against the code: it says what is so, and all of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bentos.gateway.dimse_sender import ECHO, FIND, REPORT_CLASSES, SYNTAXES, entity_of
from bentos.gateway.objects import OBJECTS, TRANSFER_SYNTAXES, VERIFICATION
from bentos.gateway.peer import DICOM_PORT, TIMEOUT_SECONDS, Peer
from bentos.gateway.receiver import (
    FAILED_STATUS,
    MISMATCH_STATUS,
    PDU_BYTES,
    REJECTED,
    STATUSES,
    application_entity,
)
from bentos.gateway.sending import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    REPORTS_AT_ONCE,
    TRIES_OF_REFUSED,
)
from bentos.gateway.sending_status import result_of_status
from bentos.gateway.stow_sender import CLOSED
from mammo.data.download_retry import PASSING
from mammo.reports.kinds import SOP_CLASSES
from mammo.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "conformance.md").read_text()
ROW = re.compile(r"^\| (.+?) \| (1\.2\.840[\d.]+) \| (.+?) \|$", re.MULTILINE)
UID = re.compile(r"1\.2\.840\.10008\.1\.2(?:\.\d+)*")


def part(begins: str, ends: str) -> str:
    return PAGE.split(begins, 1)[1].split(ends, 1)[0]


RECEIVER = part("### 3.1", "### 3.2")
SENDER = part("### 3.2", "### 3.3")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), _env_file=None)


def test_it_is_a_page_for_an_expert() -> None:
    assert len(PAGE.splitlines()) <= 150
    assert "Not a cleared medical device" in PAGE


def test_classes_that_are_taken_in_and_what_becomes_of_them() -> None:
    told = {uid: becomes for _, uid, becomes in ROW.findall(RECEIVER)}
    expected = {uid: "scored" if code is None else f"`{code}`" for uid, code in OBJECTS.items()}
    assert told == expected | {VERIFICATION: "answered"}


def test_names_of_classes_are_those_of_the_standard() -> None:
    from pydicom.uid import UID as Registered

    for name, uid, _ in ROW.findall(PAGE):
        registered = Registered(uid).name.replace(" Storage", "").replace(" SOP Class", "")
        assert name in (registered, registered.removesuffix(" Image")), uid


def test_presentation_contexts_of_the_receiver(settings: Settings) -> None:
    told = UID.findall(part("Transfer syntaxes: ", "C-STORE answers"))
    assert told == [str(one) for one in TRANSFER_SYNTAXES]
    contexts = {
        str(one.abstract_syntax): one for one in application_entity(settings).supported_contexts
    }
    assert {*contexts} == {uid for _, uid, _ in ROW.findall(RECEIVER)}
    for uid in OBJECTS:
        assert [str(one) for one in contexts[uid].transfer_syntax] == told
    from pydicom.uid import UID as Registered

    names = [Registered(one).name for one in contexts[VERIFICATION].transfer_syntax]
    assert f"The verification class is accepted in {', '.join(names[:-1])} and {names[-1]}." in PAGE


def test_presentation_contexts_of_the_sender() -> None:
    told = {uid for _, uid, _ in ROW.findall(SENDER)}
    assert told == {*REPORT_CLASSES.values(), FIND, ECHO}
    assert {kind.value: uid for kind, uid in SOP_CLASSES.items()} == REPORT_CLASSES
    assert UID.findall(SENDER.split("|")[0]) == list(SYNTAXES)


def test_who_the_entity_is(settings: Settings) -> None:
    receiver = application_entity(settings)
    sender = entity_of(Peer("pacs", host="h"), settings.dicom_ae_title)
    for one in (receiver, sender):
        assert one.ae_title.strip() == "MAMMO"
        assert f"| Implementation Class UID | {one.implementation_class_uid} |" in PAGE
        assert f"| Implementation Version Name | `{one.implementation_version_name}` |" in PAGE
    assert receiver.maximum_pdu_size == PDU_BYTES
    assert f"| {receiver.maximum_pdu_size} / {sender.maximum_pdu_size} bytes |" in PAGE
    assert f"| {receiver.maximum_associations} (`MAMMO_DICOM_ASSOCIATIONS`) / 1 " in PAGE
    assert receiver.require_called_aet
    assert str(REJECTED["caller"]) in RECEIVER


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("MAMMO_DICOM_QUIET_SECONDS", "dicom_quiet_seconds"),
        ("MAMMO_DICOM_IDLE_SECONDS", "dicom_idle_seconds"),
        ("MAMMO_DICOM_MAX_MB", "dicom_max_mb"),
        ("MAMMO_DICOM_FREE_MB", "dicom_free_mb"),
    ],
)
def test_settings_have_the_defaults_that_are_told(
    settings: Settings, variable: str, field: str
) -> None:
    assert f"`{variable}` ({getattr(settings, field):g})" in PAGE


def test_ports_and_times_are_those_of_the_code(settings: Settings) -> None:
    assert f"port {settings.dicom_port} (`MAMMO_DICOM_PORT`)" in PAGE
    assert f"`host` and `port` ({DICOM_PORT})" in PAGE
    assert f"{TIMEOUT_SECONDS:g} s (`timeout_seconds`)" in PAGE
    assert f"The pause is {FIRST_PAUSE_SECONDS:g} s, then twice as long" in PAGE
    assert f"up to {LONGEST_PAUSE_SECONDS:g} s" in PAGE
    assert f"at most {REPORTS_AT_ONCE} reports" in PAGE
    assert f"after {TRIES_OF_REFUSED} times it is stuck" in PAGE


def test_status_codes_of_the_receiver() -> None:
    told = set(re.findall(r"^\| ([0-9A-F]{4}) \|", RECEIVER, re.MULTILINE))
    used = {*STATUSES.values(), MISMATCH_STATUS, FAILED_STATUS}
    assert told == {f"{one:04X}" for one in used}


@pytest.mark.parametrize(
    ("row", "meaning"),
    [
        ("it has arrived", "sent"),
        ("everything for this destination waits, then again", "full"),
        ("this report waits, is asked for, then again", "again"),
        ("stuck: `mammo outbox list` shows it", "stuck"),
    ],
)
def test_what_the_sender_does_with_an_answer(row: str, meaning: str) -> None:
    (line,) = [one for one in SENDER.splitlines() if one.split(" | ")[-1].startswith(row)][:1]
    statuses = re.findall(r"[0-9A-F]{1,4}x{0,3}", line.split(" | ")[0])
    assert statuses
    for one in statuses:
        assert result_of_status(int(one.replace("x", "0"), 16)).meaning == meaning, one


def test_what_the_sender_does_with_an_http_status() -> None:
    told = part("Without one: 200 and 202", "any other")
    waits = {int(one) for one in re.findall(r"\b[34]\d\d\b", told)}
    assert waits == {*CLOSED} | {one for one in PASSING if one < 500}
