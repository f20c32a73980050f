"""A real new project: changes take effect late, calls fail once, policies and quotas forbid what the scripts would do."""

import pytest

from .conftest import PROJECT, Workplace
from .simulator import Cloud

TARGETS = ["cloudrun", "functions", "gae", "gce", "gke"]


def enable_waitable_conditions(cloud: Cloud) -> None:
    """Everything that passes if one waits."""
    on = cloud.conditions
    on.api_delay = on.account_delay = on.grant_delay = on.agent_delay = 2
    on.conflicts = on.rate_limits = 1
    on.unavailable_every = 12
    on.disabled_apis = ["cloudresourcemanager.googleapis.com"]


@pytest.mark.parametrize("target", TARGETS)
def test_deployment_waits_until_changes_take_effect(target: str, cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings(PUBLIC="true")
    enable_waitable_conditions(cloud)
    outcome = workplace.run(f"deploy/{target}/deploy.sh")
    assert outcome.code == 0, outcome
    assert "retrying in 0.2 s, for at most" in outcome.err
    again = workplace.run(f"deploy/{target}/deploy.sh")
    assert again.code == 0, again
    removed = workplace.run(f"deploy/{target}/teardown.sh", "--yes")
    assert removed.code == 0, removed


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        ("api_delay", 3),
        ("account_delay", 3),
        ("grant_delay", 3),
        ("agent_delay", 3),
        ("conflicts", 1),
        ("rate_limits", 1),
        ("unavailable_every", 5),
        ("disabled_apis", ["cloudresourcemanager.googleapis.com"]),
    ],
)
def test_each_condition_is_waited_out(condition: str, value: object, cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings(PUBLIC="true")
    setattr(cloud.conditions, condition, value)
    outcome = workplace.run("deploy/cloudrun/deploy.sh")
    assert outcome.code == 0, outcome
