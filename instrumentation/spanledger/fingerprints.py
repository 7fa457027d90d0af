"""Fingerprints of a request: what an analysis of savings needs to know about a prompt, without a word of it.

`prompt_hash` is over what an exact-match cache would compare: tools, system prompt, messages and the parameters that
decide what is answered. The model is left out, because it has a column of its own and the same prompt at two models is
a finding, too. The chain is in the order in which providers cache: tools, system prompt, then message by message, so
that two requests share as many links as they share of a prefix. All hashes have 64 bits and are keyed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from hashlib import blake2b
from json import dumps
from marshal import loads
from typing import TYPE_CHECKING, Any, Final

from . import faults, names
from .deployment_key import DeploymentKey, deployment_key
from .prompts import Layout, Prompt, copy_flat, count_tools, read_prompt
from .record import Attributes
from .settings import Settings
from .simhash import make_simhash

if TYPE_CHECKING:
    from .sdk import Request

FIRST_LINKS: Final = 32
LAST_LINKS: Final = 96
"""Of a longer conversation's chain only these are kept: what it shares with others, and what is new in it."""
MOST_WAITING: Final = 1 << 16
"""A prompt of more characters is hashed at once: what waits for the ledger's thread must not add up."""
_BYTES: Final = 8
_SIZE_NAMES: Final = (
    names.SYSTEM_SIZE,
    names.HISTORY_SIZE,
    names.TOOL_RESULTS_SIZE,
    names.USER_SIZE,
    names.TURN,
)
_NO_PART: Final = bytes(_BYTES)
_MOST_KNOWN: Final = 256


def make_fingerprints(settings: Settings) -> Fingerprints | None:
    """Return what makes fingerprints as the settings want them; None where they are off.

    Raises:
        SettingError: the user named a file for the key, and it holds none.
    """
    if settings.features == "none":
        return None
    return Fingerprints(deployment_key(settings), sketch=settings.features == "sketch")


class Fingerprints:
    """Makes the fingerprints of requests, under one key."""

    def __init__(self, key: DeploymentKey, *, sketch: bool = False) -> None:
        self.key_id = key.id
        self._chain = blake2b(key=key.secret, digest_size=_BYTES, person=b"prompt")
        self._whole = blake2b(key=key.secret, digest_size=_BYTES, person=b"whole")
        self._part = blake2b(key=key.secret, digest_size=_BYTES, person=b"part")
        self._api_key = blake2b(key=key.secret, digest_size=_BYTES, person=b"api key")
        self._simhash = make_simhash(key.secret) if sketch else None
        self._of_api_key = lru_cache(maxsize=_MOST_KNOWN)(self._hash_api_key)
        self._tools: dict[bytes, tuple[int, int]] = {}
        """Size and number of the definitions that have this digest."""

    def read(self, request: Request) -> Callable[[], Attributes] | None:
        """Keep what the fingerprints of a request are made of, and return what makes them, on any thread.

        What the application may change afterwards is read now, and what is large is hashed now, because what waits for
        the ledger's thread must not add up. A fault costs the fingerprints, not the call.
        """
        try:
            layout, body = request.endpoint.prompt, request.body
            api_key = request.api_key if type(request.api_key) is str else None
            if layout is None or not body:
                return partial(self._make, api_key, None) if api_key else None
            if (kept := copy_flat(layout, body, MOST_WAITING)) is not None:
                return partial(self._read_and_make, api_key, layout, kept)
            prompt = self._read(layout, body)
            made = partial(self._make, api_key, prompt)
            return made if _length(prompt) <= MOST_WAITING else partial(dict, made())
        except Exception as error:
            faults.report("call recorded without its fingerprints", error)
            return None

    def _read_and_make(self, api_key: str | None, layout: Layout, body: Mapping[str, Any]) -> Attributes:
        try:
            return self._of(api_key, self._read(layout, body))
        except Exception as error:
            faults.report("call recorded without its fingerprints", error)
            return {}

    def _make(self, api_key: str | None, prompt: Prompt | bytes | None) -> Attributes:
        try:
            return self._of(api_key, prompt)
        except Exception as error:
            faults.report("call recorded without its fingerprints", error)
            return {}

    def of_prompt(self, layout: Layout, body: Mapping[str, Any]) -> Attributes:
        """Return the fingerprints of a request's body."""
        return self._of(None, self._read(layout, body))

    def _read(self, layout: Layout, body: Mapping[str, Any]) -> Prompt | bytes:
        return read_prompt(layout, body, with_user_text=self._simhash is not None)

    def _of(self, api_key: str | None, prompt: Prompt | bytes | None) -> Attributes:
        found: Attributes = {}
        if api_key:
            found[names.API_KEY_HASH] = self._of_api_key(api_key)
        if isinstance(prompt, bytes):
            whole = self._whole.copy()
            whole.update(prompt)
            found[names.PROMPT_HASH] = whole.hexdigest()
        elif prompt is not None:
            found[names.MESSAGE_COUNT] = prompt.message_count
            self._add_hashes(found, prompt)
            _add_sizes(found, prompt)
            if self._simhash is not None and (sketch := self._simhash(prompt.user_text)) is not None:
                found[names.SIMHASH] = sketch
        return found

    def _add_hashes(self, found: Attributes, prompt: Prompt) -> None:
        tools = system = _NO_PART
        if prompt.tools_data:
            tools = self._of_part(prompt.tools_data)
            found[names.TOOLS_HASH] = tools.hex()
            found[names.TOOLS_SIZE], found[names.TOOL_COUNT] = self._measured(tools, prompt.tools_data)
        if prompt.system_data:
            system = self._of_part(prompt.system_data)
            found[names.SYSTEM_HASH] = system.hex()
        chain = self._chain.copy()
        chain.update(tools + system + prompt.continues)
        links = [chain.digest()]
        for message in prompt.messages:
            chain.update(message.data)
            links.append(chain.digest())
        if len(links) > FIRST_LINKS + LAST_LINKS:
            del links[FIRST_LINKS:-LAST_LINKS]
        found[names.PREFIX_CHAIN] = b"".join(links)
        chain.update(prompt.settings)
        found[names.PROMPT_HASH] = chain.hexdigest()

    def _measured(self, digest: bytes, data: bytes) -> tuple[int, int]:
        """Return the size of definitions as JSON and their number: measured once, as they seldom change."""
        measured = self._tools.get(digest)
        if measured is None:
            tools = loads(data)  # noqa: S302 - written by this process
            size = len(dumps(tools, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
            measured = size, count_tools(tools)
            if len(self._tools) < _MOST_KNOWN:
                self._tools[digest] = measured
        return measured

    def _of_part(self, data: bytes) -> bytes:
        part = self._part.copy()
        part.update(data)
        return part.digest()

    def _hash_api_key(self, api_key: str) -> str:
        hash_ = self._api_key.copy()
        hash_.update(api_key.encode("utf-8", "surrogatepass"))
        return hash_.hexdigest()


def _length(prompt: Prompt | bytes | None) -> int:
    return 0 if prompt is None else len(prompt) if isinstance(prompt, bytes) else prompt.length


def _add_sizes(found: Attributes, prompt: Prompt) -> None:
    """Add the sizes of the parts: what comes after the model's last answer is new, all before it is sent again.

    Sizes that are 0 are left out; the collector knows.
    """
    system, history, results, user, turn = prompt.system_size, 0, 0, 0, 0
    spoken = False
    """The user has, and the model has not answered yet."""
    last = len(prompt.messages) - 1
    for place, (role, _, size, of_results) in enumerate(prompt.messages):
        if role == "assistant":
            history += size
            if place < last:  # otherwise it is the beginning of the answer, put into the model's mouth
                history += user + results
                user, results, spoken = 0, 0, False
        elif role == "system":
            system += size
        else:
            user += size - of_results
            results += of_results
            if size > of_results and not spoken:
                turn, spoken = turn + 1, True
    sizes = (system, history, results, user, 0 if prompt.continues else turn)
    for name, number in zip(_SIZE_NAMES, sizes, strict=True):
        if number:
            found[name] = number
