"""Settings of hypothesis for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A busy machine is not a fault of the code: laws are about results, not about the time of one example.
settings.register_profile("hearth", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# CI judges a change by the same examples every time; new ones are searched for on the developers' machines.
settings.register_profile("ci", parent=settings.get_profile("hearth"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "hearth")
