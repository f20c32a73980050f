"""What no wait can solve ends the script before anything billable exists, with the true cause."""

from .conftest import Checkout
from .simulator import Cloud


def test_app_engine_is_not_created_where_the_project_may_not_build(cloud: Cloud, checkout: Checkout) -> None:
    """The location of an application cannot be changed."""
    cloud.conditions.build_regions = ["europe-west1"]
    checkout.settings(PUBLIC="true", REGION="europe-west4")
    outcome = checkout.run("deploy/gae/deploy.sh")
    assert outcome.code == 1
    assert "This project may not build in europe-west4" in outcome.err
    assert cloud.appengine.app is None


def test_quota_project_that_the_caller_may_not_use_is_reported_first(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.quota_project_refused = True
    outcome = checkout.run("deploy/cloudrun/deploy.sh", CLOUDSDK_BILLING_QUOTA_PROJECT="another-project")
    assert outcome.code == 1
    assert "Turn that off: gcloud config unset billing/quota_project" in outcome.err
    assert cloud.changes() == []


def test_flexible_environment_without_public_addresses_names_the_policy(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.external_addresses = False
    checkout.settings(PUBLIC="true", GAE_ENVIRONMENT="flexible")
    outcome = checkout.run("deploy/gae/deploy.sh")
    assert outcome.code == 1
    assert "compute.vmExternalIpAccess violated for project" in outcome.err
    assert "Set GAE_ENVIRONMENT=standard" in outcome.err
    assert {version for _, version in cloud.appengine.versions} == {"placeholder"}
