"""The landing zone: cards, folders, verdicts, fingerprints, and every wrong card said in one line."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import yaml

from espalier.core.errors import EspalierError, UsageError
from espalier.io.formats.read import options
from espalier.io.landing.zone import LandingZone
from espalier.stages.options import StageOptions


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "My Photos"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "1.jpg").write_bytes(b"one")
    (folder / "cat" / "2.jpg").write_bytes(b"two two")
    return folder


@pytest.fixture
def zone(tmp_path):
    return LandingZone(tmp_path / "landing")


def write(zone, name, text):
    zone.root.mkdir(exist_ok=True)
    (zone.root / name).write_text(text)


def test_a_zone_that_is_not_there_yet_is_empty(zone):
    assert zone.names() == []
    assert zone.problems() == {}


def test_landing_writes_a_card_and_copies_nothing(zone, data):
    card = zone.land(data)
    assert card.name == "my-photos"
    assert card.uri == str(data)
    assert sorted(path.name for path in zone.root.iterdir() if not path.name.startswith(".")) == ["my-photos.yaml"]
    assert zone.card("my-photos") == card
    assert zone.names() == ["my-photos"]


def test_landing_the_same_place_again_keeps_what_the_card_says(zone, data):
    zone.land(data, "pets", "image_folder", {"subsets": []})
    zone.record_verdicts("pets", keep=["cat/1.jpg"])
    again = zone.land(data, "pets")
    assert (again.format, again.reader_options, again.keep) == ("image_folder", {"subsets": []}, ("cat/1.jpg",))
    assert zone.land(data, "pets", reader_options={}).reader_options == {}


def test_a_name_that_belongs_to_other_data_is_refused(zone, data, tmp_path):
    zone.land(data, "pets")
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match=r"'pets' is taken by .*My Photos"):
        zone.land(tmp_path / "other", "pets")
    assert zone.card("pets").uri == str(data)


@pytest.mark.parametrize("name", ["../x", "a|b", "", "x...y", "A", "a/b", "-a", "a" * 65, "ü"])
def test_a_name_that_is_no_slug_is_refused_at_the_door(zone, data, name):
    with pytest.raises(UsageError, match="is not a dataset name"):
        zone.land(data, name)
    with pytest.raises(UsageError, match="is not a dataset name"):
        zone.card(name)
    with pytest.raises(UsageError, match="is not a dataset name"):
        zone.forget(name)
    assert not zone.root.exists()


def test_landing_nothing_is_refused_and_leaves_no_card(zone, tmp_path):
    with pytest.raises(EspalierError, match="There is nothing at"):
        zone.land(tmp_path / "absent")
    with pytest.raises(EspalierError, match="There is nothing at"):
        zone.land("memory://absent-bucket/data")
    assert zone.names() == []


def test_an_unknown_format_is_refused_at_the_door(zone, data):
    with pytest.raises(UsageError, match=r"no format 'webdatasets'. Did you mean webdataset"):
        zone.land(data, "pets", "webdatasets")
    assert zone.names() == []


def test_a_pattern_of_files_is_landed_and_has_a_fingerprint(zone, data):
    card = zone.land(f"{data}/cat/{{1,2}}.jpg", "some")
    assert zone.card("some").uri == card.uri == f"{data}/cat/{{1,2}}.jpg"
    assert zone.fingerprint("some").n_bytes == 10
    with pytest.raises(EspalierError, match="Nothing matches"):
        zone.land(f"{data}/*.tar", "none")


def test_an_unknown_url_scheme_is_refused(zone):
    with pytest.raises(EspalierError, match="nosuch://"):
        zone.land("nosuch://bucket/x")


def test_a_folder_in_the_zone_is_a_dataset_and_a_card_beside_it_adds_to_it(zone):
    (zone.root / "pets").mkdir(parents=True)
    assert zone.card("pets").uri == str(zone.root / "pets")
    write(zone, "pets.yaml", "format: image_folder\n")
    assert zone.card("pets").format == "image_folder"
    assert zone.names() == ["pets"]


def test_a_card_beside_a_folder_cannot_name_another_place(zone, data):
    (zone.root / "pets").mkdir(parents=True)
    write(zone, "pets.yaml", f"uri: {data}\n")
    with pytest.raises(EspalierError, match="has the same name"):
        zone.card("pets")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("uri: [1", "is not YAML"),
        ("- a\n- b\n", "holds a list, not a mapping"),
        ("just words", "holds a str, not a mapping"),
        ("", "uri is missing"),
        ("format: image_folder\n", "uri is missing"),
        ("uri: 7\n", "uri is 7"),
        ("uri: ''\n", "uri is ''"),
        ("uri: /\nformats: x\n", "unknown field 'formats'. Did you mean 'format'"),
        ("uri: /\ncolour: red\n", "unknown field 'colour'. A card has: uri, format"),
        ("uri: /\noptions: fast\n", "options is 'fast'"),
        ("uri: /\nformat: [a]\n", "format is \\['a'\\]"),
        ("uri: /\ntrust: sure\n", "trust is 'sure'"),
        ("uri: /\nkeep: [1]\n", "keep is \\[1\\]"),
        ("uri: /\nkeep: [a]\ndrop: [a]\n", "'a' is in keep and in drop"),
        ("uri: ../outside\n", "leaves the landing zone"),
        ("uri: /no/such/place\n", "there is nothing"),
        ("[" * 5000, "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_faulty_card_is_refused_with_file_and_field(zone, text, said):
    write(zone, "pets.yaml", text)
    with pytest.raises(EspalierError, match=said) as caught:
        zone.card("pets")
    assert "pets.yaml" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("chain: {k: 5}", "options: {k: 5}", ["chain is now called options"]),
        ("against: [a]", "reference_datasets: [a]", ["against is now called reference_datasets"]),
        ("options: {image: jpg}", "reader_options: {image: jpg}", ["options is now called reader_options"]),
        (
            "options: {split: a}\nchain: {k: 5}",
            "reader_options: {split: a}\noptions: {k: 5}",
            ["options is now called reader_options", "chain is now called options"],
        ),
        ("options: {}\nchain: {k: 5}", "options: {k: 5}", ["chain is now called options"]),
    ],
)
def test_an_old_card_is_read_as_before_and_a_line_names_the_new_words(zone, data, caplog, old, new, lines):
    write(zone, "old.yaml", f"uri: {data}\n{old}\n")
    write(zone, "new.yaml", f"uri: {data}\n{new}\n")
    assert replace(zone.card("old"), name="new") == zone.card("new")
    assert zone.fingerprint("old") == zone.fingerprint("new")
    assert [record.getMessage() for record in caplog.records] == [
        f"{zone.root / 'old.yaml'}: {line}." for line in lines
    ]


def test_an_old_card_that_is_written_again_has_the_new_words(zone, data):
    write(zone, "pets.yaml", f"uri: {data}\noptions: {{subsets: []}}\nchain: {{k: 5}}\nagainst: [other]\n")
    zone.record_verdicts("pets", keep=["cat/1.jpg"])
    told = yaml.safe_load((zone.root / "pets.yaml").read_text())
    new = {"reader_options": {"subsets": []}, "options": {"k": 5}, "reference_datasets": ["other"]}
    assert told == {"uri": str(data), **new, "keep": ["cat/1.jpg"]}


@pytest.mark.parametrize(
    "both", ["chain: {k: 5}\noptions: {k: 5}\nreader_options: {a: b}", "against: []\nreference_datasets: []"]
)
def test_an_old_word_beside_the_new_one_is_refused(zone, data, both):
    write(zone, "pets.yaml", f"uri: {data}\n{both}\n")
    with pytest.raises(EspalierError, match=r"pets\.yaml: \w+ is the old word for \w+\. Leave one of them"):
        zone.card("pets")


def test_no_option_of_a_stage_is_one_of_a_reader():
    assert not options.NAMES & StageOptions.model_fields.keys()


def test_a_card_that_is_not_text_is_refused(zone):
    zone.root.mkdir()
    (zone.root / "pets.yaml").write_bytes(b"\xff\xfe\x00uri")
    with pytest.raises(EspalierError, match=r"pets.yaml"):
        zone.card("pets")


def test_one_faulty_card_does_not_hide_the_others(zone, data):
    zone.land(data, "good")
    write(zone, "bad.yaml", "uri: /no/such/place\n")
    (zone.root / "Not A Name").mkdir()
    write(zone, "readme.txt", "hello")
    write(zone, "short.yml", f"uri: {data}\n")
    assert zone.names() == ["good"]
    assert sorted(zone.problems()) == ["Not A Name", "bad", "short.yml"]


def test_an_unknown_dataset_is_refused_with_those_that_exist(zone, data):
    zone.land(data, "pets")
    with pytest.raises(UsageError, match=r"no dataset 'pet'.*Landed: pets"):
        zone.card("pet")


def test_forgetting_removes_the_card_and_never_the_data(zone, data):
    zone.land(data, "pets")
    assert [path.name for path in zone.forget("pets")] == ["pets.yaml"]
    assert zone.names() == []
    assert (data / "cat" / "1.jpg").exists()
    with pytest.raises(UsageError, match="no dataset 'pets'"):
        zone.forget("pets")


def test_forgetting_a_folder_in_the_zone_needs_to_be_asked_for(zone):
    (zone.root / "pets" / "cat").mkdir(parents=True)
    write(zone, "pets.yaml", "format: image_folder\n")
    with pytest.raises(UsageError, match="is the data itself"):
        zone.forget("pets")
    assert (zone.root / "pets.yaml").exists()
    zone.forget("pets", delete_data=True)
    assert zone.names() == []
    assert not (zone.root / "pets").exists()


def test_forgetting_a_link_in_the_zone_leaves_what_it_points_to(zone, data):
    zone.root.mkdir()
    (zone.root / "pets").symlink_to(data)
    zone.forget("pets", delete_data=True)
    assert (data / "cat" / "1.jpg").exists()


def test_a_faulty_card_can_be_forgotten(zone):
    write(zone, "pets.yaml", "uri: /no/such/place\n")
    zone.forget("pets")
    assert zone.problems() == {}


def test_verdicts_are_stored_in_the_card_and_the_later_one_counts(zone, data):
    zone.land(data, "pets")
    zone.record_verdicts("pets", keep=["cat/2.jpg", "cat/1.jpg"], drop=["ü,b: c.jpg"])
    zone.record_verdicts("pets", drop=["cat/1.jpg"], clear=["ü,b: c.jpg"])
    card = LandingZone(zone.root).card("pets")
    assert (card.keep, card.drop) == (("cat/2.jpg",), ("cat/1.jpg",))
    assert card.verdicts == {"cat/2.jpg": True, "cat/1.jpg": False}
    with pytest.raises(UsageError, match="two verdicts at once"):
        zone.record_verdicts("pets", keep=["a"], drop=["a"])


def test_verdicts_on_a_folder_in_the_zone_make_a_card_without_a_place(zone):
    (zone.root / "pets").mkdir(parents=True)
    zone.record_verdicts("pets", keep=["a.jpg"])
    assert "uri: /" not in (zone.root / "pets.yaml").read_text()
    assert zone.card("pets").keep == ("a.jpg",)


def test_verdicts_of_two_writers_at_once_are_all_kept(zone, data):
    """Read, change and write happen under one lock: no verdict of a colleague is lost."""
    zone.land(data, "pets")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: LandingZone(zone.root).record_verdicts("pets", keep=[f"{n:02}"]), range(24)))
    assert zone.card("pets").keep == tuple(f"{n:02}" for n in range(24))


def test_a_zone_without_write_permission_says_so(zone, data, monkeypatch):
    zone.land(data, "pets")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(EspalierError, match="cannot be written"):
        zone.record_verdicts("pets", keep=["a"])
    monkeypatch.undo()
    assert zone.card("pets").keep == ()


def test_the_fingerprint_changes_with_names_sizes_and_times_and_with_nothing_else(zone, data):
    zone.land(data, "pets")
    first = zone.fingerprint("pets")
    assert (first.n_files, first.n_bytes, first.has_success) == (2, 10, False)
    zone.record_verdicts("pets", keep=["cat/1.jpg"])
    (data / ".DS_Store").write_bytes(b"x")
    assert zone.fingerprint("pets") == first
    (data / "_SUCCESS").touch()
    done = zone.fingerprint("pets")
    assert (done.fingerprint, done.has_success) == (first.fingerprint, True)
    os.utime(data / "cat" / "1.jpg", ns=(1, 1))
    touched = zone.fingerprint("pets")
    assert touched.fingerprint != first.fingerprint
    (data / "cat" / "1.jpg").rename(data / "cat" / "3.jpg")
    renamed = zone.fingerprint("pets")
    assert renamed.fingerprint not in {first.fingerprint, touched.fingerprint}
    zone.land(data, "pets", "image_folder")
    assert zone.fingerprint("pets").fingerprint != renamed.fingerprint


def test_the_fingerprint_of_a_folder_that_cannot_be_listed_raises(zone, data, monkeypatch):
    """A store that does not answer is not an empty one: nothing may be taken for gone."""
    zone.land(data, "pets")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("espalier.io.files.listing.os.scandir", refuse)
    with pytest.raises(EspalierError, match="permission denied"):
        zone.fingerprint("pets")


def test_a_dataset_in_an_object_store_has_a_fingerprint(zone):
    files = fsspec.filesystem("memory")
    files.pipe("/landing-test/cat/1.jpg", b"one")
    files.pipe("/landing-test/dog/2.jpg", b"two")
    card = zone.land("memory://landing-test", "far")
    assert card.uri == "memory://landing-test"
    first = zone.fingerprint("far")
    assert (first.n_files, first.n_bytes) == (2, 6)
    files.pipe("/landing-test/dog/2.jpg", b"TWO!")
    assert zone.fingerprint("far").fingerprint != first.fingerprint
    files.rm("/landing-test", recursive=True)
    with pytest.raises(EspalierError, match="There is nothing"):
        zone.fingerprint("far")
