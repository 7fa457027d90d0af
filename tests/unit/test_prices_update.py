"""`spanledger prices update`: a user's own base, from the library that the shipped one comes from.

The newer library is the installed one, copied, with another version, a changed price and a new model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from own_base import half_turbo
from spanledger.book import BASE, shipped_text, use_book
from spanledger_cli import cli

TURBO = "prices=ModelPrice(input_mtok=Decimal('10'), output_mtok=Decimal('30')),"
HEADER = '{"library":"genai-prices 0.9.9","format":1}\n'


@pytest.fixture(autouse=True)
def _shipped_again() -> Iterator[None]:
    yield
    use_book(None)


def run(home: Path, *arguments: str) -> Result:
    return CliRunner(env={"SPANLEDGER_HOME": str(home)}).invoke(cli, ["prices", *arguments])


def _price_id(home: Path, model: str) -> str:
    asked = ["price", "openai", model, "--usage", '{"input_tokens": 1}', "--at", "2024-05-20T12:00:00Z"]
    return str(json.loads(CliRunner(env={"SPANLEDGER_HOME": str(home)}).invoke(cli, asked).stdout)["price_id"])


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a library in which GPT-4 Turbo costs half, and there is a GPT-9."""
    folder = tmp_path_factory.mktemp("site-packages")
    spec = find_spec("genai_prices")
    assert spec is not None
    assert spec.origin is not None
    library = folder / "genai_prices"
    shutil.copytree(Path(spec.origin).parent, library, ignore=shutil.ignore_patterns("__pycache__"))
    data = (library / "data.py").read_text("utf-8")
    at = data.index("id='gpt-4-turbo',")
    start = data.rindex("ModelInfo(", 0, at)
    changed = data[at:].replace(TURBO, TURBO.replace("'10'", "'5'"), 1)
    nine = f"ModelInfo(id='gpt-9', match=ClauseEquals(equals='gpt-9'), {TURBO}),\n"
    (library / "data.py").write_text(data[:start] + nine + data[start:at] + changed, "utf-8")
    (folder / "genai_prices-0.9.9.dist-info").mkdir()
    (folder / "genai_prices-0.9.9.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: genai-prices\nVersion: 0.9.9\n"
    )
    return folder


def test_an_update_shows_what_changes_writes_it_and_goes_back(newer: Path, tmp_path: Path) -> None:
    dry = run(tmp_path, "update", "--from", str(newer), "--dry-run")
    written = sorted(path.name for path in tmp_path.iterdir())
    done = run(tmp_path, "update", "--from", str(newer))
    ids = [_price_id(tmp_path, model) for model in ("gpt-9", "gpt-4-turbo", "gpt-4o")]
    own = run(tmp_path, "diff")
    back = run(tmp_path, "update", "--reset")

    assert dry.stdout.splitlines() == [
        "provider  model        meter                  old  new",
        "openai    gpt-4-turbo  input_uncached_tokens  10   5",
        "openai    gpt-9        input_uncached_tokens       10",
        "openai    gpt-9        output_text_tokens          30",
        "",
        "provider  new  changed  gone",
        "openai    1    1",
    ]
    assert "from genai-prices 0.2.3 to genai-prices 0.9.9: prices of 2 models differ" in dry.stderr
    assert (dry.exit_code, written) == (0, [])
    assert done.stdout == dry.stdout
    assert "spanledger reprice --dry-run" in done.stderr
    assert ids == ["base-0.9.9:openai/gpt-9", "base-0.9.9:openai/gpt-4-turbo", "overlay:openai/gpt-4o"]
    assert own.stdout.splitlines() == dry.stdout.splitlines()[:-3]
    assert (back.exit_code, list(tmp_path.iterdir())) == (0, [])
    assert _price_id(tmp_path, "gpt-4-turbo") == "base:openai/gpt-4-turbo"


def test_the_installed_library_changes_nothing_where_it_is_the_shipped_one(tmp_path: Path) -> None:
    done = run(tmp_path, "update")

    assert (done.exit_code, done.stdout, list(tmp_path.iterdir())) == (0, "", [])
    assert "nothing to do" in done.stderr


def _file(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_a_base_made_elsewhere_is_taken_and_again_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = _file(tmp_path / "made.jsonl", HEADER + half_turbo())

    first, second = (run(home, "update", "--from", made) for _ in range(2))

    assert "openai    gpt-4-turbo  input_uncached_tokens  10   5" in first.stdout
    assert (second.stdout, second.exit_code) == ("", 0)
    assert _price_id(home, "gpt-4-turbo") == "base-0.9.9:openai/gpt-4-turbo"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "its first line is no header"),
        ("no json\n", "its first line is no header"),
        ('{"library":"genai-prices 0.9.9","format":2}\n', "it has format 2"),
        (HEADER + '{"model":"a","match":"a","tables":[[]]}\n', "line 2 is neither a provider nor a model"),
        (HEADER + '{"provider":"acme"}\n{"model":"a","mat', "line 3 is not JSON"),
        (HEADER + '{"provider":"acme"}\n{"model":"a","match":"a"}\n', "KeyError: 'tables'"),
        (
            HEADER + '{"provider":"acme"}\n{"model":"a","match":"a","tables":[[{"prices":{"input_tokens":0.5}}]]}\n',
            "acme/a: ValueError: a price is no whole number",
        ),
    ],
)
def test_what_is_no_base_is_refused_even_by_force(tmp_path: Path, text: str, sentence: str) -> None:
    home = tmp_path / "home"

    ended = run(home, "update", "--force", "--from", _file(tmp_path / "odd.jsonl", text))

    assert ended.exit_code == 1
    assert sentence in str(ended.exception)
    assert not home.exists()


def test_one_that_is_older_or_has_less_than_the_shipped_one_needs_force(tmp_path: Path) -> None:
    lines = shipped_text(BASE).splitlines(keepends=True)[1:]
    less = [line for line in lines if not line.startswith('{"model":"gpt-4-turbo"')]
    forgot = [
        line.replace("2025-06-10T", "2025-06-11T") if line.startswith('{"model":"o3",') else line for line in less
    ]
    assert forgot != less
    old = HEADER.replace("0.9.9", "0.1.5")
    made = _file(tmp_path / "less.jsonl", old + "".join(forgot))

    refused = run(tmp_path / "home", "update", "--from", made)
    dry = run(tmp_path / "home", "update", "--from", made, "--force", "--dry-run")
    forced = run(tmp_path / "home", "update", "--from", made, "--force")

    assert refused.stderr.splitlines()[1:] == [
        "spanledger: it is of genai-prices 0.1.5, older than genai-prices 0.2.3, which is in force",
        "spanledger: it lacks 2 price lists of the shipped base: openai/gpt-4-turbo,"
        " openai/gpt-4-turbo+processing=batch",
        "spanledger: it lacks dates at which prices of 1 models change: openai/o3",
    ]
    assert "give --force" in str(refused.exception)
    assert "nothing is written" in dry.stderr
    assert [ended.exit_code for ended in (refused, dry, forced)] == [1, 0, 0]
    assert _price_id(tmp_path / "home", "gpt-4") == "base-0.1.5:openai/gpt-4"


@pytest.mark.parametrize("name", ["empty", "broken"])
def test_a_folder_without_a_library_and_one_that_cannot_be_read_are_sentences(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    if name == "broken":
        (folder / "genai_prices").mkdir()
        for module in ("__init__.py", "data.py"):
            (folder / "genai_prices" / module).write_text("")

    ended = run(tmp_path / "home", "update", "--from", str(folder))

    assert ended.exit_code == 1
    assert ("holds no genai-prices" if name == "empty" else "this spanledger reads genai-prices 0.2.x") in str(
        ended.exception
    )


def test_without_the_library_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)

    ended = run(tmp_path, "update")

    assert "run: pip install -U genai-prices" in str(ended.exception)
