"""A local server that answers as Azure Resource Manager and Azure ML do, over TLS.

What is put under a path is kept and given back with an id, a type and the state
`Succeeded`, as Resource Manager does it; every request is kept for the test to
look at. Answers that a test plants (401, 429 …) go before. Shares of requests
that add up to neither 0 nor 100 are refused, as Azure's model of an endpoint says.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SUBSCRIPTION, GROUP, WORKSPACE = "00000000-0000-0000-0000-000000000007", "screening", "mammo-test"
ROOT = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}"
    f"/providers/Microsoft.MachineLearningServices/workspaces/{WORKSPACE}"
)

COMPUTES = ("mammo-cpu", "mammo-gpu")
MADE_AT = "2026-11-29T09:00:00Z"


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any

    @property
    def under(self) -> str:
        """The path below the workspace."""
        return self.path.removeprefix(ROOT).strip("/")


@dataclass
class ResourceManager:
    """What the server keeps: resources by path, requests in order, planted answers."""

    requests: list[Request] = field(default_factory=list)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    planted: dict[str, list[tuple[int, dict[str, str], Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    health: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    changes: list[Callable[[], int]] = field(default_factory=list)
    """The endpoint's next changes go on after their answer: each status is that of asking on."""
    job_states: list[str] = field(default_factory=list)
    port: int = 0

    def plant(self, under: str, status: int, code: str, times: int = 1, **headers: str) -> None:
        """Answer the next requests below this path with an error of Azure's form."""
        body = {"error": {"code": code, "message": f"{code} of {under or 'the workspace'}."}}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.planted[under] += [(status, named, body)] * times

    def sent(self, method: str, under: str) -> list[Request]:
        """Return the requests of this method whose path below the workspace begins so."""
        return [r for r in self.requests if r.method == method and r.under.startswith(under)]

    def answer(self, request: Request) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body."""
        for under, answers in self.planted.items():
            if answers and request.path.startswith(ROOT) and request.under.startswith(under):
                return answers.pop(0)
        if request.path == "/metadata/endpoints":
            return 200, {}, self._cloud()
        if request.path == "/readyz":
            colour = request.headers.get("azureml-model-deployment", "")
            statuses = self.health[colour]
            return (statuses.pop(0) if statuses else 200), {}, {"ready": True}
        if "authorization" not in request.headers:
            return 401, {}, {"error": {"code": "AuthenticationFailed", "message": "no token"}}
        if request.path == "/changes/1":
            status = self.changes.pop(0)()
            return status, {}, {"status": "Succeeded", "error": {"code": "Planted"}}
        return self._resource(request)

    def _resource(self, request: Request) -> tuple[int, dict[str, str], Any]:
        if request.path.lower() == ROOT.lower():
            return 200, {}, self._workspace()
        if request.method == "POST" and request.path.endswith("/listKeys"):
            return 200, {}, {"primaryKey": "key-one", "secondaryKey": "key-two"}
        if request.method == "PUT":
            return self._put(request)
        if request.method == "GET" and request.path in self.resources:
            found = self.resources[request.path]
            if request.under.startswith("jobs/") and self.job_states:
                found["properties"]["status"] = self.job_states.pop(0)
            return 200, {}, found
        if request.method == "GET" and request.under.removeprefix("computes/") in COMPUTES:
            return 200, {}, _compute(request.path)
        inside = [
            one
            for path, one in self.resources.items()
            if path.rpartition("/")[0] == request.path and request.method == "GET"
        ]
        if inside or request.under in ("jobs",):
            return 200, {}, {"value": inside}
        missing = {"code": "ResourceNotFound", "message": f"{request.under} was not found."}
        return 404, {}, {"error": missing}

    def _put(self, request: Request) -> tuple[int, dict[str, str], Any]:
        of_endpoint = re.fullmatch("onlineEndpoints/[^/]+", request.under)
        shares = request.body.get("properties", {}).get("traffic") or {}
        if sum(shares.values()) not in (0, 100):
            said = {"code": "InvalidTraffic", "message": "Traffic values need to sum to 100."}
            return 400, {}, {"error": said}
        made = self.resources[request.path] = self._made(request)
        if of_endpoint and self.changes:
            return 201, {"Azure-AsyncOperation": self._url() + "/changes/1"}, made
        return 200, {}, made

    def _made(self, request: Request) -> dict[str, Any]:
        properties = dict(request.body.get("properties", {}))
        properties |= {"provisioningState": "Succeeded"}
        kind = request.under.split("/")[0]
        if kind == "jobs":
            url = f"https://ml.azure.test/runs/{request.under.split('/')[1]}"
            properties |= {
                "status": "NotStarted",
                "services": {"Studio": {"endpoint": url, "jobServiceType": "Studio"}},
            }
        if "/deployments/" in request.under:
            properties |= {"scaleSettings": {"scaleType": "Default"}}
        elif kind == "onlineEndpoints":
            properties |= {"scoringUri": f"https://localhost:{self.port}/v1/exams"}
        return {
            **request.body,
            "id": request.path,
            "name": request.path.rpartition("/")[2],
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "systemData": {"createdAt": MADE_AT, "lastModifiedAt": MADE_AT},
            "properties": properties,
        }

    def _workspace(self) -> dict[str, Any]:
        properties = {"workspaceId": SUBSCRIPTION, "discoveryUrl": self._url() + "/discovery"}
        return {"id": ROOT, "name": WORKSPACE, "location": "westeurope", "properties": properties}

    def _cloud(self) -> dict[str, Any]:
        return {
            "name": "LocalCloud",
            "portal": "https://portal.azure.test",
            "resourceManager": self._url(),
            "authentication": {"loginEndpoint": self._url()},
            "suffixes": {"storage": "core.azure.test"},
        }

    def _url(self) -> str:
        return f"https://localhost:{self.port}"


def _compute(path: str) -> dict[str, Any]:
    cluster = {"vmSize": "STANDARD_DS3_V2", "vmPriority": "Dedicated"}
    scale = {"minNodeCount": 0, "maxNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT2M"}
    properties = {
        "computeType": "AmlCompute",
        "provisioningState": "Succeeded",
        "properties": cluster | {"scaleSettings": scale},
    }
    return {"id": path, "name": path.rpartition("/")[2], "properties": properties}


def _handler(manager: ResourceManager) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, parse_qs(parts.query), headers, body)
            manager.requests.append(request)
            status, extra, told = manager.answer(request)
            sent = json.dumps(told).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **extra}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the requests are kept."""

    return Handler


def make_certificate(folder: Path) -> Path:
    """Write a key and a certificate for localhost, valid for a day, into one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def served(certificate: Path) -> Iterator[ResourceManager]:
    """Serve on a free port of this machine until the block ends."""
    manager = ResourceManager()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(manager))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    manager.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield manager
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
