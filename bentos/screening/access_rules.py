"""Which roles each route of the service wants, for `Access` and for the OpenAPI document."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from mammo.contract import PROBLEM
from mammo.settings import Settings
from mammo.tokens import ROLES, TokenStore

SECURITY = "bearer"
OPEN: frozenset[str] = frozenset()
ANY_PATH = ("/docs/assets/", "/viewer/")
"""Open whatever follows: the files of Swagger UI and of the viewer, the same for everybody."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A method and a path template, and the roles of which a caller needs one."""

    method: str
    path: str
    roles: frozenset[str]


def _rule(method: str, template: str, *roles: str) -> Rule:
    return Rule(method, template, frozenset(roles))


RULES = (
    _rule("GET", "/"),
    _rule("GET", "/healthz"),
    _rule("GET", "/livez"),
    _rule("GET", "/readyz"),
    _rule("GET", "/docs"),
    _rule("GET", "/openapi.json"),
    _rule("GET", "/metrics", "read", "operate"),
    _rule("GET", "/v1/release", "read", "operate"),
    _rule("POST", "/v1/exams", "predict"),
    _rule("GET", "/v1/jobs/{job}", "predict", "read"),
    _rule("GET", "/v1/exams/{exam}", "read"),
    _rule("GET", "/v1/exams/{exam}/heatmap.png", "read"),
    _rule("GET", "/v1/exams/{exam}/findings", "read"),
    _rule("GET", "/v1/exams/{exam}/report.dcm", "read"),
    _rule("GET", "/v1/exams/{exam}/cad.dcm", "read"),
    _rule("GET", "/v1/exams/{exam}/marks.dcm", "read"),
    _rule("GET", "/v1/exams", "read"),
    _rule("GET", "/v1/exams/{exam}/images", "read"),
    _rule("GET", "/v1/exams/{exam}/images/{image}/pixels", "read"),
    _rule("GET", "/v1/exams/{exam}/images/{image}/voi_lut", "read"),
    _rule("GET", "/v1/exams/{exam}/images/{image}/heat.png", "read"),
    _rule("GET", "/v1/studies", "read"),
    _rule("GET", "/v1/studies/{study}", "read"),
    _rule("POST", "/dicom-web/studies", "predict"),
    _rule("POST", "/dicom-web/studies/{study}", "predict"),
    _rule("POST", "/v1/outcomes", "outcomes"),
    _rule("GET", "/v1/audit/head", "operate"),
)
LOOKED_AT, CHANGED = frozenset({"read"}), frozenset({"operate"})
_PATTERNS = [
    (one, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(one.path)))) for one in RULES
]


def find_rule(method: str, path: str) -> Rule:
    """Return the rule of a request; for what is not listed, one whose path says only that."""
    method = "GET" if method == "HEAD" else method
    if method == "GET" and path.startswith(ANY_PATH):
        return Rule(method, next(one for one in ANY_PATH if path.startswith(one)), OPEN)
    for rule, pattern in _PATTERNS:
        if rule.method == method and pattern.fullmatch(path):
            return rule
    return Rule(method, "other", LOOKED_AT if method == "GET" else CHANGED)


def roles_for(method: str, path: str) -> frozenset[str]:
    """Return the roles of which one is needed; empty where nobody is asked."""
    return find_rule(method, path).roles


def is_loopback(host: str) -> bool:
    """True when a host, by name or address, is this machine and no other."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").split("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def may_be_open(settings: Settings, tokens: TokenStore) -> bool:
    """True while a caller on this machine is asked for no token; see `access.Access`."""
    return settings.auth == "auto" and is_loopback(settings.host) and not tokens.exists()


def secure(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Say in an OpenAPI document which routes need a token, and what their refusals are.

    The token is told as optional where `Access` may let in without one. Changes
    the document and returns it; calling it twice changes nothing more.
    """
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes[SECURITY] = {
        "type": "http",
        "scheme": "bearer",
        "description": f"A token of `mammo token add`, with roles of {', '.join(ROLES)}.",
    }
    optional = may_be_open(settings, TokenStore(settings.tokens_path))
    refused = {"content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not (needed := roles_for(method.upper(), path)):
                continue
            operation["security"] = [{SECURITY: []}, *([{}] if optional else [])]
            wanted = " or ".join(sorted(needed))
            responses = operation.setdefault("responses", {})
            responses["401"] = {"description": "No token, or none of this service's."} | refused
            responses["403"] = {"description": f"The role {wanted} is needed."} | refused
    return document
