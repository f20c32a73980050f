"""deploy/gke: first, second and new deployments, sick versions and the way back."""

from .conftest import PROJECT, Deployments, Workplace
from .simulator import Cloud

DEPLOY = "deploy/gke/deploy.sh"
TEARDOWN = "deploy/gke/teardown.sh"


def test_first_deployment_serves_through_the_gateway(deployed: Deployments, cloud: Cloud) -> None:
    outcome = deployed("gke", PUBLIC="true")
    assert "checks passed" in outcome.out
