"""`mammo token`: who may call the prediction service, and what for."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli_terminal import Json, reported, say, settings_from_environment, show, show_rows

if TYPE_CHECKING:
    from mammo.tokens import TokenStore


class RoleName(StrEnum):
    """What a token opens; `mammo.tokens.ROLES`, which a quick help does not import."""

    PREDICT = "predict"
    READ = "read"
    OUTCOMES = "outcomes"
    OPERATE = "operate"
    APPROVE = "approve"


def add_token_commands(app: typer.Typer) -> None:
    """Add the `mammo token` sub-app."""
    token = typer.Typer(
        help="Who may call the prediction service: tokens and their roles.", no_args_is_help=True
    )
    token.command("add", epilog="Example: mammo token add pacs --role predict --role read")(
        add_token
    )
    token.command("list", epilog="Example: mammo token list")(list_tokens)
    token.command("revoke", epilog="Example: mammo token revoke pacs")(revoke_token)
    app.add_typer(token, name="token")


@reported
def add_token(
    name: Annotated[str, typer.Argument(help="Which system gets it, e.g. pacs; no person's name.")],
    role: Annotated[
        list[RoleName],
        typer.Option(
            help="predict: send exams. read: look at exams, release, metrics. "
            "outcomes: tell what became of exams. operate: whatever else changes the service. "
            "approve: let a release into service that the gate cannot tell enough of. "
            "May be repeated."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Make a token and print it, once: only its digest is kept."""
    store = _store()
    first = not store.exists()
    secret = store.add(name, [one.value for one in role])
    roles = [one.value for one in role]
    if as_json:
        show({"name": name, "roles": roles, "token": secret}, as_json=True)
    else:
        print(secret)  # alone on stdout, for `TOKEN=$(mammo token add …)`
        say(f"{name} may {', '.join(roles)}. Keep the token now: it cannot be shown again.")
    if first:
        say("This is the first token: from now on the service asks every caller for one.")


@reported
def list_tokens(as_json: Json = False) -> None:
    """Show who has a token, what for, and since when."""
    tokens = [one.to_dict() for one in _store().list()]
    if as_json:
        show({"tokens": tokens}, as_json=True)
        return
    rows = [one | {"roles": ", ".join(one["roles"])} for one in tokens]
    show_rows(rows, ("name", "roles", "made_at"), "Tokens")


@reported
def revoke_token(
    name: Annotated[str, typer.Argument(help="Whose token is to be refused from now on.")],
    as_json: Json = False,
) -> None:
    """Refuse a token from the next request on."""
    store = _store()
    gone = store.revoke(name)
    left = len(store.list())
    if as_json:
        show(gone.to_dict() | {"left": left}, as_json=True)
        return
    say(f"{name} is refused from now on; {left} {'token is' if left == 1 else 'tokens are'} left.")
    if not left:
        say("Nobody can call now: with its last token gone, the service stays shut.")


def _store() -> TokenStore:
    from mammo.tokens import TokenStore

    return TokenStore(settings_from_environment().tokens_path)
