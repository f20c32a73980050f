"""deploy/gce: first, second and new deployments, sick versions and the way back."""

from .conftest import PROJECT, Deployments, Workplace
from .simulator import Cloud

DEPLOY = "deploy/gce/deploy.sh"
TEARDOWN = "deploy/gce/teardown.sh"
GOOGLE = "googleapis.com"


def test_first_deployment_serves_through_the_balancer(deployed: Deployments, cloud: Cloud) -> None:
    outcome = deployed("gce", PUBLIC="true")
    assert "checks passed" in outcome.out
