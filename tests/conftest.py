"""All tests: what hypothesis draws is the same in every run, as everything here is.

``ESPALIER_HYPOTHESIS=random`` lets it look for new cases.
"""

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
if os.environ.get("ESPALIER_HYPOTHESIS") != "random":
    settings.load_profile("same")
