"""What must run again and why: decisions on records, on a made-up store."""

import dataclasses

import pytest

from espalier.io.warehouse import Meta
from espalier.stages.graph import CHAIN, HISTORY, MANIFEST, STAGES
from espalier.stages.staleness import current_inputs, stale_stages, why_stale

PARAMS = {name: {option: () for option in stage.options} for name, stage in STAGES.items()}


def record(name, **changed):
    reads = STAGES[name].reads
    inputs = {r: f"data of {r}" for r in reads} if reads else {"listing": "files"}
    meta = Meta(name, "set", "", STAGES[name].version, PARAMS[name], inputs, f"data of {name}")
    return dataclasses.replace(meta, **changed)


def store(**changed):
    """Records of a fresh chain; ``changed`` replaces some (None: never made)."""
    return {name: record(name) for name in CHAIN} | changed


def stale(records, params=PARAMS, listing="files"):
    return stale_stages(records.get, params.__getitem__, listing)


def test_nothing_is_stale_when_nothing_changed():
    assert stale(store()) == {}


def test_an_empty_store_makes_everything_in_order():
    assert tuple(stale({})) == CHAIN
    assert stale({})["raw_dataset"] == "never made"


def test_changed_files_make_everything_stale():
    found = stale(store(), listing="other files")
    assert tuple(found) == CHAIN
    assert found["raw_dataset"] == "inputs changed: listing"
    assert found["dedup_set"] == "raw_dataset runs again"


def below(name):
    """The stages below one, found by another route: by following what each reads."""
    reached = {name}
    for stage in STAGES.values():
        if reached & set(stage.reads):
            reached.add(stage.name)
    return tuple(s for s in CHAIN if s in reached)


@pytest.mark.parametrize("name", CHAIN)
def test_a_missing_an_older_and_a_reoptioned_stage_each_take_those_below_with_them(name):
    for changed, reason in (
        (None, "never made"),
        (record(name, code_version="0"), f"code version 0 is now {STAGES[name].version}"),
        (record(name, params={}), "options changed" if STAGES[name].options else None),
    ):
        found = stale(store(**{name: changed}))
        if reason is None:
            continue
        assert tuple(found) == below(name)
        assert found[name].startswith(reason)


@pytest.mark.parametrize("name", CHAIN[1:])
def test_an_input_stored_anew_with_other_rows_makes_its_readers_stale_and_with_equal_rows_does_not(name):
    above = STAGES[name].reads[0]
    found = stale(store(**{above: record(above, data_version="other data")}))
    assert found[name] in (f"inputs changed: {above}", *(f"{r} runs again" for r in STAGES[name].reads))
    assert above not in found
    assert stale(store(**{above: record(above)})) == {}


def test_an_option_that_a_stage_had_and_has_no_more_is_a_change():
    known = record("clusters", params={**PARAMS["clusters"], "gone": 1})
    assert why_stale("clusters", known, PARAMS["clusters"], known.inputs) == "options changed: gone"


def test_all_changed_options_and_inputs_are_named():
    meta = record("clusters", params={"k": 1, "seed": 2})
    assert why_stale("clusters", meta, {"k": 3, "seed": 4}, meta.inputs) == "options changed: k, seed"
    inputs = dict.fromkeys(meta.inputs, "other")
    assert why_stale("clusters", meta, meta.params, inputs) == f"inputs changed: {', '.join(sorted(inputs))}"
    old = dataclasses.replace(meta, code_version="0")
    assert why_stale("clusters", old, {"k": 3, "seed": 2}, inputs) == (
        f"code version 0 is now {STAGES['clusters'].version}; options changed: k; "
        f"inputs changed: {', '.join(sorted(inputs))}"
    )


def test_what_is_read_of_other_datasets_is_compared_and_what_was_replaced_is_not():
    stored = {("raw_dataset", "old"): record("raw_dataset"), ("dedup_set", "old"): record("dedup_set")}
    params = PARAMS | {"dedup_set": PARAMS["dedup_set"] | {"reference_datasets": ["old"]}}
    reads = STAGES["dedup_set"].also_reads(params["dedup_set"])
    assert set(reads.values()) == stored.keys()
    versions = {name: stored[partition].data_version for name, partition in reads.items()}
    own = record("dedup_set", params=params["dedup_set"])
    own = dataclasses.replace(own, inputs={**own.inputs, **versions, HISTORY: "gone"})

    def stale(elsewhere):
        def lookup(asset, dataset=None):
            return elsewhere(asset, dataset) if dataset else store(dedup_set=own).get(asset)

        return stale_stages(lookup, params.__getitem__, "files")

    assert stale(lambda *partition: stored[partition]) == {}
    stored["dedup_set", "old"] = record("dedup_set", data_version="other")
    assert stale(lambda *partition: stored[partition])["dedup_set"] == "inputs changed: dedup_set of old"
    assert "raw_dataset of old" in stale(lambda *partition: None)["dedup_set"]


def test_inputs_that_are_not_stored_are_left_out():
    assert current_inputs("dedup_set", {}.get, "files") == {}
    assert current_inputs("raw_dataset", {}.get, "files") == {"listing": "files"}
    assert current_inputs(MANIFEST, store().get, "")["clusters"] == "data of clusters"


def test_the_graph_reads_only_what_stands_before_it():
    seen = set()
    for name, stage in STAGES.items():
        assert set(stage.reads) <= seen, name
        seen.add(name)
