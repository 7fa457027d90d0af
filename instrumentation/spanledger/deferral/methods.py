"""Methods of SDKs that can be put off: how they are found again in another process, and what their answers are."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

SdkName: TypeAlias = Literal["openai", "anthropic"]


class _Known(NamedTuple):
    sdk: SdkName
    module: str
    """Module of the resource, or what its modules begin with."""
    path: str
    """From a client to the method."""
    url: str
    """Of a request in a batch."""
    answer: str
    """Module and class of the answer."""


_KNOWN: Final = (
    _Known(
        "openai",
        "openai.resources.chat.completions",
        "chat.completions.create",
        "/v1/chat/completions",
        "openai.types.chat:ChatCompletion",
    ),
    _Known(
        "openai", "openai.resources.responses", "responses.create", "/v1/responses", "openai.types.responses:Response"
    ),
    _Known(
        "openai",
        "openai.resources.embeddings",
        "embeddings.create",
        "/v1/embeddings",
        "openai.types:CreateEmbeddingResponse",
    ),
    _Known("anthropic", "anthropic.resources.messages", "messages.create", "/v1/messages", "anthropic.types:Message"),
)
_CLIENTS: Final = {"openai": ("OpenAI", "AsyncOpenAI"), "anthropic": ("Anthropic", "AsyncAnthropic")}
"""Others (Azure's, Bedrock's) take more than an address and a key to make again."""


class Method(NamedTuple):
    """A method of an SDK and the address that it is called at."""

    sdk: SdkName
    path: str
    base_url: str

    @property
    def url(self) -> str:
        """The path of a request in a provider's batch."""
        return self._known().url

    def client(self) -> Any:
        """Make a client for it, with the key of this environment.

        Raises:
            Exception: of the SDK, such as that there is no key.
        """
        module = importlib.import_module(self.sdk)
        return getattr(module, _CLIENTS[self.sdk][0])(base_url=self.base_url)

    def of(self, client: Any) -> Callable[..., Any]:
        """Return the method of a client."""
        found = client
        for name in self.path.split("."):
            found = getattr(found, name)
        method: Callable[..., Any] = found
        return method

    def answer(self, told: dict[str, Any]) -> Any:
        """Make the SDK's own object of an answer as it was told; the plain answer where the SDK isn't there."""
        module, _, name = self._known().answer.partition(":")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            return told
        return kind.construct(**told)

    def _known(self) -> _Known:
        return next(known for known in _KNOWN if (known.sdk, known.path) == (self.sdk, self.path))


def method_of(call: object) -> Method:
    """Find which method of an SDK somebody has in hand.

    Raises:
        ValueError: it is none that can be put off.
    """
    resource = getattr(call, "__self__", None)
    client: Any = getattr(resource, "_client", None)
    name, home = getattr(call, "__name__", ""), type(resource).__module__
    for known in _KNOWN:
        if home.startswith(known.module) and known.path.endswith(f".{name}"):
            if type(client).__name__ not in _CLIENTS[known.sdk]:
                raise ValueError(
                    f"{type(client).__name__}: only clients of {' and '.join(_CLIENTS[known.sdk])} can wait"
                )
            return Method(known.sdk, known.path, str(client.base_url))
    listed = ", ".join(f"client.{known.path} of {known.sdk}" for known in _KNOWN)
    raise ValueError(f"{call!r} can't be put off; what can is {listed}")
