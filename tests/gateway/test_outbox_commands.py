"""`mammo outbox`: a PACS administrator sees what is stuck, and sends it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bentos.gateway.outbox import Outbox
from bentos.gateway.outbox_attempts import Attempts
from bentos.gateway.outbox_tables import STATES
from flows.cli import app
from flows.cli_outbox import StateName
from flows.servers import free_port
from tests.gateway.pacs import Pacs, make_report, outbox_to, peer_at

RUN = CliRunner()


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outbox:
    """Return an outbox with one delivery that waits and one that is stuck."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    outbox = outbox_to(tmp_path, peer_at(1))
    outbox.put("study-1", 1, [make_report("cad"), make_report("report")])
    attempts = Attempts(outbox, "pacs")
    attempts.begin(1, 1.0)
    attempts.end(outbox.deliveries()[1], "stuck", 2.0, "DIMSE_A900", "not of its SOP class")
    attempts.failed(3.0, "PEER_UNREACHABLE", "no association")
    return outbox


def told(*command: str) -> dict[str, list[dict[str, object]]]:
    result = RUN.invoke(app, ["outbox", *command, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_states_of_the_command_are_those_of_the_outbox() -> None:
    assert tuple(one.value for one in StateName) == STATES


def test_the_list_says_what_is_stuck_and_why(outbox: Outbox) -> None:
    result = RUN.invoke(app, ["outbox", "list"])
    assert "DIMSE_A900" in result.output and "PEER_UNREACHABLE" in result.output
    assert "1 is stuck: mend the cause, then `mammo outbox retry --stuck`" in result.output
    (stuck,) = told("list", "--state", "stuck")["deliveries"]
    assert (stuck["number"], stuck["state"], stuck["attempts"]) == (1, "stuck", 1)
    assert told("list", "--study", "study-2")["deliveries"] == []


def test_what_is_stuck_is_sent_again(outbox: Outbox) -> None:
    assert told("retry", "--stuck", "--to", "elsewhere")["deliveries"] == []
    assert [one["state"] for one in told("retry", "--stuck")["deliveries"]] == ["waiting"]
    assert outbox.counts() == {"pacs": {"waiting": 2}}


def test_a_delivery_is_dropped(outbox: Outbox) -> None:
    assert [one["state"] for one in told("drop", "1")["deliveries"]] == ["dropped"]
    result = RUN.invoke(app, ["outbox", "retry", "1"])
    assert result.exit_code == 2 and "DELIVERY_UNKNOWN: delivery 1 is dropped" in result.output


@pytest.mark.parametrize("given", [[], ["1", "--stuck"], ["1", "--to", "pacs"]])
def test_what_is_meant_must_be_said(outbox: Outbox, given: list[str]) -> None:
    result = RUN.invoke(app, ["outbox", "drop", *given])
    assert result.exit_code == 2 and "give numbers of deliveries" in result.output
    assert outbox.counts() == {"pacs": {"waiting": 1, "stuck": 1}}


def test_every_destination_is_asked_whether_it_is_there(outbox: Outbox, tmp_path: Path) -> None:
    with Pacs(classes=("1.2.840.10008.1.1",)) as pacs:
        there, away = pacs.port, free_port()
        entries = "".join(
            f"- {{name: {name}, ae_title: {title}, host: 127.0.0.1, port: {port}, "
            "receives: [cad], timeout_seconds: 5}\n"
            for name, title, port in (("a", "PACS", there), ("b", "X", there), ("c", "X", away))
        )
        (tmp_path / "peers.yaml").write_text(f"peers:\n{entries}")
        result = RUN.invoke(app, ["outbox", "check", "--json"])
    codes = [one["code"] for one in json.loads(result.stdout)["destinations"]]
    assert codes == ["REACHED", "PEER_REJECTS", "PEER_UNREACHABLE"]
    assert result.exit_code == 1
