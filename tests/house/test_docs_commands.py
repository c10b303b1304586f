"""The commands on the pages, in help texts and in the Makefile are there, with the options that they are shown with."""

import inspect
import itertools
import re
import runpy
import shlex
import shutil
from pathlib import Path

import click
import pytest

from espalier.cli.main import COMMANDS, group
from espalier.io.landing.zone import LandingZone
from espalier.stages.graph import COMPARISON
from espalier.stages.options import StageOptions

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z_-]*")
FOREIGN = set("--working_subset --duplicated_subset --num_cut --over_sample --under_sample --stage --density".split())
"""Options of the programs that the pages compare with."""


def loaded(command, path):
    """The commands below a group by what is typed, such as ``models add``."""
    if not isinstance(command, click.Group):
        return {path: command}
    context = click.Context(command)
    names = command.list_commands(context)
    return {k: v for name in names for k, v in loaded(command.get_command(context, name), f"{path} {name}").items()}


TYPED = loaded(group, "espalier")
HELP = {name: inspect.cleandoc(command.help or "") for name, command in TYPED.items()}
SHOWN = [
    (page.name, line) for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines()
]
SHOWN += [(name, line) for name, text in HELP.items() for line in text.splitlines()]
SHOWN = [(where, line.removeprefix(".venv/bin/")) for where, line in SHOWN]
NAMED = [
    (page.name, code.replace("\\|", "|"))
    for page in PAGES
    for code in re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text()))
]


def words_of(line):
    words = shlex.split(line, comments=True)
    return list(itertools.takewhile(lambda word: word not in (">", ">>", "|"), words))


def command_of(words):
    """The command that the words begin with, and what it is given."""
    typed = max((name for name in TYPED if words[: name.count(" ") + 1] == name.split()), key=len)
    return TYPED[typed], words[typed.count(" ") + 1 :]


def options_of(command):
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


@pytest.mark.parametrize(("where", "line"), [(w, line) for w, line in SHOWN if line.startswith("espalier ")])
def test_a_command_that_is_shown_can_be_typed(where, line):
    command, given = command_of(words_of(line))
    command.make_context("espalier", given)


@pytest.mark.parametrize(("where", "code"), [(w, code) for w, code in NAMED if re.match(r"(espalier|prune) ", code)])
def test_a_command_that_is_named_has_the_options_named_with_it(where, code):
    first, _, rest = code.removeprefix("espalier ").partition(" ")
    options, below = set(OPTION.findall(rest)), rest.partition(" ")[0].strip("[]").split("|")
    for name in first.split("|"):
        assert name in COMMANDS
        commands = [command for typed, command in TYPED.items() if typed.split()[1] == name]
        known = set().union(*map(options_of, commands))
        assert options <= known, options - known
        if len(commands) > 1:
            assert set(below) <= {typed.split()[2] for typed in TYPED if typed.split()[1] == name}


@pytest.mark.parametrize(("where", "code"), [(w, code) for w, code in NAMED if code.startswith("-")])
def test_an_option_that_is_named_is_one_of_some_command(where, code):
    known = set().union(*map(options_of, TYPED.values())) | {"-h", "--help"}
    assert set(OPTION.findall(code)) <= known | FOREIGN


@pytest.mark.parametrize("name", TYPED)
def test_every_help_text_has_an_example(name):
    assert any(line.startswith(name) for line in HELP[name].splitlines())


QUERIES = [words_of(line)[2] for _, line in SHOWN if line.startswith("espalier sql ")]
QUERIES += [words_of(code)[2] for _, code in NAMED if code.startswith("espalier sql ")]


@pytest.fixture(scope="module")
def compared(grown, new_chain, tmp_path_factory):
    """A home with every asset that the pages query."""
    copy = shutil.copytree(grown[0].home.root, tmp_path_factory.mktemp("queried") / "home", symlinks=True)
    chain = new_chain(copy, grown[0].data)
    few = {"compare_methods": ["density"], "compare_ratios": ["0.5"], "quality_seeds": 1}
    assert chain.succeeded(chain.run(COMPARISON, config={COMPARISON: few}))
    return copy


@pytest.mark.parametrize("query", sorted({*QUERIES} - {"select ..."}))
def test_a_query_that_is_shown_has_an_answer(compared, espalier, query):
    said = espalier("sql", query, "--json", home=compared)
    assert said.code == 0, said.err


CARDS = [
    (page.name, text) for page in PAGES for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)
]


@pytest.mark.parametrize(("page", "text"), CARDS)
def test_a_card_that_is_shown_is_read_with_its_options(tmp_path, page, text):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos.yaml").write_text(re.sub(r"^uri: .*\n", "", text))
    StageOptions.of_card(LandingZone(tmp_path).card("photos"))


def test_the_python_on_the_page_about_exploring_runs_as_it_stands(regrown, monkeypatch):
    (block,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/explore.md").read_text(), re.M | re.S)
    monkeypatch.setenv("ESPALIER_HOME", str(regrown.home.root))
    names = {}
    exec(
        compile(block.replace('"photos"', '"set"').replace("cat/0001.jpg", "moss/02.png"), "docs/explore.md", "exec"),
        names,
    )
    assert names["photos"].rows.names == ("set",)


TARGETS = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.M)


def test_every_make_target_that_is_shown_is_there():
    shown = [line.split()[1] for _, line in SHOWN if line.startswith("make ")]
    assert {"demo", "test", "check"} <= set(shown)
    assert set(shown) <= set(TARGETS)


def test_every_benchmark_is_run_or_said_to_need_data():
    run_all = runpy.run_path(str(ROOT / "benchmarks/run_all.py"))
    there = {path.stem for path in (ROOT / "benchmarks").glob("bench_*.py")}
    assert {name.removesuffix(".py") for name, *_ in run_all["RUNS"]} | set(
        re.findall(r"bench_\w+", run_all["__doc__"])
    ) == there
    named = set(re.findall(r"\b(bench_\w+)\.py", "\n".join(page.read_text() for page in PAGES)))
    assert named <= there


def anchors(page):
    """The anchors of a page's headings, as the page is shown on a code host."""
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_pages_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            file = page.parent / name if name else page
            assert file.is_file(), target
            assert not anchor or anchor in anchors(file), target
