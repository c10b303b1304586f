"""A deployment may give each step a process of its own: the same tables come out."""

import dagster as dg
import pytest

from assets.partitions import DATASET
from definitions import build_defs
from espalier.cli.launch import open_instance, prepare
from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone
from espalier.stages.graph import CHAIN

pytestmark = pytest.mark.slow


def chain_job() -> dg.JobDefinition:
    """As Dagster loads it from the definitions."""
    return build_defs().resolve_job_def("chain")


def test_a_process_a_step_makes_what_one_process_makes(grown, textures, tmp_path, monkeypatch):
    chain, _ = grown
    home = prepare(Home.find(tmp_path / "home"))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    monkeypatch.setenv("ESPALIER_HOME", str(home.root))
    monkeypatch.setenv("ESPALIER_EXECUTOR", "multiprocess")
    LandingZone(home.landing).land(textures, "set")
    with open_instance(home) as instance:
        instance.add_dynamic_partitions(DATASET, ["set"])
        tags = {"dagster/partition": "set"}
        with dg.execute_job(dg.reconstructable(chain_job), instance, tags=tags) as result:
            assert result.success
        pids = {e.dagster_event.pid for e in instance.all_logs(result.run_id, of_type=dg.DagsterEventType.STEP_START)}
    assert len(pids) == len(CHAIN)
    for name in CHAIN:
        assert home.store().get(name, "set").meta.data_version == chain.table(name).meta.data_version, name
