"""A dataset's options: what a card or the command line may set, and what is said of a mistake."""

import re

import pytest

from espalier.core.errors import UsageError
from espalier.io.images.decode import MAX_PIXELS
from espalier.io.landing.cards import Card
from espalier.io.warehouse import Meta
from espalier.stages.graph import STAGES
from espalier.stages.options import StageOptions, parse_pairs


def test_nothing_given_is_the_defaults():
    assert StageOptions.build({}) == StageOptions()
    assert StageOptions().max_pixels == MAX_PIXELS


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"k": 50}, 50),
        ({"eps": 1}, 1.0),
        ({"near_threshold": 0.9}, 0.9),
        ({"flips": True}, True),
        ({"rule": "paper"}, "paper"),
        ({"protect": ["test", "holdout"]}, ("test", "holdout")),
        ({"protect": "test+holdout"}, ("test", "holdout")),
        ({"protect": []}, ()),
        ({"encoder": "model.xml"}, "model.xml"),
        ({"encoder": {"model": "model.xml", "mean": [0, 0, 0]}}, {"model": "model.xml", "mean": [0, 0, 0]}),
    ],
)
def test_a_value_of_the_right_type_is_taken(given, read):
    (name,) = given
    value = getattr(StageOptions.build(given), name)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kk": 5}, "there is no option 'kk'. Known: max_pixels"),
        ({"k": "5"}, "k is '5'. It takes a whole number from 0: number of clusters"),
        ({"k": 5.0}, "k is 5.0. It takes a whole number"),
        ({"k": -1}, "k is -1. It takes a whole number from 0"),
        ({"k": True}, "k is True. It takes a whole number"),
        ({"eps": 2.5}, "eps is 2.5. It takes a number from 0 to 2"),
        ({"eps": float("nan")}, "eps is nan. It takes a number from 0 to 2"),
        ({"eps": None}, "eps is None. It takes a number"),
        ({"flips": "yes"}, "flips is 'yes'. It takes true or false"),
        ({"flips": 1}, "flips is 1. It takes true or false"),
        ({"rule": "all"}, "rule is 'all'. It takes keep_one or paper"),
        ({"rule": ["paper"]}, "rule is ['paper']. It takes keep_one or paper"),
        ({"protect": [1]}, "protect is [1]. It takes a list of names"),
        ({"protect": 3}, "protect is 3. It takes a list of names"),
        ({"encoder": 3}, "encoder is 3. It takes a text or a mapping"),
    ],
)
def test_a_mistake_is_named_with_what_the_option_takes(given, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        StageOptions.build(given)


def test_a_card_is_named_in_the_message():
    with pytest.raises(UsageError, match=r"card of cats: k is 'many'\."):
        StageOptions.of_card(Card("cats", "/data/cats", options={"k": "many"}))


def test_verdicts_of_a_card_are_options_of_the_stages():
    options = StageOptions.of_card(Card("cats", "/data/cats", keep=("a",), drop=("b",)))
    assert (options.keep, options.drop) == (("a",), ("b",))


def test_the_old_word_for_an_option_is_taken_with_a_line(caplog):
    assert StageOptions.build({"against": ["other"]}, where="here").reference_datasets == ("other",)
    assert [record.getMessage() for record in caplog.records] == ["here: against is now called reference_datasets."]


def test_the_record_of_a_partition_that_was_made_before_has_the_present_names():
    meta = Meta("dedup_set", "set", "", "4", {"against": ["other"], "seed": 0}, {"raw_dataset of other": "1"})
    assert Meta.loads(meta.dumps()).params == {"reference_datasets": ["other"], "seed": 0}


def test_each_option_says_what_it_takes():
    for name in StageOptions.model_fields:
        assert StageOptions.takes(name)
        assert StageOptions.model_fields[name].description


def test_pairs_of_the_command_line_are_read_as_yaml():
    assert parse_pairs(("k=5", "eps=0.1", "flips=true", "protect=[test]", "encoder=a=b.xml")) == {
        "k": 5,
        "eps": 0.1,
        "flips": True,
        "protect": ["test"],
        "encoder": "a=b.xml",
    }


@pytest.mark.parametrize("pair", ["k", "", "=5", "k=[1", "k=5=: 6: 7", "k={a: b: c}"])
def test_a_pair_that_is_none_is_refused_in_one_line(pair):
    with pytest.raises(UsageError) as refused:
        parse_pairs((pair,))
    assert "\n" not in str(refused.value)
    assert repr(pair) in str(refused.value)


def test_a_pair_given_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        parse_pairs(("k=5", "k=6"))


def test_every_stage_names_options_that_there_are():
    for stage in STAGES.values():
        StageOptions().pick(stage.options)


def test_picked_options_are_plain_values_and_a_changed_model_file_shows(tmp_path):
    model = tmp_path / "model.xml"
    model.write_text("<net/>")
    model.with_suffix(".bin").write_bytes(b"12")
    for encoder in (str(model), f"{model}#output=embedding", {"model": str(model), "mean": [0, 0, 0]}):
        first = StageOptions.build({"encoder": encoder}).pick(("encoder", "k"))
        assert first["k"] == 0
        assert [mark.split(":")[:2] for mark in first["encoder_files"]] == [["model.xml", "6"], ["model.bin", "2"]]
        model.with_suffix(".bin").write_bytes(model.with_suffix(".bin").read_bytes() + b"x")
        assert StageOptions.build({"encoder": encoder}).pick(("encoder",)) != {k: first[k] for k in first if k != "k"}
        model.with_suffix(".bin").write_bytes(b"12")
    assert StageOptions().pick(("encoder",)) == {"encoder": "builtin", "encoder_files": []}
