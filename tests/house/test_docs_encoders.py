"""docs/encoders.md names every option and every name of the catalogue, and its commands are ones that there are."""

import re
from pathlib import Path

from espalier.cli.models import command
from espalier.io.encoders.catalogue import CATALOGUE
from espalier.io.encoders.spec import EncoderOptions

PAGE = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    rows = re.findall(r"^\| (`.*?) \|", section(title), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_table_has_every_option_in_its_order():
    assert first_cells("Options") == list(EncoderOptions.model_fields)


def test_the_table_has_every_name_of_the_catalogue_with_its_size():
    assert first_cells("Names") == [name for entry in CATALOGUE for name in (entry.name, entry.also) if name]
    rows = {row.split("|")[1]: row.split("|")[2] for row in section("Names").splitlines() if row.startswith("| `")}
    for entry in CATALOGUE:
        (sizes,) = [cell for names, cell in rows.items() if f"`{entry.name}`" in names]
        assert str(entry.dim) in sizes


def test_its_commands_are_there_and_none_is_left_out():
    assert set(re.findall(r"espalier models (\w+)", PAGE)) == set(command.commands)
