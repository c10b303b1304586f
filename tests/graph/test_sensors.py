"""What starts runs: the landing sensor, the eager rules and the nightly refresh, tick by tick."""

import datetime as dt
import shutil

import dagster as dg
import pytest

from assets.partitions import DATASET, RECIPE
from espalier.io.home import Home
from espalier.io.landing.zone import LandingZone, Listing
from espalier.stages.graph import CHAIN, DEFAULT_RECIPES
from resources import HomeResource
from sensors.decide import MOST_A_TICK, Memory, decide, refresh_plan
from sensors.landing import landing_sensor
from sensors.refresh import refresh


def listing(mark, *, files=3, success=False):
    return Listing(mark, files, 100 * files, success)


def names(decision):
    return [name for name, _ in decision.ready]


# Decisions


def test_a_dataset_is_taken_when_it_did_not_change_for_one_tick():
    first = decide({"cats": listing("1")}, Memory(), {})
    assert (names(first), first.waiting) == ([], ("cats",))
    growing = decide({"cats": listing("2")}, first.memory, {})
    assert (names(growing), growing.waiting) == ([], ("cats",))
    settled = decide({"cats": listing("2")}, growing.memory, {})
    assert (names(settled), settled.waiting) == (["cats"], ())
    assert names(decide({"cats": listing("2")}, settled.memory, {})) == []


def test_success_takes_it_at_once():
    assert names(decide({"cats": listing("1", success=True)}, Memory(), {})) == ["cats"]


def test_what_is_stored_from_this_very_listing_is_left_alone():
    found = {"cats": listing("1", success=True)}
    assert names(decide(found, Memory(), {"cats": "1"})) == []
    assert names(decide(found, Memory(), {"cats": "0"})) == ["cats"]


def test_an_empty_folder_waits_for_its_first_file():
    memory = Memory(seen={"cats": "0"})
    assert decide({"cats": listing("0", files=0, success=True)}, memory, {}).ready == ()


def test_an_unreadable_store_is_no_emptiness_and_nothing_is_forgotten():
    """Taken for empty, a store that is away for a minute would be landed anew when it is back."""
    taken = decide({"cats": listing("1", success=True)}, Memory(), {}).memory
    away = decide({"cats": None}, taken, {})
    assert (away.ready, away.waiting) == ((), ())
    assert (away.memory.seen, away.memory.asked) == (taken.seen, taken.asked)
    assert names(decide({"cats": listing("1", success=True)}, away.memory, {})) == []


def test_a_dataset_that_is_gone_and_comes_back_is_taken_again_by_a_run_of_its_own():
    """Dagster skips a run key that it has seen, so the same key would never run."""
    first = decide({"cats": listing("1", success=True)}, Memory(), {})
    gone = decide({}, first.memory, {})
    again = decide({"cats": listing("1", success=True)}, gone.memory, {})
    assert names(again) == ["cats"]
    assert again.ready[0][1] != first.ready[0][1]


def test_a_tick_repeated_after_a_crash_asks_for_the_same_runs():
    """The daemon died between launching and storing the cursor: equal keys launch nothing twice."""
    found, memory = {n: listing(n, success=True) for n in "abc"}, Memory(n_asked=7)
    assert decide(found, memory, {}).ready == decide(found, memory, {}).ready
    keys = [key for _, key in decide(found, memory, {}).ready]
    assert len(set(keys)) == 3


def test_a_failed_run_is_not_asked_for_again_until_the_files_change():
    asked = decide({"cats": listing("1", success=True)}, Memory(), {}).memory
    for _ in range(3):
        tick = decide({"cats": listing("1", success=True)}, asked, {})
        assert tick.ready == ()
        asked = tick.memory
    assert names(decide({"cats": listing("2", success=True)}, asked, {})) == ["cats"]


def test_a_tick_asks_for_so_many_runs_and_the_next_goes_on():
    found = {f"set{i:02}": listing(str(i), success=True) for i in range(25)}
    taken, memory = [], Memory()
    for expected in (MOST_A_TICK, MOST_A_TICK, 5, 0):
        tick = decide(found, memory, {})
        assert len(tick.ready) == expected
        assert len(tick.waiting) == 25 - len(taken) - expected
        taken, memory = taken + names(tick), tick.memory
    assert sorted(taken) == sorted(found)


def test_a_memory_is_what_its_cursor_says():
    memory = Memory({"a": "1"}, {"a": "1"}, True, 3)
    assert Memory.loads(memory.dumps()) == memory
    assert Memory.loads(None) == Memory.loads("") == Memory()


def test_the_refresh_plan_leaves_fresh_datasets_out():
    stale = {"b": {"clusters": "options changed: k"}, "a": {"raw_dataset": "never made"}, "c": {}}
    assert refresh_plan(stale) == {"a": ["raw_dataset"], "b": ["clusters"]}


# Ticks


@pytest.fixture
def home(tmp_path):
    return Home.find(tmp_path / "home").ensure()


class Ticks:
    """Ticks of the landing sensor on an instance, the cursor kept as the daemon keeps it."""

    def __init__(self, home):
        self.home, self.instance, self.cursor = home, dg.DagsterInstance.ephemeral(), None

    def tick(self):
        resources = {"home": HomeResource(path=str(self.home.root))}
        with dg.build_sensor_context(self.instance, self.cursor, resources=resources) as context:
            result = landing_sensor(context)
        if isinstance(result, dg.SensorResult):
            self.cursor = result.cursor
            for request in result.dynamic_partitions_requests:
                self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return result

    def taken(self):
        return [request.partition_key for request in self.tick().run_requests]


@pytest.fixture
def ticks(home):
    return Ticks(home)


def test_nothing_has_landed(ticks):
    assert ticks.tick().skip_reason.skip_message == "Nothing has landed yet."


def test_a_copied_folder_is_taken_at_the_second_tick_and_then_registered(ticks, home, textures):
    shutil.copytree(textures, home.landing / "textures")
    first = ticks.tick()
    assert not first.run_requests
    assert first.skip_reason.skip_message == "Waiting for files to settle: textures."
    assert ticks.instance.get_dynamic_partitions(DATASET) == []
    second = ticks.tick()
    assert [r.partition_key for r in second.run_requests] == ["textures"]
    assert ticks.instance.get_dynamic_partitions(DATASET) == ["textures"]
    assert ticks.tick().skip_reason.skip_message == "Nothing new among 1 datasets."


def test_what_is_taken_is_reported_as_landed_with_the_fingerprint_of_its_files(ticks, home, textures):
    shutil.copytree(textures, home.landing / "textures")
    assert not ticks.tick().asset_events
    (observation,) = ticks.tick().asset_events
    listing = LandingZone(home.landing).fingerprint("textures")
    assert (observation.asset_key.path, observation.partition) == (["landed"], "textures")
    assert observation.data_version == listing.fingerprint
    assert observation.metadata["files"].value == listing.n_files


def test_a_folder_with_success_is_taken_at_the_first_tick(ticks, home, textures):
    shutil.copytree(textures, home.landing / "textures")
    (home.landing / "textures" / "_SUCCESS").touch()
    assert ticks.taken() == ["textures"]


def test_files_added_to_a_dataset_take_it_again(ticks, home, textures):
    folder = shutil.copytree(textures, home.landing / "textures")
    assert [ticks.taken(), ticks.taken(), ticks.taken()] == [[], ["textures"], []]
    shutil.copy(folder / "leaf/01.png", folder / "leaf/new.png")
    assert [ticks.taken(), ticks.taken(), ticks.taken()] == [[], ["textures"], []]


def test_a_card_lands_data_that_stays_where_it_is(ticks, home, textures):
    LandingZone(home.landing).land(textures, "stones")
    assert [ticks.taken(), ticks.taken()] == [[], ["stones"]]


def test_a_faulty_card_harms_no_other_dataset(ticks, home, textures):
    (home.landing / "broken.yaml").write_text("uri: /there/is/nothing\n")
    (home.landing / "Not A Slug").mkdir()
    LandingZone(home.landing).land(textures, "stones")
    assert [ticks.taken(), ticks.taken()] == [[], ["stones"]]


def test_a_damaged_table_harms_no_other_dataset_and_its_own_is_taken_again(ticks, home, textures):
    zone = LandingZone(home.landing)
    zone.land(textures, "stones")
    zone.land(textures, "other")
    path = home.store().path("raw_dataset", "other")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database")
    assert [ticks.taken(), ticks.taken()] == [[], ["other", "stones"]]


def test_a_store_that_is_away_keeps_its_place(ticks, home, textures, tmp_path):
    away = shutil.copytree(textures, tmp_path / "mounted" / "textures")
    LandingZone(home.landing).land(away, "stones")
    assert [ticks.taken(), ticks.taken()] == [[], ["stones"]]
    away.parent.rename(tmp_path / "unmounted")
    assert ticks.taken() == []
    (tmp_path / "unmounted").rename(away.parent)
    assert [ticks.taken(), ticks.taken(), ticks.taken()][-1] == []
    assert ticks.instance.get_dynamic_partitions(DATASET) == ["stones"]


def test_a_landing_zone_that_cannot_be_read_is_skipped_with_its_reason(ticks, home):
    shutil.rmtree(home.landing)
    home.landing.write_text("a file in the place of the folder")
    skipped = ticks.tick()
    assert isinstance(skipped, dg.SkipReason)
    assert str(home.root) in skipped.skip_message


def test_the_default_recipes_are_registered_once_and_one_that_a_user_deletes_stays_away(ticks):
    ticks.tick()
    assert sorted(ticks.instance.get_dynamic_partitions(RECIPE)) == sorted(DEFAULT_RECIPES)
    ticks.instance.delete_dynamic_partition(RECIPE, DEFAULT_RECIPES[0])
    ticks.tick()
    assert ticks.instance.get_dynamic_partitions(RECIPE) == list(DEFAULT_RECIPES[1:])


def test_the_eager_rules_ask_for_everything_below_a_new_dataset_and_for_a_new_recipe(chain):
    """The rules that the automation sensor evaluates, on the real graph."""
    chain.instance.add_dynamic_partitions(DATASET, ["set"])
    chain.instance.add_dynamic_partitions(RECIPE, ["random@0.5"])
    assets = [chain.defs.resolve_assets_def(name) for name in (*CHAIN, "pruned_manifest")]

    def asked(cursor):
        result = dg.evaluate_automation_conditions(
            defs=chain.defs,
            instance=chain.instance,
            asset_selection=dg.AssetSelection.assets(*assets),
            cursor=cursor,
        )
        return result.cursor, {
            spec.key.to_user_string(): keys
            for asset in assets
            for spec in asset.specs
            if (keys := result.get_requested_partitions(spec.key))
        }

    def made(*names, partition="set"):
        for name in names:
            chain.instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=partition))

    cursor, none = asked(None)
    assert none == {}
    made("raw_dataset")
    cursor, found = asked(cursor)
    assert found == {name: {"set"} for name in CHAIN[1:]}
    made(*CHAIN[1:])
    cursor, found = asked(cursor)
    assert found == {"pruned_manifest": {"set|random@0.5"}}
    made("pruned_manifest", partition="set|random@0.5")
    cursor, found = asked(cursor)
    assert found == {}
    chain.instance.add_dynamic_partitions(RECIPE, ["density@0.3"])
    cursor, found = asked(cursor)
    assert found == {"pruned_manifest": {"set|density@0.3"}}
    made("pruned_manifest", partition="set|density@0.3")
    made("raw_dataset")
    cursor, found = asked(cursor)
    assert found == {name: {"set"} for name in CHAIN[1:]}, "a manifest made beside the chain would see old clusters"
    made(*CHAIN[1:])
    cursor, found = asked(cursor)
    assert found == {"pruned_manifest": {"set|density@0.3", "set|random@0.5"}}
    # Forgotten and landed again: Dagster still knows the old events, and takes everything anew all the same.
    for recipe in ("density@0.3", "random@0.5"):
        made("pruned_manifest", partition=f"set|{recipe}")
    chain.instance.delete_dynamic_partition(DATASET, "set")
    cursor, found = asked(cursor)
    assert found == {}
    chain.instance.add_dynamic_partitions(DATASET, ["set"])
    cursor, found = asked(cursor)
    assert found == {}
    made("raw_dataset")
    cursor, found = asked(cursor)
    assert found == {name: {"set"} for name in CHAIN[1:]}


# The nightly refresh


def night(chain):
    """One tick of the schedule, on an instance on the disk: a schedule opens its instance by reference."""
    with (
        dg.DagsterInstance.local_temp() as instance,
        dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC),
            resources={"home": HomeResource(path=str(chain.home.root))},
        ) as context,
    ):
        instance.add_dynamic_partitions(DATASET, chain.instance.get_dynamic_partitions(DATASET))
        return refresh(context)


def test_the_refresh_asks_for_stale_stages_of_registered_datasets_only(regrown, textures, monkeypatch):
    regrown.zone.land(textures, "never-taken")
    assert "0 datasets" in night(regrown).skip_message
    regrown.instance.add_dynamic_partitions(DATASET, ["set", "gone"])
    assert "up to date" in night(regrown).skip_message
    regrown.zone.land(textures, "set", options={"k": 3})
    (request,) = night(regrown)
    assert request.partition_key == "set"
    assert [key.to_user_string() for key in request.asset_selection] == ["clusters", "cluster_complexity"]
    assert request.run_key == "set:2026-01-02"


def test_a_dataset_whose_files_are_away_is_left_alone_by_the_refresh(regrown, textures, tmp_path):
    away = shutil.copytree(textures, tmp_path / "mounted")
    regrown.zone.land(away, "other")
    regrown.instance.add_dynamic_partitions(DATASET, ["set", "other"])
    shutil.rmtree(away)
    assert "up to date" in night(regrown).skip_message
