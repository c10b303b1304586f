"""All tests: what hypothesis draws is the same in every run, as everything here is.

``ESPALIER_HYPOTHESIS=random`` lets it look for new cases.
"""

import os
import shutil
import subprocess

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True)
if os.environ.get("ESPALIER_HYPOTHESIS") != "random":
    settings.load_profile("same")


@pytest.fixture(scope="session")
def namespace() -> list[str]:
    """What stands before a command to run it in a PID namespace of its own, as a container does."""
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    for prefix in (command, [*command, "--user", "--map-root-user"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
        ):
            return prefix
    pytest.skip("this machine makes no PID namespace: unshare --pid --fork --mount-proc does not work")
