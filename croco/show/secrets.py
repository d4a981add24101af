"""Keys, tokens and passwords: what looks like one, where one stands in a configuration, and text without them.

A secret belongs into the environment. One that is typed as a setting would be kept in logs, manifests, pages, cards and W&B, so a
configuration that holds one is refused before anything is written, and whatever a library says of one is masked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MASK = "<secret>"
SHORTEST = 8  # characters of an environment variable's value that is searched for
NAMES = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)|APIKEY", re.IGNORECASE)
"""Of environment variables that hold secrets."""
PLACES = re.compile(r"_(?:FILE|PATH|ENV|DIR|NAME|ID|URL)$|^TOKENIZERS_", re.IGNORECASE)
"""Names that only say where one is."""
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}|[a-z_]{0,16}|null|None")
"""What names one; a key has both cases, or digits among small letters."""
IN_URL = re.compile(
    r"(?P<before>[a-z][a-z0-9+.-]*://)(?P<user>[^\s/@:?#\x22']*)(?::(?P<password>[^\s/@\x22']*))?@", re.IGNORECASE
)
IN_QUERY = re.compile(
    r"(?P<before>[?&;#](?:api[_-]?key|key|[\w-]*token|auth|password|secret|sig|[\w-]*signature|x-amz-credential)=)"
    r"[^\s&#;\x22'<>]+",
    re.IGNORECASE,
)
IN_HEADER = re.compile(
    r"(?P<before>\bBearer\s+)[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<basic>\bBasic\s+)[A-Za-z0-9+/]{6,}={1,2}"
    r"|(?P<named>api[_-]?key[\x22']?\s*[:=]\s*[\x22']?)(?=[^\s\x22']*\d)[A-Za-z0-9._~+/-]{12,}",
    re.IGNORECASE,
)
"""As clients show a request's headers or their own arguments."""
KEYS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      hf_[A-Za-z0-9]{20,}                                  # Hugging Face
    | sk-[A-Za-z0-9_-]{16,}                                # OpenAI, Anthropic, OpenRouter, DeepSeek ...
    | (?:gsk|xai|r8|csk|fw|tgp)_[A-Za-z0-9_-]{20,}          # Groq, xAI, Replicate, Cerebras, Fireworks, Together
    | nvapi-[A-Za-z0-9_-]{20,} | pplx-[A-Za-z0-9]{20,}       # NVIDIA, Perplexity
    | AIza[A-Za-z0-9_-]{30,}                               # Google
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[A-Za-z0-9_-]{16,}
    | xox[abprs]-[A-Za-z0-9-]{10,}                         # Slack
    | (?:AKIA|ASIA)[A-Z0-9]{16}                            # AWS
    | wandb_v\d_[A-Za-z0-9_-]{20,}
    | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+   # a JSON Web Token
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    )""",
    re.VERBOSE,
)


def of_environment() -> dict[str, str]:
    """The secrets this process was given: value -> name of the variable, longest first."""
    found = {
        value: name
        for name, value in os.environ.items()
        if NAMES.search(name) and not PLACES.search(name) and len(value) >= SHORTEST
    }
    return dict(sorted(found.items(), key=lambda item: -len(item[0])))


def told(text: str, held: Mapping[str, str] | None = None) -> str | None:
    """What kind of secret a text holds, in words that do not repeat it; None where it holds none.

    `held`: what `of_environment` found, where many texts are asked about.
    """
    for value, name in (of_environment() if held is None else held).items():
        if value in text:
            return f"the value of the environment variable {name}"
    for match in IN_URL.finditer(text):
        if match["password"] is not None or KEYS.search(match["user"]):
            return "a URL with a password in it"
    if IN_QUERY.search(text):
        return "a URL with a key in it"
    return "what looks like a key" if KEYS.search(text) or IN_HEADER.search(text) else None


def masked(text: str) -> str:
    """The text with `<secret>` for every secret in it."""
    for value in of_environment():
        text = text.replace(value, MASK)
    text = IN_URL.sub(lambda m: m[0] if m["password"] is None else f"{m['before']}{MASK}@", text)
    text = IN_QUERY.sub(lambda m: m["before"] + MASK, text)
    text = IN_HEADER.sub(lambda m: (m["before"] or m["basic"] or m["named"]) + MASK, text)
    return KEYS.sub(MASK, text)


def clean(value: Any) -> Any:
    """Nested JSON values with every text in them masked."""
    if isinstance(value, Mapping):
        return {name: clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def found(value: Any, key: str = "", held: Mapping[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """(dotted key, what kind) of every secret in nested settings; also one in a key itself. `held`: see `told`."""
    held = of_environment() if held is None else held
    if isinstance(value, Mapping):
        for name, item in value.items():
            own = f"{key}.{name}" if key else str(name)
            kind = told(str(name), held)
            if kind is not None:
                yield masked(own), kind
            yield from found(item, own, held)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, item in enumerate(value):
            yield from found(item, f"{key}[{number}]", held)
    elif isinstance(value, str):
        kind = told(value, held)
        if kind is None and key.endswith("_env") and not all(map(VARIABLE.fullmatch, re.split(r"[\s,\"']+", value))):
            kind = "no name of an environment variable (capital letters, digits, _) and perhaps the key itself"
        if kind is not None:
            yield key, kind


def refusal(key: str, kind: str) -> str:
    """One line for who typed it."""
    return (
        f"{masked(key)}: holds {kind}; secrets are not settings, and this one was neither kept nor shown: put it into the "
        "environment, and name the variable where one is asked for"
    )
