"""Opening the response cache of a policy: its rules, the store that its answers are in, and the key of their keys."""

from __future__ import annotations

from importlib import import_module

from spanledger.deployment_key import deployment_key
from spanledger.guard.policy import Policy
from spanledger.settings import Settings

from .answers import FILE, Answers, SqliteAnswers
from .response_cache import ResponseCache


def open_cache(policy: Policy, settings: Settings, answers: Answers | None = None) -> ResponseCache | None:
    """Return the cache that a policy wants, with `answers` that are open already; None where it has no rule for one.

    Raises:
        SpanledgerError: its store needs a library that isn't installed.
        SettingError: the file that the key is in holds none.
    """
    rules = policy.more.get("cache", ())
    if not rules:
        return None
    secret = deployment_key(settings).secret
    return ResponseCache(rules, answers or open_answers(policy.store, settings), secret)


def open_answers(store: str, settings: Settings) -> Answers:
    """Return where answers are kept: in Redis where the policy's accounts are there, else in a file of the home folder.

    Raises:
        SpanledgerError: Redis needs a library that isn't installed.
    """
    if store in ("memory", "sqlite"):
        return SqliteAnswers(settings.home / FILE)
    answers: Answers = import_module(".redis_answers", __package__).RedisAnswers(store)
    return answers
