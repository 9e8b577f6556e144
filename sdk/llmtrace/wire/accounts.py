"""Whose call it was: a mark that stays the same for calls of one key or one identity, made of what was sent.

A key stays what it is. Tokens of managed identities, which best practice asks for, are another every hour:
what stays of them is whom they were given to, which is in them or, where they are opaque, in the path. No
token is verified here: a provider does that, and what it refused is a failed call.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

#: Request headers that carry an API key or a token.
KEY_HEADERS: Final = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
_ORGANISATIONS: Final = ("openai-organization", "anthropic-organization-id")
_BEARER: Final = re.compile(r"bearer\s+", re.IGNORECASE)
_AWS_CREDENTIAL: Final = re.compile(r"Credential=(\w+)(?:/|%2F)")
_AWS_TOKEN: Final = "bedrock-api-key-"  # noqa: S105, what a token begins with
#: What tokens begin with that are another every hour and say nothing of whom they were given to: of Google,
#: of GitHub's applications, of OpenAI's sessions; and what is no token.
_PASSING: Final = ("ya29.", "ghs_", "ghu_", "ek_", "Basic ", "AWS4")
#: What providers put before a web token.
_PREFIX: Final = re.compile(r"^hf_(?:oauth|jwt)_")
_PROJECT: Final = re.compile(r"/projects/([^/]+)/")
_COPILOT: Final = re.compile(r"tid=([^;]+);")
_MAX_TOKEN: Final = 32 * 1024
"""A longer one is not read."""

# Of the claims of a token, each set that says whom it was given to: Entra's tenant, application and object;
# IBM's account; who signs with a key of its own; any issuer's client and subject.
_IDENTITIES: Final[tuple[tuple[str, ...], ...]] = (
    ("tid", "appid", "oid"),
    ("tid", "azp", "oid"),
    ("tid", "appid"),
    ("tid", "azp"),
    ("iss", "iam_id"),
    ("api_key",),
    ("iss", "azp", "sub"),
    ("iss", "client_id", "sub"),
    ("iss", "sub"),
)


def account(
    request_headers: Mapping[str, str], response_headers: Mapping[str, str], path: str = ""
) -> str | None:
    """The mark of who called: `key-…` of an API key, `app-…` of whom a token was given to, `aws-…` of the AWS
    account of passing credentials, `project-…` of Google's project, else `org-…` of the organisation that the
    answer names. None where nothing stays the same. No mark shows a key or a token.

    path: of the request.
    """
    for name in KEY_HEADERS:
        value = (request_headers.get(name) or "").strip()
        if credential := _AWS_CREDENTIAL.search(value):
            return _of_aws(credential[1])
        token = _BEARER.sub("", value, count=1)
        if token and (mark := _of_token(token)):
            return mark
    project = request_headers.get("x-goog-user-project") or next(iter(_PROJECT.findall(path)), None)
    if project:
        return f"project-{_mark(project)}"
    for name in _ORGANISATIONS:
        if organisation := response_headers.get(name):
            return f"org-{_mark(organisation)}"
    return None


def _of_token(token: str) -> str | None:
    if token.startswith(_PASSING):
        return None
    if token.startswith(_AWS_TOKEN):
        signed = _decoded(token.removeprefix(_AWS_TOKEN))
        credential = _AWS_CREDENTIAL.search(signed.decode("utf-8", "replace"))
        return _of_aws(credential[1]) if credential else None
    if copilot := _COPILOT.match(token):
        return f"app-{_mark(copilot[1])}"
    web_token = _PREFIX.sub("", token)
    if web_token.startswith("eyJ"):
        claims = _claims(web_token)
        if identity := _identity(claims):
            return f"app-{_mark(*identity)}"
        # One that can be read and never ends is a key in the form of a token.
        if not claims or "exp" in claims:
            return None
    return f"key-{_mark(token)}"


def _claims(token: str) -> dict[str, Any]:
    """What a JSON web token says, unverified; nothing where it is none, is encrypted, or is too long."""
    if len(token) > _MAX_TOKEN or token.count(".") != 2:
        return {}
    try:
        claims = json.loads(_decoded(token.split(".")[1]))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _identity(claims: Mapping[str, Any]) -> tuple[str, ...]:
    for names in _IDENTITIES:
        values = [claims.get(name) for name in names]
        if all(isinstance(value, str) and value for value in values):
            return tuple(map(str, values))
    return ()


def _of_aws(key: str) -> str:
    """Of a lasting key the key's mark; of a passing one that of its account, which its id has in 40 bits."""
    if key.startswith("ASIA") and len(key) == 20:
        try:
            number = int.from_bytes(base64.b32decode(key[4:])[:6], "big")
        except ValueError:
            return f"key-{_mark(key)}"
        return f"aws-{_mark(f'{(number & 0x7FFFFFFFFF80) >> 7:012d}')}"
    return f"key-{_mark(key)}"


def _decoded(text: str) -> bytes:
    """Base64 of either alphabet, padded or not; empty for what is none."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
    except ValueError:
        return b""


def _mark(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def secrets_of(request_headers: Mapping[str, str]) -> Iterable[str]:
    """The keys and tokens of a request, as an error's text might repeat them."""
    for name in KEY_HEADERS:
        if value := request_headers.get(name):
            yield _BEARER.sub("", value.strip(), count=1)
