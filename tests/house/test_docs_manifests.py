"""docs/manifests.md: its code runs as it stands, on a manifest and shards; every file that it names is there."""

import io
import re
import tarfile
from pathlib import Path

import pyarrow as pa

from espalier.io.results import write_manifest

PAGE = (Path(__file__).parents[2] / "docs" / "manifests.md").read_text(encoding="utf-8")


def test_the_examples_run_as_they_stand_and_the_table_names_every_file(tmp_path):
    keys = ["00000/0", "00000/1", "00000/2"]
    rows = {"sample_id": keys, "kept": [True, False, True], "uid": ["a"] * 3, "sha256": [f"{i}" * 64 for i in range(3)]}
    write_manifest(tmp_path / "random@0.5", pa.table(rows), {"recipe": "random@0.5"}).commit()
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for key in keys:
            info = tarfile.TarInfo(f"{key}.txt")
            info.size = 2
            tar.addfile(info, io.BytesIO(b"hi"))
    names = {"folder": tmp_path / "random@0.5", "shards": [str(tmp_path / "0.tar")]}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/manifests.md", "exec"), names)
    assert names["keys"] == ["00000/0", "00000/2"]
    written = {p.name for p in (tmp_path / "random@0.5").iterdir()}
    assert written == set(re.findall(r"^\| `(\S+)` \|", PAGE, re.MULTILINE))
