"""Runs the benchmarks that make their own data, one after the other; each is a process of its own.

Those that need data say so in their ``--help``: bench_brought_manifest, bench_chain, bench_copies, bench_encoders,
bench_exact, bench_explore_classes, bench_explore_copies, bench_explore_shell, bench_formats, bench_near,
bench_redundant, bench_resume, bench_scan.
"""

import subprocess
import sys
from pathlib import Path

RUNS = (
    ("bench_methods.py", "clusters"),
    ("bench_methods.py", "words"),
    ("bench_methods.py", "centroid"),
    ("bench_clusters.py", "--case", "many-clusters"),
    ("bench_clusters.py", "--case", "many-rows"),
    ("bench_quota.py",),
    ("bench_semdedup.py",),
    ("bench_explore.py", "--only", "hamming"),
    ("bench_quality.py",),
    ("bench_tar_index.py",),
    ("bench_own_embeddings.py",),
    ("bench_trie.py",),
    ("bench_exit.py",),
    ("bench_replace.py",),
    ("bench_exports.py", "--n", "5000"),
    ("bench_scale.py", "--rows", "200000"),
)


def main() -> int:
    """Run all; return how many failed."""
    failed = 0
    for script, *arguments in RUNS:
        print(f"\n== {script} {' '.join(arguments)}", flush=True)
        done = subprocess.run([sys.executable, str(Path(__file__).parent / script), *arguments], check=False)
        failed += done.returncode != 0
    print(f"\n{len(RUNS)} benchmarks, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
