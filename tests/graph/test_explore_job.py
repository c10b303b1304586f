"""The explore job, as the page launches it: its run config, its contact sheet, its failures in words."""

import base64
import io
import re
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from PIL import Image

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def launch(chain, **config):
    return chain.defs.resolve_job_def("explore").execute_in_process(
        instance=chain.instance,
        run_config={**QUIET, "ops": {"find": {"config": config}}},
        raise_on_error=False,
    )


def metadata(result):
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    return event.step_output_data.metadata


def test_the_code_location_loads_with_the_job_in_it(grown):
    """A job and an op of one name are refused only when the whole repository is loaded, as the page does."""
    chain, _ = grown
    dg.Definitions.validate_loadable(chain.defs)
    assert "explore" in {job.name for job in chain.defs.get_repository_def().get_all_jobs()}


def test_a_run_shows_the_contact_sheet_and_the_results(grown, tmp_path):
    chain, _ = grown
    query = str(chain.data / "leaf/05.png")
    result = launch(chain, queries=[query, "str:moss"], topk=14, datasets=["set"], save=str(tmp_path / "out"))
    assert chain.succeeded(result)
    shown = metadata(result)
    assert shown["found"].value == 14
    jpeg = base64.b64decode(re.search(r"base64,([^)]+)\)", shown["contact sheet"].md_str)[1])
    in_the_page = Image.open(io.BytesIO(jpeg))
    assert in_the_page.width > 500
    answer = shown["answer"].data
    assert {"leaf/05.png", "leaf/05-small.jpg"} <= {r["sample_id"] for r in answer["results"]}
    assert len(shown["results"].records) == 14
    saved = Image.open(tmp_path / "out" / "explore.png")
    assert Path(shown["contact sheet: file"].path).read_bytes() == (tmp_path / "out" / "explore.png").read_bytes()
    assert np.abs(np.asarray(saved).astype(int) - np.asarray(in_the_page)).mean() < 3


def test_without_datasets_all_that_have_embeddings_are_searched(grown):
    chain, _ = grown
    answer = metadata(launch(chain, queries=["item:moss/01.png"], topk=1))["answer"].data
    assert [(r["dataset"], r["sample_id"]) for r in answer["results"]] == [("set", "moss/01.png")]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"queries": []}, "nothing to look for"),
        ({"queries": ["nowhere.png"]}, "no sample 'nowhere.png'"),
        ({"queries": ["item:moss/01.png"], "datasets": ["other"]}, "No embeddings yet: other"),
        ({"queries": ["str: "]}, "The text to look for is empty"),
        ({"queries": ["item:moss/01.png"], "topk": 0}, "top-k is 0."),
    ],
)
def test_a_mistake_fails_the_run_with_a_sentence(grown, config, words):
    chain, _ = grown
    assert words in chain.failure(launch(chain, **config))


def test_the_launchpad_opens_with_a_search_that_can_be_edited(grown):
    chain, _ = grown
    job = chain.defs.resolve_job_def("explore")
    config = job.run_config["ops"]["find"]["config"]
    assert dg.validate_run_config(job, {"ops": {"find": {"config": config}}})
    assert config["queries"] == ["str:a red car"]
    config = config | {"queries": ["str:moss"], "topk": 3}
    assert {r["sample"].split("/")[0] for r in _shown(launch(chain, **config))} == {"moss"}


def test_an_approximate_search_from_the_page_says_its_recall(regrown):
    answer = metadata(launch(regrown, queries=["item:moss/01.png"], topk=3, approximate=True))["answer"].data
    assert answer["recall"] >= 0.95
    assert answer["results"][0]["sample_id"] == "moss/01.png"
    assert [p.name for p in (regrown.home.root / "warehouse/explore_index").iterdir()] == ["set"]


def _shown(result):
    return [record.data for record in metadata(result)["results"].records]


@pytest.mark.parametrize("wrong", [{"metric": "taxi"}, {"fuse": "all"}, {"queries": "cat"}, {"topk": "ten"}, {"k": 5}])
def test_the_page_refuses_what_is_no_choice_before_the_run(grown, wrong):
    chain, _ = grown
    job = chain.defs.resolve_job_def("explore")
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, {"ops": {"find": {"config": {"queries": ["str:moss"]} | wrong}}})
