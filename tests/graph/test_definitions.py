"""The graph as Dagster loads it: it validates, every asset says what it is, and its shape is a table to read."""

import json
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest

import definitions
from definitions import build_defs
from espalier.core.errors import UsageError
from espalier.io.home import Home
from espalier.stages.graph import CHAIN, MANIFEST, STAGES
from resources import HomeResource, ProgressResource

ROOT = Path(definitions.__file__).parent

SHAPE = """
raw_dataset         dataset          on demand  <-
dedup_set           dataset          eager      <- raw_dataset
embeddings          dataset          eager      <- raw_dataset dedup_set
semantic_dedup_set  dataset          eager      <- raw_dataset embeddings
clusters            dataset          eager      <- raw_dataset embeddings semantic_dedup_set
cluster_complexity  dataset          eager      <- raw_dataset clusters
pruned_manifest     dataset x recipe eager      <- raw_dataset dedup_set embeddings semantic_dedup_set clusters cluster_complexity
subset_quality      dataset x recipe eager      <- raw_dataset embeddings semantic_dedup_set clusters pruned_manifest
comparison          dataset          on demand  <- raw_dataset dedup_set embeddings semantic_dedup_set clusters cluster_complexity
pruned_dataset      dataset x recipe on demand  <- raw_dataset pruned_manifest
"""  # noqa: E501


@pytest.fixture(scope="module")
def defs():
    return build_defs()


@pytest.fixture(scope="module")
def specs(defs):
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_the_graph_has_this_shape(specs):
    lines = []
    for name in STAGES:
        spec = specs[name]
        partitions = spec.partitions_def
        dimensions = (
            [d.name for d in partitions.partitions_defs]
            if isinstance(partitions, dg.MultiPartitionsDefinition)
            else [partitions.name]
        )
        above = {dep.asset_key.to_user_string() for dep in spec.deps}
        lines.append(
            f"{name:<19} {' x '.join(dimensions):<16} {'eager' if spec.automation_condition else 'on demand':<10} <- "
            f"{' '.join(stage for stage in STAGES if stage in above)}".rstrip()
        )
    assert "\n".join(lines) == SHAPE.strip()
    assert specs.keys() == {"landed", *STAGES}
    assert [dep.asset_key.to_user_string() for dep in specs["raw_dataset"].deps] == ["landed"]


def test_groups_read_from_what_landed_to_subsets_and_tags_say_what_starts_an_asset(specs):
    groups, tags = {}, {}
    for name in ("landed", *STAGES):
        groups.setdefault(specs[name].group_name, []).append(name)
        tags.setdefault(specs[name].tags["espalier/starts"], []).append(name)
    assert list(groups) == ["landing", "duplicates", "embeddings", "clusters", "subsets"]
    assert groups["landing"] == ["landed", "raw_dataset"]
    assert (tags["outside"], tags["landing"]) == (["landed"], ["raw_dataset"])
    assert tags["on-demand"] == ["comparison", "pruned_dataset"]
    per_recipe = [name for name in STAGES if specs[name].tags["espalier/per"] == "recipe"]
    assert per_recipe == [name for name, stage in STAGES.items() if stage.per_recipe]


def test_what_landed_is_made_by_nothing_here(defs, specs):
    graph = defs.resolve_asset_graph()
    assert graph.external_asset_keys == {specs["landed"].key}
    assert specs["landed"].partitions_def == specs["raw_dataset"].partitions_def


def test_every_stage_takes_a_pool_and_only_the_encoder_that_of_the_gpu(defs):
    pools = {name: defs.resolve_assets_def(name).op.pool for name in STAGES}
    assert pools == {name: "gpu" if name == "embeddings" else "cpu" for name in STAGES}


def test_the_executor_is_a_setting_of_the_deployment(monkeypatch):
    for setting, executor in {
        "": dg.in_process_executor,
        "multiprocess": dg.multiprocess_executor,
        "dagster:multi_or_in_process_executor": dg.multi_or_in_process_executor,
    }.items():
        monkeypatch.setenv("ESPALIER_EXECUTOR", setting)
        assert build_defs().resolve_job_def("chain").executor_def is executor
    for wrong in ("celery", "dagster:asset"):
        monkeypatch.setenv("ESPALIER_EXECUTOR", wrong)
        with pytest.raises(UsageError, match=f"ESPALIER_EXECUTOR='{wrong}' is no executor"):
            build_defs()


@pytest.mark.parametrize("name", STAGES)
def test_every_asset_says_what_it_is(defs, specs, name):
    spec = specs[name]
    assert spec.owners == ["team:espalier"]
    assert spec.group_name not in (None, "", "default")
    assert len(spec.kinds) >= 2
    assert len(spec.description.split()) > 10
    assert spec.code_version == STAGES[name].version
    if name in (*CHAIN, MANIFEST):
        assert defs.resolve_asset_graph().get_check_keys_for_assets({spec.key}), "an asset without an invariant"


def test_every_library_among_the_kinds_is_loaded_by_a_run_from_files_to_a_manifest(specs, textures, tmp_path):
    libraries = {kind for spec in specs.values() for kind in spec.kinds if find_spec(kind)}
    assert {"numpy", "duckdb", "openvino"} <= libraries
    code = f"""
        import atexit, json, sys
        from espalier.cli.main import main
        atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) & {libraries!r}))))
        main(["prune", {str(textures)!r}, "-m", "density", "-r", "0.5"])
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env=os.environ | {"ESPALIER_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(out.stdout.splitlines()[-1])) == libraries


def test_every_check_says_what_it_holds_and_those_of_taste_do_not_block(defs):
    graph = defs.resolve_asset_graph()
    checks = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    assert all(len(check.description.split()) > 3 for check in checks)
    blocking = {check.name for check in checks if check.blocking}
    assert {"ids_unique", "ids_known", "vectors_unit", "count_exact", "some_readable"} <= blocking
    assert "few_unreadable" not in blocking


def test_a_run_config_has_the_options_that_a_stage_depends_on_and_no_others(defs):
    for name, stage in STAGES.items():
        node = defs.resolve_assets_def(name).op
        fields = node.config_schema.config_type.fields
        assert fields.keys() == set(stage.options) | ({"afresh"} if stage.grows else set()), name
        assert all(not field.is_required for field in fields.values()), name
        assert all("default:" in field.description for field in fields.values()), name


def test_the_jobs_sensors_and_schedules_start_as_the_readme_says(defs):
    repository = defs.get_repository_def()
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert sensors.keys() == {"landing_sensor", "reference_sensor", "automation_sensor"}
    assert all(s.default_status == dg.DefaultSensorStatus.RUNNING for s in sensors.values())
    (refresh,) = repository.schedule_defs
    assert refresh.name == "refresh"
    assert refresh.default_status == dg.DefaultScheduleStatus.STOPPED
    jobs = {job.name for job in repository.get_all_jobs()}
    assert {"land", "chain", "manifests"} <= jobs
    assert [k.to_user_string() for k in defs.resolve_job_def("land").asset_layer.executable_asset_keys] == [
        "raw_dataset"
    ]
    for name in ("land", "chain", "manifests"):
        assert defs.resolve_job_def(name).executor_def is dg.in_process_executor


def test_the_definitions_validate_as_dagster_validates_them(defs):
    dg.Definitions.validate_loadable(defs)


def test_loading_the_definitions_touches_no_file_and_no_heavy_package(tmp_path):
    """Dagster loads them in every process; each second here is paid in every run."""
    code = """
        import sys
        import definitions
        heavy = {"openvino", "matplotlib", "datumaro", "ray", "sklearn", "torch", "faiss", "scipy"} & set(sys.modules)
        print(sorted(heavy))
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_the_workspace_file_loads_from_any_folder(tmp_path):
    """As the daemon and ``dagster definitions validate`` load it."""
    out = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")],
        cwd=tmp_path,
        env={"PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stderr[-2000:]


def test_a_misspelt_resource_is_refused_by_its_name():
    with pytest.raises(TypeError, match="'progres'"):
        build_defs(progres=ProgressResource())


def test_a_resource_given_takes_the_place_of_its_namesake(tmp_path):
    defs = build_defs(home=HomeResource(path=str(tmp_path / "elsewhere")))
    resources = defs.resources
    assert resources["home"].path == str(tmp_path / "elsewhere")
    assert resources["warehouse"].home.path == str(tmp_path / "elsewhere")
    assert not Home.find(tmp_path / "elsewhere").root.exists(), "nothing is opened before it is used"
