"""The doctor, with the real Lava where it is set up."""

import pytest

from tdd_deploy.exporters.lava import environment
from tdd_deploy.exporters.lava.doctor import doctor


@pytest.mark.skipif(environment.find() is None, reason="tdd-deploy lava setup has not been run")
def test_a_fresh_environment_is_healthy() -> None:
    checks = {check.name: check for check in doctor()}
    assert checks["two neurons in Lava"].ok, checks["two neurons in Lava"].found
    assert [name for name, check in checks.items() if not check.ok and name != "leftovers of earlier runs"] == []
