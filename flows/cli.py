"""The command `mammo`. Commands import what they need when they run: help stays quick."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flows.cli_alerts import add_alerts_commands
from flows.cli_audit import add_audit_commands
from flows.cli_azure import add_azure_commands
from flows.cli_backup import add_backup_commands
from flows.cli_card import add_card_command
from flows.cli_changes import add_changes_commands
from flows.cli_compare import add_compare_command
from flows.cli_dashboards import add_dashboards_commands
from flows.cli_data import add_data_commands
from flows.cli_deidentify import add_deidentify_command
from flows.cli_detect import add_detect_commands
from flows.cli_episodes import add_episode_commands
from flows.cli_evaluate import add_evaluate_command
from flows.cli_explain import add_explain_command
from flows.cli_export import add_export_command
from flows.cli_model import add_model_commands
from flows.cli_models import add_models_command
from flows.cli_outbox import add_outbox_commands
from flows.cli_release import add_release_commands
from flows.cli_report import add_report_command
from flows.cli_shortcuts import add_shortcuts_command
from flows.cli_stack import add_stack_commands
from flows.cli_studies import add_studies_command
from flows.cli_token import add_token_commands
from flows.cli_tune import add_tune_command

app = typer.Typer(
    name="mammo",
    help="Continual learning for breast-cancer detection in screening mammography: "
    "ingest, train, gate, serve, watch, mend. For decision support and research; "
    "not a cleared medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `mammo up`, or see everything at once with `mammo demo`.",
)
add_stack_commands(app)
add_data_commands(app)
add_deidentify_command(app)
add_detect_commands(app)
add_dashboards_commands(app)
add_model_commands(app)
add_release_commands(app)
add_export_command(app)
add_tune_command(app)
add_models_command(app)
add_evaluate_command(app)
add_compare_command(app)
add_card_command(app)
add_explain_command(app)
add_shortcuts_command(app)
add_token_commands(app)
add_audit_commands(app)
add_alerts_commands(app)
add_azure_commands(app)
add_backup_commands(app)
add_episode_commands(app)
add_changes_commands(app)
add_outbox_commands(app)
add_report_command(app)
add_studies_command(app)


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    # threads that spin while they wait cost the services beside them more than they save;
    # read when the first library with threads is loaded, so it is set before any command
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if version:
        import mammo

        print(f"mammo {mammo.__version__}")
        raise typer.Exit


if __name__ == "__main__":
    app()
