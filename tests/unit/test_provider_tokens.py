"""How the local provider counts, and how long its prompt cache remembers."""

from __future__ import annotations

import pytest

from spanledger_cli.demo.tokens import CacheUse, PromptCache, Ttl, count_tokens, make_segment, make_text


@pytest.mark.parametrize("tokens", [0, 1, 7, 3000])
def test_made_text_counts_as_many_tokens_as_asked(tokens: int) -> None:
    assert count_tokens(make_text(tokens, "Hôtel")) == tokens


def test_only_what_a_model_reads_is_counted() -> None:
    message = {"role": "tool", "tool_call_id": "call_123", "content": [{"type": "text", "text": "12345678"}]}
    assert count_tokens(message) == 2


def test_a_short_prefix_is_never_cached() -> None:
    cache, segments = PromptCache(), [make_segment(make_text(1023), "5m")]
    assert [cache.use("m", segments, now_s=0), cache.use("m", segments, now_s=1)] == [CacheUse(), CacheUse()]


@pytest.mark.parametrize(("ttl", "lasts_s"), [("5m", 300), ("1h", 3600)])
def test_a_prefix_is_forgotten_after_its_time_and_a_read_renews_it(ttl: Ttl, lasts_s: int) -> None:
    cache, segments = PromptCache(), [make_segment(make_text(2000), ttl)]
    written = CacheUse(write_5m=2000) if ttl == "5m" else CacheUse(write_1h=2000)
    moments = [0, lasts_s - 1, 2 * lasts_s - 2, 3 * lasts_s - 2]
    seen = [cache.use("m", segments, now_s=moment) for moment in moments]
    assert seen == [written, CacheUse(read=2000), CacheUse(read=2000), written]


def test_models_do_not_share_a_cache() -> None:
    cache, segments = PromptCache(), [make_segment(make_text(2000), "5m")]
    cache.use("m", segments, now_s=0)
    assert cache.use("n", segments, now_s=0) == CacheUse(write_5m=2000)
