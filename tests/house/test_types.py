"""What mypy must see through: a slip in a name of the home, the warehouse or an encoder."""

from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]

SLIPS = {
    "Home.find().landings": 'has no attribute "landings"',
    'Home.find().store().gett("raw_dataset", "photos")': 'has no attribute "gett"',
    'texts_id("builtin", ())': 'expected "Encoder"',
    "encoding.encoder.has_txt": 'has no attribute "has_txt"',
}


def test_slips_are_told_by_mypy(monkeypatch):
    monkeypatch.chdir(ROOT)
    program = [
        "from espalier.io.vectors.texts import texts_id",
        "from espalier.apps.search.encoding import Encoding",
        "from espalier.io.home import Home",
        "encoding: Encoding",
        *SLIPS,
    ]
    settings = ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", "--cache-dir=/dev/null"]
    said, _, code = api.run([*settings, "-c", "\n".join(program)])
    assert code == 1
    errors = [line for line in said.splitlines() if ": error: " in line]
    assert len(errors) == len(SLIPS), said
    for error, words in zip(errors, SLIPS.values(), strict=True):
        assert words in error
