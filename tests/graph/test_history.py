"""What a stage reads beside its inputs: other datasets, and the partition that it replaces. All of it is declared."""

import shutil

import dagster as dg
import pytest

from assets.partitions import DATASET
from espalier.stages.graph import CHAIN, HISTORY
from espalier.stages.staleness import Staleness
from resources import HomeResource
from sensors.references import reference_sensor

STAGES = ("raw_dataset", "dedup_set")


def folder(kit, path, numbers):
    path.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        kit.texture(number).save(path / f"{number:03}.png")
    return path


@pytest.fixture
def pair(tmp_path, kit):
    """The dataset `set`, and `other` that is compared with it; they share no picture."""
    chain = kit.Chain(tmp_path / "home", folder(kit, tmp_path / "set", range(6)))
    chain.zone.land(folder(kit, tmp_path / "other", range(50, 54)), "other")
    chain.zone.set_references("other", ["set"])
    assert chain.succeeded(chain.run(*STAGES))
    assert chain.succeeded(chain.run(*STAGES, dataset="other"))
    return chain


def of_other(chain):
    return chain.home.store().need("dedup_set", "other")


def plant(chain, kit):
    """Put a copy of a picture of `other` into `set`, and make that anew."""
    kit.texture(50).save(chain.data / "planted.png")
    assert chain.succeeded(chain.run(*STAGES))


def tick(chain):
    resources = {"home": HomeResource(path=str(chain.home.root))}
    with dg.build_sensor_context(chain.instance, resources=resources) as context:
        return reference_sensor(context)


def test_a_copy_that_comes_to_a_referenced_dataset_later_is_seen(pair, kit):
    assert of_other(pair).meta.stats["n_leaks"] == 0
    plant(pair, kit)
    stale = Staleness(pair.home, "other").stages(STAGES)
    assert stale == {"dedup_set": "inputs changed: dedup_set of set, raw_dataset of set"}
    assert pair.succeeded(pair.run("dedup_set", dataset="other"))
    assert of_other(pair).meta.stats["n_leaks"] == 1
    assert Staleness(pair.home, "other").stages(STAGES) == {}


def test_the_versions_of_referenced_datasets_are_inputs_and_stand_in_the_page(pair):
    result = pair.run("dedup_set", dataset="other")
    store = pair.home.store()
    expected = {f"{a} of set": store.need(a, "set").meta.data_version for a in ("raw_dataset", "dedup_set")}
    assert expected.items() <= of_other(pair).meta.inputs.items()
    (event,) = result.asset_materializations_for_node("dedup_set")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert {f"also read: {name}": version for name, version in expected.items()}.items() <= shown.items()


def test_the_reference_sensor_asks_for_what_was_compared_with_other_rows(pair, kit):
    assert isinstance(tick(pair), dg.SkipReason)
    plant(pair, kit)
    (request,) = tick(pair).run_requests
    assert request.partition_key == "other"
    assert tick(pair).run_requests[0].run_key == request.run_key, "a run that failed is not asked for at every tick"
    assert pair.succeeded(pair.run("dedup_set", dataset="other"))
    assert isinstance(tick(pair), dg.SkipReason)


def test_the_reference_sensor_waits_for_a_reference_that_is_not_made_and_for_a_first_run(pair, kit, tmp_path):
    pair.zone.land(folder(kit, tmp_path / "third", [70]), "third")
    pair.zone.set_references("third", ["set"])
    pair.instance.add_dynamic_partitions(DATASET, ["third"])
    pair.zone.set_references("other", ["set", "third"])
    assert isinstance(tick(pair), dg.SkipReason)
    assert pair.succeeded(pair.run(*STAGES, dataset="third"))
    assert [r.partition_key for r in tick(pair).run_requests] == ["other"]


def stories(chain):
    """The rows of the stages that may grow, as they would be shown."""
    return {name: chain.table(name).arrow(["*"]).to_pylist() for name in ("dedup_set", "semantic_dedup_set")}


@pytest.fixture
def late(tmp_path, kit):
    """A chain whose best copies came after what they copy; what a fresh home makes of the same files."""
    data = folder(kit, tmp_path / "data", range(20))
    chain = kit.Chain(tmp_path / "home", data)
    chain.zone.land(data, "set", options={"eps": 0.4, "semantic_k": 2})
    assert chain.succeeded(chain.run())
    kit.texture(3).resize((200, 200)).save(data / "003-larger.png")
    folder(kit, data, range(30, 36))
    assert chain.succeeded(chain.run())
    fresh = kit.Chain(tmp_path / "fresh", data)
    fresh.zone.land(data, "set", options={"eps": 0.4, "semantic_k": 2})
    assert fresh.succeeded(fresh.run())
    return chain, fresh


def test_rows_that_depend_on_what_they_replaced_name_it_among_their_inputs(late):
    chain, fresh = late
    assert chain.rows("dedup_set")["003-larger.png"]["duplicate_of"] == "003.png"
    assert fresh.rows("dedup_set")["003.png"]["duplicate_of"] == "003-larger.png"
    assert {n for n in CHAIN if HISTORY in chain.table(n).meta.inputs} == {"dedup_set", "semantic_dedup_set"}
    assert not any(HISTORY in fresh.table(n).meta.inputs for n in CHAIN)
    assert Staleness(chain.home, "set").stages() == {}, "what was replaced is gone and outdates nothing"
    assert Staleness(chain.home, "set").grown().keys() == {"dedup_set", "semantic_dedup_set"}


def test_a_smaller_eps_answered_from_stored_pairs_says_so(late):
    _, fresh = late
    before = fresh.table("semantic_dedup_set").meta.data_version
    fresh.zone.land(fresh.data, "set", options={"eps": 0.3})
    assert fresh.succeeded(fresh.run("semantic_dedup_set"))
    assert fresh.table("semantic_dedup_set").meta.inputs[HISTORY] == before


@pytest.mark.parametrize("command", [("prune", "set", "-m", "random", "-r", "0.5"), ("dedup", "set")])
def test_afresh_gives_what_a_fresh_home_gives_byte_for_byte(late, espalier, command):
    chain, fresh = late
    assert stories(chain) != stories(fresh)
    state = espalier("status", "set", "--json", home=chain.home.root).json()["datasets"][0]["stages"]
    assert {name for name, stage in state.items() if stage["grown_from"]} == {"dedup_set", "semantic_dedup_set"}
    assert "fresh, grown" in espalier("status", "set", home=chain.home.root).out
    for home, more in ((chain.home.root, ["--afresh"]), (fresh.home.root, [])):
        answer = espalier(*command, *more, home=home)
        assert answer.code == 0, answer.err
    assert stories(chain) == stories(fresh)
    for name in STAGES:
        assert chain.table(name).meta.data_version == fresh.table(name).meta.data_version
    assert "grown" not in espalier("status", "set", home=chain.home.root).out
    folders = [one.home.manifests / "set" / "random@0.5" for one in (chain, fresh)]
    if command[0] == "prune":
        for name in ("manifest.parquet", "kept.txt", "kept.marisa", "kept_uids.npy", "summary.json"):
            assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_afresh_reads_every_file_again_and_what_was_stored_stays_when_it_fails(late, espalier):
    chain, _ = late
    version = chain.table("raw_dataset").meta.data_version
    shutil.rmtree(chain.data)
    chain.data.mkdir()
    (chain.data / "torn.png").write_bytes(b"torn")
    assert espalier("dedup", "set", "--afresh", home=chain.home.root).code == 1
    assert chain.table("raw_dataset").meta.data_version == version
    assert chain.table("dedup_set").meta.n_rows == 27


def test_the_launchpad_has_the_switch_too(late):
    chain, fresh = late
    config = {name: {"afresh": True} for name in ("raw_dataset", "dedup_set", "semantic_dedup_set")}
    assert chain.succeeded(chain.run(config=config))
    assert stories(chain) == stories(fresh)
