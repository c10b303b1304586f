"""The command line: every subcommand, what it prints, its exit code, and how fast it answers."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from assets.landed import observed
from definitions import build_defs
from espalier.cli.main import COMMANDS
from espalier.io.landing.zone import LandingZone
from espalier.stages.graph import CHAIN, MANIFEST

DENSITY, RANDOM = "density@0.3", "random@0.5:seed=7"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory, textures, espalier):
    """A home where the textures were pruned by two recipes, and what the commands said; read it only."""
    home = tmp_path_factory.mktemp("cli") / "home"
    answers = [
        espalier("prune", textures, "-m", "density", "-r", "0.3", "--json", home=home),
        espalier("prune", "textures", "-m", "random", "-r", "50%", "--param", "seed=7", "--json", home=home),
    ]
    return home, answers


@pytest.fixture
def own(tmp_path, pruned):
    """A copy of that home, to change."""
    return shutil.copytree(pruned[0], tmp_path / "home", symlinks=True)


# prune


def test_prune_prints_the_manifests_summary_as_json(pruned):
    home, (answer, _) = pruned
    summary = answer.json()
    assert summary["dataset"] == "textures"
    assert summary["recipe"] == DENSITY
    assert (summary["n_raw"], summary["n_unreadable"]) == (47, 2)
    assert summary["n_total"] == 45 - summary["n_duplicates"]
    assert summary["n_kept"] == -(-3 * summary["n_total"] // 10)
    assert summary["manifest"] == str(home / "manifests" / "textures" / DENSITY)
    assert len((Path(summary["manifest"]) / "kept.txt").read_text().splitlines()) == summary["n_kept"]
    assert summary["ran"] == [*CHAIN, MANIFEST]


def test_a_second_recipe_runs_only_the_manifests_step_as_the_runs_events_show(pruned):
    home, (_, answer) = pruned
    summary = answer.json()
    assert summary["ran"] == [MANIFEST]
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        (run_id,) = summary["runs"]
        started = [e.dagster_event.step_key for e in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_START)]
        assert started == [MANIFEST]
        assert instance.get_dynamic_partitions("dataset") == ["textures"]
        assert set(instance.get_dynamic_partitions("recipe")) == {DENSITY, RANDOM}


def test_the_page_shows_raw_dataset_as_outdated_when_what_landed_changed_and_not_before(own, textures):
    with dg.DagsterInstance.from_config(str(own / "dagster")) as instance:
        (seen,) = instance.fetch_observations(dg.AssetKey("landed"), limit=9).records
        assert seen.partition_key == "textures"
        assert _stale_status(instance, "textures") == "FRESH"
        listing = LandingZone(own / "landing").fingerprint("textures")
        instance.report_runless_asset_event(observed("textures", listing))
        assert _stale_status(instance, "textures") == "FRESH", "seen again, unchanged"
        instance.report_runless_asset_event(observed("textures", replace(listing, fingerprint="another")))
        assert _stale_status(instance, "textures") == "STALE"


def _stale_status(instance, partition):
    """The status of raw_dataset's partition as the page computes it."""
    from dagster._core.definitions.data_version import CachingStaleStatusResolver
    from dagster._core.loader import LoadingContextForTest

    graph = build_defs().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return resolver.get_status(dg.AssetKey("raw_dataset"), partition).value


def test_the_same_again_runs_nothing_and_says_the_same(pruned, espalier, files_below):
    home, (first, _) = pruned
    before = files_below(home)
    again = espalier("prune", "textures", "--recipe", "density@30%", "--json", home=home).json()
    assert (again["ran"], again["runs"]) == ([], [])
    assert {k: v for k, v in first.json().items() if k not in ("ran", "runs")} == {
        k: v for k, v in again.items() if k not in ("ran", "runs")
    }
    assert files_below(home) == before


def test_prune_says_in_words_what_it_kept_and_where(pruned, espalier):
    home, (first, _) = pruned
    summary, said = first.json(), espalier("prune", "textures", "-m", "density", "-r", "0.3", home=home)
    assert said.code == 0
    assert f"density@0.3: kept {summary['n_kept']} of {summary['n_total']}" in said.out
    assert "47 samples, 2 unreadable, 2 exact copies, 3 near duplicates" in said.out
    assert f"manifest: {summary['manifest']}" in said.out


def test_json_is_all_that_goes_to_stdout_and_progress_goes_to_stderr(pruned):
    _, (answer, _) = pruned
    assert answer.out.count("\n") == 1
    for stage in ("reading files", "duplicates", "embedding", "clustering"):
        assert stage in answer.err


def test_a_changed_option_is_kept_in_the_card_and_reruns_what_depends_on_it(own, espalier, textures):
    summary = espalier("prune", "textures", "-m", "density", "-r", "0.3", "--option", "k=3", "--json", home=own).json()
    assert summary["ran"] == ["clusters", "cluster_complexity", MANIFEST]
    assert "k: 3" in (own / "landing" / "textures.yaml").read_text()
    again = espalier("prune", textures, "-m", "density", "-r", "0.3", "--json", home=own).json()
    assert again["ran"] == []


def test_a_manifest_whose_folder_is_gone_is_written_again(own, espalier):
    shutil.rmtree(own / "manifests")
    summary = espalier("prune", "textures", "--recipe", DENSITY, "--json", home=own).json()
    assert summary["ran"] == [MANIFEST]
    assert (Path(summary["manifest"]) / "kept.txt").exists()


def test_a_damaged_table_is_named_and_once_deleted_made_anew(own, espalier):
    damaged = own / "warehouse" / "clusters" / "textures.duckdb"
    damaged.write_bytes(b"not a database" * 100)
    said = espalier("prune", "textures", "--recipe", DENSITY, home=own)
    assert said.code == 1
    assert f"{damaged} cannot be read" in said.err
    damaged.unlink()
    summary = espalier("prune", "textures", "--recipe", DENSITY, "--json", home=own).json()
    assert summary["ran"][:2] == ["clusters", "cluster_complexity"]


def test_two_at_a_time_on_a_fresh_home_both_succeed_with_the_same_rows(tmp_path, textures):
    """They make Dagster's databases, embed and store at once."""
    environment = {**os.environ, "ESPALIER_HOME": str(tmp_path / "home")}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "espalier.cli", "prune", str(textures), "--recipe", recipe, "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for recipe in (DENSITY, RANDOM)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], [err for _, err in said]
    first, second = (json.loads(out) for out, _ in said)
    assert first["n_total"] == second["n_total"]
    for summary in (first, second):
        assert len((Path(summary["manifest"]) / "kept.txt").read_text().splitlines()) == summary["n_kept"]


# land, status, methods, sql


def test_land_writes_a_card_and_nothing_else(tmp_path, textures, espalier, files_below):
    said = espalier("land", textures, "--name", "stones", "--option", "k=5", "--json", home=tmp_path / "home")
    assert said.json() == {"dataset": "stones", "uri": str(textures), "format": None, "options": {"k": 5}}
    assert list(files_below(tmp_path / "home")) == ["landing/stones.yaml"]
    again = espalier("land", textures, "--name", "stones", home=tmp_path / "home")
    assert f"Landed stones: {textures}" in again.out
    assert "espalier prune stones" in again.out
    assert "k: 5" in (tmp_path / "home" / "landing" / "stones.yaml").read_text()


def test_status_tells_what_is_fresh_and_what_is_stale_and_why(own, espalier, textures):
    fresh = espalier("status", "--json", home=own).json()
    (one,) = fresh["datasets"]
    assert fresh["home"] == str(own)
    assert one["dataset"] == "textures"
    assert {stage: s["stale"] for stage, s in one["stages"].items()} == dict.fromkeys(CHAIN)
    assert one["stages"]["raw_dataset"]["rows"] == 47
    assert [(m["recipe"], m["stale"]) for m in one["manifests"]] == [(DENSITY, None), (RANDOM, None)]
    espalier("land", textures, "--option", "n_neighbors=2", home=own)
    (one,) = espalier("status", "textures", "--json", home=own).json()["datasets"]
    assert {k: s["stale"] for k, s in one["stages"].items() if s["stale"]} == {
        "cluster_complexity": "options changed: n_neighbors"
    }
    assert {m["stale"] for m in one["manifests"]} == {"the chain is stale"}
    words = espalier("status", home=own).out
    assert "options changed: n_neighbors" in words
    assert "fresh" in words


def test_status_of_a_home_that_is_not_there_says_how_to_start_and_makes_nothing(tmp_path, espalier):
    said = espalier("status", home=tmp_path / "none")
    assert said.out == "Nothing has landed yet. Start with: espalier prune PATH/TO/IMAGES\n"
    assert espalier("status", "--json", home=tmp_path / "none").json()["datasets"] == []
    assert not (tmp_path / "none").exists()


def test_status_goes_on_past_a_faulty_card(own, espalier):
    (own / "landing" / "broken.yaml").write_text("uri: [not, a, place]\n")
    found = espalier("status", "--json", home=own).json()
    assert [d["dataset"] for d in found["datasets"]] == ["textures"]
    assert "uri is" in found["problems"]["broken"]
    assert "broken" in espalier("status", home=own).out


def test_methods_lists_each_with_its_parameters(tmp_path, espalier):
    from espalier.core.prune import METHODS
    from espalier.core.recipe import Recipe

    listed = espalier("methods", "--json", home=tmp_path).json()
    assert [m["method"] for m in listed] == list(METHODS)
    for method in listed:
        for name, parameter in method["params"].items():
            default = parameter["default"]
            if default != "" and isinstance(default, str | int | float) and not isinstance(default, bool):
                Recipe.build(method["method"], "0.5", {name: str(default)})
    words = espalier("methods", home=tmp_path).out
    assert all(name in words for name in METHODS)


def test_sql_prints_a_table_or_an_array_of_objects(pruned, espalier):
    home, _ = pruned
    query = "select dataset, recipe, count(*) as n from pruned_manifest group by all order by all"
    assert espalier("sql", query, "--json", home=home).json() == [
        {"dataset": "textures", "recipe": DENSITY, "n": 47},
        {"dataset": "textures", "recipe": RANDOM, "n": 47},
    ]
    assert espalier("sql", "from clusters where false", "--json", home=home).json() == []
    shown = espalier("sql", "select sample_id from raw_dataset order by 1", "--limit", "3", home=home)
    assert shown.out.count(".png") == 3
    assert "Only the first 3 rows are shown" in shown.err
    assert len(espalier("sql", "from raw_dataset", "--json", home=home).json()) == 47


# forget


def test_forgetting_a_recipe_takes_its_manifest_and_leaves_the_rest(own, espalier):
    said = espalier("forget", "textures", "--recipe", "random@50%:seed=7", "--yes", "--json", home=own).json()
    assert said == {"dataset": "textures", "recipe": RANDOM, "tables_removed": 1}
    assert [p.name for p in (own / "manifests" / "textures").iterdir() if not p.name.startswith(".")] == [DENSITY]
    assert espalier("prune", "textures", "--recipe", DENSITY, "--json", home=own).json()["ran"] == []


def test_forgetting_a_dataset_leaves_its_files_and_nothing_of_ours(own, espalier, files_below, textures):
    theirs = files_below(textures)
    said = espalier("forget", "textures", home=own, stdin="y\n")
    assert said.code == 0
    assert "your files are where they were" in said.out
    assert files_below(textures) == theirs
    assert [f for f in files_below(own) if not f.startswith("models/")] == []
    with dg.DagsterInstance.from_config(str(own / "dagster")) as instance:
        assert instance.get_dynamic_partitions("dataset") == []
    summary = espalier("prune", textures, "--recipe", DENSITY, "--json", home=own).json()
    assert summary["ran"] == [*CHAIN, MANIFEST], "a namesake starts anew"


def test_forget_asks_first_and_a_no_changes_nothing(own, espalier, files_below):
    before = files_below(own)
    said = espalier("forget", "textures", home=own, stdin="n\n")
    assert said.code == 1
    assert files_below(own) == before
    unasked = espalier("forget", "textures", "--json", home=own)
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    assert files_below(own) == before


def test_a_dataset_whose_card_is_faulty_or_gone_can_be_forgotten(own, espalier, files_below):
    (own / "landing" / "textures.yaml").write_text("uri: /there/is/nothing\n")
    assert espalier("forget", "textures", "--yes", home=own).code == 0
    assert [f for f in files_below(own) if not f.startswith("models/")] == []


def test_a_dataset_that_has_only_tables_can_be_forgotten(own, espalier, files_below):
    (own / "landing" / "textures.yaml").unlink()
    assert espalier("forget", "textures", "--yes", home=own).code == 0
    assert [f for f in files_below(own) if not f.startswith("models/")] == []


@pytest.mark.parametrize("recipe", ["../../../landing", "density@0.9", "nonsense", "density@0.3/../../x"])
def test_forget_takes_no_recipe_that_is_not_there(own, espalier, files_below, recipe):
    before = files_below(own)
    said = espalier("forget", "textures", "--recipe", recipe, "--yes", home=own)
    assert said.code == 2
    assert files_below(own) == before


def test_data_in_the_landing_zone_goes_only_when_that_is_asked_for(tmp_path, textures, espalier):
    home = tmp_path / "home"
    shutil.copytree(textures, home / "landing" / "mine")
    said = espalier("forget", "mine", "--yes", home=home)
    assert said.code == 2
    assert "--delete-data" in said.err
    assert (home / "landing" / "mine" / "leaf").exists()
    assert espalier("forget", "mine", "--yes", "--delete-data", home=home).code == 0
    assert not (home / "landing" / "mine").exists()


# help, speed, exit codes


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(tmp_path, espalier, name):
    said = espalier(name, "--help", home=tmp_path / "none")
    assert said.code == 0
    assert "Usage: espalier" in said.out
    if name not in ("methods", "demo"):
        assert re.search(rf"^ +espalier {name}\b", said.out, re.MULTILINE), "no example"
    assert not (tmp_path / "none").exists()


def test_help_answers_at_once_and_imports_nothing_heavy():
    """Under half a second of processor time, the least of five: wall time also counts what else runs here."""
    code = """
        import json, sys
        from espalier.cli.main import main
        try:
            main(["--help"])
        except SystemExit as end:
            heavy = {m.split(".")[0] for m in sys.modules}
            print(json.dumps([end.code, sorted(heavy)]), file=sys.stderr)
    """
    import textwrap

    took = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    code, modules = json.loads(out.stderr)
    assert code == 0
    assert all(name in out.stdout for name in COMMANDS)
    assert not {"dagster", "duckdb", "numpy", "pyarrow", "openvino", "faiss", "rich", "yaml", "PIL"} & set(modules)
    assert min(took) < 0.5


@pytest.mark.parametrize("name", ["status", "methods", "sql", "land"])
def test_commands_that_launch_nothing_do_not_import_dagster(tmp_path, textures, name):
    arguments = {"status": [], "methods": [], "sql": ["select 1"], "land": [str(textures)]}[name]
    code = f"""
        import sys
        from espalier.cli.main import main
        try:
            main({[name, *arguments]!r})
        except SystemExit as end:
            print(end.code or 0, "dagster" in sys.modules, "openvino" in sys.modules)
    """
    import textwrap

    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "ESPALIER_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.splitlines()[-1] == "0 False False"


def test_wrong_use_is_2_a_version_is_0_and_the_home_may_be_an_option(tmp_path, espalier, textures):
    assert espalier("--version", home=tmp_path).out.startswith("espalier, version ")
    for wrong in (["prun"], ["prune"], ["prune", "x", "--wrong"], ["sql"], ["land"]):
        said = espalier(*wrong, home=tmp_path)
        assert said.code == 2, wrong
        assert "Usage:" in said.err
    espalier("--home", tmp_path / "given", "land", textures, home=tmp_path / "not-this")
    assert (tmp_path / "given" / "landing" / "textures.yaml").exists()
    assert not (tmp_path / "not-this").exists()


def test_a_port_that_is_taken_is_refused_before_anything_starts(tmp_path, espalier):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = espalier("ui", "-p", port, home=tmp_path / "home")
    assert said.code == 1
    assert f"127.0.0.1:{port}" in said.err
    assert "espalier ui -p" in said.err
    assert not (tmp_path / "home").exists()


def test_ctrl_c_ends_a_run_with_one_line_and_what_was_finished_is_kept(tmp_path, textures, espalier):
    process = subprocess.Popen(
        [sys.executable, "-m", "espalier.cli", "prune", str(textures), "-m", "random", "-r", "0.5"],
        env={**os.environ, "ESPALIER_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(90, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            if "embedding" in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    finally:
        watchdog.cancel()
        process.kill()
    assert process.returncode == 1
    assert "Traceback" not in out + err
    assert "Interrupted. What was finished is kept" in err
    again = espalier("prune", "textures", "-m", "random", "-r", "0.5", "--json", home=tmp_path / "home").json()
    assert again["ran"][0] == "embeddings"


def test_output_into_a_closed_pipe_is_no_error(pruned):
    home, _ = pruned
    command = f"{sys.executable} -m espalier.cli sql 'from raw_dataset, range(2000)' --json | head -1"
    out = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        env={**os.environ, "ESPALIER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.stdout.startswith("[{")
    assert "Traceback" not in out.stderr


def test_the_program_ends_with_the_code_of_the_command_and_has_said_everything(tmp_path):
    environment = {**os.environ, "ESPALIER_HOME": str(tmp_path / "home")}
    wrong = subprocess.run(
        [sys.executable, "-m", "espalier.cli", "nope"], capture_output=True, text=True, env=environment
    )
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (2, "Error: No such command 'nope'.")
    absent = subprocess.run(
        [sys.executable, "-m", "espalier.cli", "why", "absent", "x"], capture_output=True, text=True, env=environment
    )
    assert absent.returncode == 2
    assert absent.stderr.startswith("error: There is no dataset 'absent'.")
    right = subprocess.run(
        [sys.executable, "-m", "espalier.cli", "methods", "--json"], capture_output=True, text=True, env=environment
    )
    assert right.returncode == 0
    assert {"density", "random"} <= {one["method"] for one in json.loads(right.stdout)}
