"""One or two BLAS threads give the same bits: near duplicates, semantic duplicates, NDR."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hashlib
import numpy as np
from espalier.core import screen
from espalier.core.dedup.near import find_duplicates, compare
from espalier.core.dedup.ndr import Ndr, ndr_grid_features
from espalier.core.rng import generator
from espalier.core.dedup.semantic import rank_positions, resolve, search, similar_pairs

compare.LEAST_WORK = search.LEAST_WORK = 0
rng = np.random.default_rng(0)
base = rng.integers(6000, 60000, (900, 243))
grids = np.clip(np.concatenate([base, base[:500] + rng.normal(0, 3000, (500, 243))]), 0, 65535).astype(np.uint16)
digest = hashlib.sha256()
for method in ("exact", "index"):
    found = find_duplicates(np.arange(1400), grids, flips=True, method=method, threshold=0.5)
    for column in (found.kept, found.duplicate_of, found.similarity, found.group, found.via, found.border.similarity):
        digest.update(np.ascontiguousarray(column).tobytes())
    digest.update(str((found.search.comparisons, found.search.recall)).encode())
digest.update(Ndr(num_cut=700, under_sample="inverse")(ndr_grid_features(grids)).kept.tobytes())
rows = rng.standard_normal((1500, 96)) * 0.95 ** np.arange(96)
rows[800:] = rows[:700] + rng.normal(0, 0.05, (700, 96))
rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
centres = rows[:9]
assignment = np.rint(rows.astype(np.float64) @ centres.T.astype(np.float64) * 1e6).argmax(1)
similar = similar_pairs(rows, assignment, floor=0.6, centroids=centres, n_probe=3)
verdict = resolve(similar, rank_positions(np.linspace(0, 1, 1500), rng=generator(0)), eps=0.2)
for column in (similar.pairs.i, similar.pairs.j, similar.pairs.similarity, verdict.kept, verdict.duplicate_of):
    digest.update(column.tobytes())
print(len(similar.pairs), digest.hexdigest())
"""


def test_results_are_the_same_bytes_for_one_and_two_threads():
    outputs = []
    for threads in ("1", "2"):
        settings = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), threads)
        environment = {**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
        )
        outputs.append(done.stdout)
    assert int(outputs[0].split()[0]) > 500
    assert outputs[0] == outputs[1]
