"""Blue and green: a new image takes the requests over in steps, and gives them back when unwell.

The colour that answers is left as it is until the other has answered its health
route at every step. Whatever goes wrong on the way, all requests go to the old
one again before the error is told; where even that fails, the error says so.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from flows.azure_specs import FOLDER, load_spec, require_filled_in
from flows.azure_workspace import may_pass, told
from mammo.errors import (
    AzureConflict,
    AzureError,
    AzureNotFound,
    AzureRolledBack,
    AzureSpecInvalid,
)

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

COLOURS = ("blue", "green")
HEALTH_PATH = "/readyz"
PROBES, PROBE_SECONDS = 3, 5.0
GIVE_BACK_TRIES, GIVE_BACK_SECONDS = 20, 15.0
"""Azure refuses a second change (409) while the one that was given up still goes on."""
SECRETS = ("MAMMO_CALLER_TOKEN", "MAMMO_PSEUDONYM_KEY")
"""Without the one nobody is let in, and health does not show it; without the other each node
gives an exam another name."""
REFERENCE = re.compile(
    r"\$\{\{(azureml://connections/[^{}]+/credentials/|keyvault:https://)[^{}]+\}\}"
)
"""What Azure ML fills in from a connection of the workspace, or from a Key Vault."""
Probe = Callable[[str, str, str], int]
"""Asked with the endpoint's address, its key and a colour; returns the HTTP status."""


@dataclass
class Rollout:
    """What was done, in order: fit for a person and for a record."""

    endpoint: str
    image: str
    old: str | None = None
    new: str = "blue"
    steps: list[str] = field(default_factory=list)
    traffic: dict[str, int] | None = field(default_factory=dict)
    """None while a change is under way that Azure has not confirmed: then nobody knows."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return dict(vars(self))


def plan(percents: Sequence[int]) -> list[int]:
    """Check the shares of requests that the new colour takes, one after the other.

    Raises
    ------
    AzureSpecInvalid
        They do not rise within 1 to 100, or do not end at 100.
    """
    rising = all(a < b for a, b in itertools.pairwise(percents))
    if not percents or not rising or percents[0] < 1 or percents[-1] != 100:
        told_of = ",".join(map(str, percents)) or "nothing"
        raise AzureSpecInvalid(f"--steps {told_of}: shares must rise and end at 100, as 10,50,100")
    return list(percents)


def read_deployment(image: str) -> Any:
    """Return a colour of the endpoint that runs ``image``, after deployment.yml.

    Raises
    ------
    AzureSpecInvalid
        Azure's schema refuses the file, a secret is not handed over by reference, or the
        image is that of nobody (OWNER).
    """
    path = FOLDER / "deployment.yml"
    require_filled_in(path, environment=image)
    wanted = load_spec(path)
    given = wanted.environment_variables or {}
    if wrong := [one for one in SECRETS if not REFERENCE.fullmatch(str(given.get(one, "")))]:
        raise AzureSpecInvalid(
            f"environment_variables of deployment.yml: {', '.join(wrong)} must refer to a secret, "
            "as ${{azureml://connections/NAME/credentials/KEY}} or ${{keyvault:https://…}}"
        )
    wanted.environment.image = image
    wanted.tags = {"image": image}
    return wanted


def roll_out(
    client: MLClient,
    image: str,
    percents: Sequence[int],
    *,
    hold_seconds: float = 0.0,
    probe: Probe | None = None,
    say: Callable[[str], None] = lambda _line: None,
    probe_seconds: float | None = None,
) -> Rollout:
    """Put ``image`` into the colour that does not answer, and lead the requests over.

    Without one that answers, the new colour has every request at once. ``hold_seconds``
    is how long each share is held before it is asked for its health.

    Raises
    ------
    AzureRolledBack
        The new colour was not made or not well; the old one has every request.
    AzureError
        Or one of its children: nothing was changed yet. Or giving the requests back
        failed, too: it is unknown who has them, and the message says what to do.
    """
    steps = plan(percents)
    pause = PROBE_SECONDS if probe_seconds is None else probe_seconds
    moves = _Moves(client, image, probe or ask_health, say, pause)
    moves.begin()
    try:
        moves.make()
        moves.require_health()
        # Azure takes shares that add up to 0 or 100: the first colour has nobody to share with
        for percent in steps if moves.done.old else [100]:
            moves.lead(percent)
            time.sleep(hold_seconds)
            moves.require_health()
    except (AzureError, KeyboardInterrupt) as error:
        why = _why(error)
        moves.give_back(why)
        left = f"{moves.done.old} has every request again" if moves.done.old else "no request goes"
        raise AzureRolledBack(f"{moves.done.new} of {image}: {why}. Now {left}.") from error
    return moves.done


def _why(error: AzureError | KeyboardInterrupt) -> str:
    return error.message.rstrip(".") if isinstance(error, AzureError) else "interrupted"


class _Moves:
    """The single moves of a rollout, each noted and told."""

    def __init__(
        self,
        client: MLClient,
        image: str,
        probe: Probe,
        say: Callable[[str], None],
        probe_seconds: float,
    ) -> None:
        self._client, self._probe, self._say = client, probe, say
        self._probe_seconds = probe_seconds
        self._endpoint = load_spec(FOLDER / "endpoint.yml")
        self._wanted = read_deployment(image)
        self._led = False
        self.done = Rollout(self._endpoint.name, image)

    def begin(self) -> None:
        """Find the endpoint, or make it, and the colour that answers now."""
        name = self.done.endpoint
        try:
            with told(f"look for endpoint {name}"):
                self._endpoint = self._client.online_endpoints.get(name)
        except AzureNotFound:
            self._note(f"make endpoint {name}")
            with told(f"make endpoint {name}"):
                made = self._client.online_endpoints.begin_create_or_update(self._endpoint)
                self._endpoint = made.result()
        traffic = {colour: int(share) for colour, share in (self._endpoint.traffic or {}).items()}
        self.done.traffic = traffic
        self.done.old = next((one for one, share in traffic.items() if share == 100), None)
        if self.done.old is None and any(traffic.values()):
            raise AzureSpecInvalid(
                f"requests of {name} are shared as {traffic}: a rollout is under way, "
                "or was killed; set one colour to 100 first"
            )
        self.done.new = next(one for one in COLOURS if one != self.done.old)

    def make(self) -> None:
        """Make the new colour and wait until Azure calls it ready; it gets no request yet."""
        self._note(f"make {self.done.new} of {self.done.image}")
        self._wanted.name = self.done.new
        with told(f"make deployment {self.done.new}"):
            made = self._client.online_deployments.begin_create_or_update(self._wanted).result()
        if made.provisioning_state != "Succeeded":
            raise AzureError(f"deployment {self.done.new} became {made.provisioning_state}")

    def require_health(self) -> None:
        """Ask the new colour by name, three times; one bad answer is enough."""
        with told("read the endpoint's key"):
            key = self._client.online_endpoints.get_keys(self.done.endpoint).primary_key
        for _ in range(PROBES):
            status = self._probe(str(self._endpoint.scoring_uri), str(key), self.done.new)
            if status != 200:
                raise AzureError(f"{HEALTH_PATH} of {self.done.new} answered {status or 'nothing'}")
            time.sleep(self._probe_seconds)
        self._note(f"{self.done.new} is well")

    def lead(self, percent: int) -> None:
        """Let the new colour have this share of the requests."""
        shares = {self.done.new: percent}
        if self.done.old and percent < 100:
            shares[self.done.old] = 100 - percent
        self._led = True
        self._share(shares)

    def give_back(self, why: str) -> None:
        """Let the old colour have every request, where the new one was offered any.

        Raises
        ------
        AzureError
            That failed: nobody knows who has them. It says ``why`` they were to be given back.
        """
        if not self._led:
            return
        try:
            self._insist({self.done.old: 100} if self.done.old else {})
        except (AzureError, KeyboardInterrupt) as error:
            back = f"{self.done.old}=100" if self.done.old else f"{self.done.new}=0"
            raise AzureError(
                f"{self.done.new} of {self.done.image}: {why}. Giving its requests "
                f"back failed: {_why(error)}. Who has them is unknown: look with "
                "`mammo azure status`, then `az ml online-endpoint update "
                f"--name {self.done.endpoint} --traffic {back}`"
            ) from error

    def _insist(self, traffic: dict[str, int]) -> None:
        for left in reversed(range(GIVE_BACK_TRIES)):
            try:
                self._share(traffic)
                return
            except AzureError as error:
                if not left or not (isinstance(error, AzureConflict) or may_pass(error)):
                    raise
            time.sleep(GIVE_BACK_SECONDS)

    def _share(self, traffic: dict[str, int]) -> None:
        self._note(f"requests: {', '.join(f'{k} {v}%' for k, v in traffic.items()) or 'none'}")
        self._endpoint.traffic = traffic
        self.done.traffic = None
        with told(f"share the requests of {self.done.endpoint}"):
            made = self._client.online_endpoints.begin_create_or_update(self._endpoint)
            made.result()
        self.done.traffic = traffic

    def _note(self, step: str) -> None:
        self.done.steps.append(step)
        self._say(step)


def ask_health(scoring_uri: str, key: str, colour: str) -> int:
    """Return the status of the health route of one colour; 0 where nothing answers.

    The header is Azure ML's own way past the shares (``azureml-model-deployment``).
    """
    import httpx

    address = urlunsplit((*urlsplit(scoring_uri)[:2], HEALTH_PATH, "", ""))
    headers = {"Authorization": f"Bearer {key}", "azureml-model-deployment": colour}
    try:
        return httpx.get(address, headers=headers, timeout=10).status_code
    except httpx.HTTPError:
        return 0


def tell_endpoint(client: MLClient) -> dict[str, Any]:
    """Return what is told of the endpoint: its colours, their images and shares."""
    name = load_spec(FOLDER / "endpoint.yml").name
    with told(f"look at endpoint {name}"):
        endpoint = client.online_endpoints.get(name)
        deployments = list(client.online_deployments.list(name))
    colours = [
        {
            "colour": one.name,
            "percent": int((endpoint.traffic or {}).get(one.name, 0)),
            "state": one.provisioning_state,
            "image": (one.tags or {}).get("image"),
        }
        for one in deployments
    ]
    return {"endpoint": name, "state": endpoint.provisioning_state, "colours": colours}
