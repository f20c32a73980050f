"""The simulator's own conditions (simulator/conditions.py), each seen through real gcloud commands."""

import pytest

from .conftest import PROJECT, Outcome, Workplace
from .simulator import Cloud, Seconds

BUILDER = f"builder@{PROJECT}.iam.gserviceaccount.com"


def gcloud(workplace: Workplace, *words: str) -> Outcome:
    return workplace.run("gcloud", *words, f"--project={PROJECT}")


def enable(workplace: Workplace, *apis: str) -> None:
    outcome = gcloud(workplace, "services", "enable", *(f"{api}.googleapis.com" for api in apis))
    assert outcome.code == 0, outcome


def create_account(workplace: Workplace) -> None:
    assert gcloud(workplace, "iam", "service-accounts", "create", "builder").code == 0


def grant(workplace: Workplace, role: str, member: str = f"serviceAccount:{BUILDER}") -> Outcome:
    words = ("projects", "add-iam-policy-binding", PROJECT, f"--member={member}", f"--role={role}", "--condition=None")
    return workplace.run("gcloud", *words)


def build(workplace: Workplace, region: str = "europe-west1", *flags: str) -> Outcome:
    (workplace.folder / "build.yaml").write_text("steps: [{name: busybox}]\noptions: {logging: CLOUD_LOGGING_ONLY}\n")
    account = f"--service-account=projects/{PROJECT}/serviceAccounts/{BUILDER}"
    words = ("builds", "submit", "deploy/gae", "--config=build.yaml", f"--region={region}", account, "--suppress-logs")
    return gcloud(workplace, *words, *flags)


def run_service(workplace: Workplace, name: str = "first") -> Outcome:
    image = f"--image=europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:{'0' * 64}"
    account = f"--service-account={BUILDER}"
    suffix = f"--revision-suffix={name}"
    return gcloud(workplace, "run", "deploy", "quintet", image, "--region=europe-west1", account, suffix)


def list_services(workplace: Workplace) -> Outcome:
    return gcloud(workplace, "run", "services", "list", "--region=europe-west1")


def test_every_test_starts_without_conditions(cloud: Cloud) -> None:
    cloud.conditions.api_delay = 3
    cloud.propagation.start("api", ["run.googleapis.com"], 3)
    cloud.restore(cloud.snapshot())
    assert cloud.conditions.api_delay == 0
    assert not cloud.propagation.is_pending("api", "run.googleapis.com")


def test_api_is_disabled_for_some_calls_after_it_was_enabled(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.api_delay = 2
    enable(workplace, "run")
    for _ in range(2):
        refused = list_services(workplace)
        assert refused.code == 1
        assert "has not been used in project" in refused.err
        assert "wait a few minutes for the action to propagate" in refused.err
        assert "SERVICE_DISABLED" in refused.err
    assert list_services(workplace).code == 0


def test_delay_in_seconds_ends_with_the_time_and_not_with_calls(cloud: Cloud, workplace: Workplace) -> None:
    now = 0.0
    cloud.propagation.clock = lambda: now
    cloud.conditions.api_delay = Seconds(60)
    enable(workplace, "run")
    for _ in range(2):
        assert list_services(workplace).code == 1
    now = 60.0
    assert list_services(workplace).code == 0


def test_new_account_is_unknown_at_first(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.account_delay = 1
    enable(workplace, "iam")
    create_account(workplace)
    refused = grant(workplace, "roles/run.builder")
    assert refused.code == 1
    assert f"Service account {BUILDER} does not exist." in refused.err
    assert grant(workplace, "roles/run.builder").code == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (build, "caller does not have permission to act as service account"),
        (run_service, "Permission 'iam.serviceaccounts.actAs' denied on service account"),
    ],
)
def test_new_account_cannot_be_acted_as_at_first(
    action: object, message: str, cloud: Cloud, workplace: Workplace
) -> None:
    enable(workplace, "iam", "run", "cloudbuild")
    cloud.conditions.account_delay = 1
    create_account(workplace)
    refused = action(workplace)
    assert refused.code == 1
    assert message in refused.err
    assert action(workplace).code == 0


def test_builds_cannot_read_the_source_until_the_role_is_effective(cloud: Cloud, workplace: Workplace) -> None:
    enable(workplace, "iam", "cloudbuild")
    create_account(workplace)
    cloud.conditions.grant_delay = 1
    assert grant(workplace, "roles/run.builder").code == 0
    refused = build(workplace)
    assert refused.code == 1
    assert f"could not resolve source: googleapi: Error 403: {BUILDER} does not have storage.objects.get" in refused.err
    assert build(workplace).code == 0


def test_first_revision_fails_until_the_service_agent_is_known(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.agent_delay = 1
    enable(workplace, "iam", "run")
    refused = run_service(workplace)
    assert refused.code == 1
    assert "Google Cloud Run Service Agent" in refused.err
    assert "the permissions might take a few minutes to propagate" in refused.err
    assert run_service(workplace, "second").code == 0


def test_first_version_is_refused_until_the_service_agent_is_known(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.agent_delay = 1
    enable(workplace, "appengine")
    assert gcloud(workplace, "app", "create", "--region=europe-west").code == 0
    page = workplace.folder / "page"
    page.mkdir()
    (page / "app.yaml").write_text("runtime: python313\nhandlers: [{url: /, static_files: a, upload: a}]\n")
    (page / "a").write_text("a")
    deploy = ("app", "deploy", str(page / "app.yaml"), "--version=a", "--quiet")
    refused = gcloud(workplace, *deploy)
    assert refused.code == 1
    assert "Unable to retrieve P4SA" in refused.err
    outcome = gcloud(workplace, *deploy)
    assert outcome.code == 0, outcome


def test_resource_manager_is_off_until_it_is_enabled(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.disabled_apis = {"cloudresourcemanager.googleapis.com"}
    read = ("gcloud", "projects", "get-iam-policy", PROJECT)
    refused = workplace.run(*read)
    assert refused.code == 1
    assert "cloudresourcemanager.googleapis.com API has not been used in project" in refused.err
    listed = gcloud(workplace, "services", "list", "--enabled", "--format=value(config.name)")
    assert "storage.googleapis.com" in listed.out
    assert "cloudresourcemanager" not in listed.out
    enable(workplace, "cloudresourcemanager")
    assert workplace.run(*read).code == 0


def test_project_without_billing(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.billing_enabled = False
    refused = gcloud(workplace, "services", "enable", "run.googleapis.com")
    assert refused.code == 1
    assert "Billing must be enabled for activation of service(s) 'run.googleapis.com' to proceed." in refused.err
    described = workplace.run("gcloud", "billing", "projects", "describe", PROJECT, "--format=value(billingEnabled)")
    assert described.out == "False\n"
    cloud.conditions.billing_enabled = True
    enable(workplace, "run")


def test_quota_project_is_refused(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.quota_project_refused = True
    read = ("gcloud", "projects", "describe", PROJECT)
    refused = workplace.run(*read, "--billing-project=another-project")
    assert refused.code == 1
    assert "Caller does not have required permission to use project another-project." in refused.err
    assert "USER_PROJECT_DENIED" in refused.err
    assert workplace.run(*read).code == 0


def test_first_change_of_a_policy_is_a_conflict(cloud: Cloud, workplace: Workplace) -> None:
    cloud.conditions.conflicts = 1
    refused = grant(workplace, "roles/viewer", "user:someone@example.com")
    assert refused.code == 1
    assert "There were concurrent policy changes" in refused.err
    assert grant(workplace, "roles/viewer", "user:someone@example.com").code == 0


def test_first_change_in_an_api_is_over_the_rate_limit(cloud: Cloud, workplace: Workplace) -> None:
    enable(workplace, "iam")
    cloud.conditions.rate_limits = 1
    create = ("iam", "service-accounts", "create", "builder")
    refused = gcloud(workplace, *create)
    assert refused.code == 1
    assert "RESOURCE_EXHAUSTED" in refused.err
    assert "Quota exceeded for quota metric" in refused.err
    assert gcloud(workplace, *create).code == 0


def test_every_second_call_finds_the_service_unavailable(cloud: Cloud, workplace: Workplace) -> None:
    enable(workplace, "iam")
    cloud.conditions.unavailable_every = 2
    listing = ("iam", "service-accounts", "list")
    assert gcloud(workplace, *listing).code == 0
    cloud.forget()
    assert gcloud(workplace, *listing).code == 0  # gcloud tries it again
    assert len(cloud.calls) == 2
