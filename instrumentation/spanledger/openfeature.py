"""Feature flags that follow spend: an OpenFeature provider, and a hook in front of a provider of your own.

The flags are those that `[[breaker]]` entries of the policy name: on while the breaker is closed for whom the
evaluation is about, off otherwise. Who that is comes from the tags in force, and from the evaluation's context, whose
attributes are named like tags; its targeting key is the user. Needs the extra `openfeature`; nothing else imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TypeMismatchError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagResolutionDetails, FlagType, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import AbstractProvider, Metadata

import _spanledger_boot as switch

from . import faults, ledger, names, tagging
from .guard.breakers import UnknownFlagError
from .guard.policy import WIRE_NAMES

if TYPE_CHECKING:
    from openfeature.flag_evaluation import FlagValueType

_VARIANT: Final = "spend"
"""Of what is off because of a breaker."""


class SpendProvider(AbstractProvider):
    """Answers boolean flags by the breakers of the policy; without one in force, by the default that is asked with."""

    def get_metadata(self) -> Metadata:
        """Name it."""
        return Metadata("spanledger")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Tell whether a flag is on."""
        try:
            why = _why_off(flag_key, evaluation_context)
        except UnknownFlagError:
            raise FlagNotFoundError(f"no [[breaker]] of the policy has {flag_key!r} in its flags") from None
        except Exception as error:
            faults.report("a flag is at its default, breakers can't be looked up", error)
            return FlagResolutionDetails(default_value, reason=Reason.DEFAULT)
        if why is None:
            return FlagResolutionDetails(True, reason=Reason.STATIC, variant="on")
        return FlagResolutionDetails(
            False, reason=Reason.TARGETING_MATCH, variant=_VARIANT, flag_metadata={"breaker": why}
        )

    def resolve_string_details(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> Any:
        """Refuse: these flags are boolean."""
        raise TypeMismatchError(
            f"{flag_key!r} is on or off: ask for a boolean, or put SpendHook before a provider of yours"
        )

    resolve_integer_details = resolve_float_details = resolve_object_details = resolve_string_details


class SpendHook(Hook):
    """Forces flags of any provider while a breaker that names them isn't closed: False, or the value given for one."""

    def __init__(self, off: Mapping[str, FlagValueType] | None = None) -> None:
        """Take the values of flags that are not boolean: `SpendHook({"model": "small"})`."""
        self._off = dict(off or {})

    def after(self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints) -> None:
        """Put the value in place of the provider's."""
        flag = hook_context.flag_key
        if flag not in self._off and hook_context.flag_type != FlagType.BOOLEAN:
            return
        try:
            why = _why_off(flag, hook_context.evaluation_context)
        except UnknownFlagError:
            return
        except Exception as error:
            faults.report("a flag is as its provider says, breakers can't be looked up", error)
            return
        if why is not None:
            details.value, details.variant, details.reason = (
                self._off.get(flag, False),
                _VARIANT,
                Reason.TARGETING_MATCH,
            )
            details.flag_metadata = {**details.flag_metadata, "breaker": why}


def _why_off(flag: str, context: EvaluationContext | None) -> str | None:
    """Name the breaker that a flag is off because of; raises UnknownFlagError where none has to do with the flag."""
    worker = ledger.start() if switch.on else None
    if worker is None or worker.gate is None:
        raise UnknownFlagError(flag)
    values = {**tagging.current.get()}
    if context is not None:
        if context.targeting_key:
            values[names.USER_ID] = context.targeting_key
        for key, value in context.attributes.items():
            if isinstance(value, str | int) and value != "":
                values[WIRE_NAMES.get(key) or names.TAG_PREFIX + key] = str(value)
    state = worker.gate.flag_off(flag, values)
    return state.breaker if state is not None else None
