"""The simulator's own conditions (simulator/conditions.py), each seen through real gcloud commands."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.requirements import requires

from .conftest import PROJECT, Checkout, Deployments, Outcome
from .simulator import OPEN_BUILD_REGIONS, Cloud, Seconds

BUILDER = f"builder@{PROJECT}.iam.gserviceaccount.com"


def gcloud(checkout: Checkout, *words: str) -> Outcome:
    return checkout.run("gcloud", *words, f"--project={PROJECT}")


def enable(checkout: Checkout, *apis: str) -> None:
    outcome = gcloud(checkout, "services", "enable", *(f"{api}.googleapis.com" for api in apis))
    assert outcome.code == 0, outcome


def create_account(checkout: Checkout) -> None:
    assert gcloud(checkout, "iam", "service-accounts", "create", "builder").code == 0


def grant(checkout: Checkout, role: str, member: str = f"serviceAccount:{BUILDER}") -> Outcome:
    words = ("projects", "add-iam-policy-binding", PROJECT, f"--member={member}", f"--role={role}", "--condition=None")
    return checkout.run("gcloud", *words)


def build(checkout: Checkout, region: str = "europe-west1", *flags: str) -> Outcome:
    (checkout.folder / "build.yaml").write_text("steps: [{name: busybox}]\noptions: {logging: CLOUD_LOGGING_ONLY}\n")
    account = f"--service-account=projects/{PROJECT}/serviceAccounts/{BUILDER}"
    words = ("builds", "submit", "deploy/gae", "--config=build.yaml", f"--region={region}", account, "--suppress-logs")
    return gcloud(checkout, *words, *flags)


def run_service(checkout: Checkout, name: str = "first") -> Outcome:
    image = f"--image=europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:{'0' * 64}"
    account = f"--service-account={BUILDER}"
    suffix = f"--revision-suffix={name}"
    return gcloud(checkout, "run", "deploy", "quintet", image, "--region=europe-west1", account, suffix)


def create_cluster(checkout: Checkout) -> Outcome:
    create = ("container", "clusters", "create-auto", "quintet", "--region=europe-west1")
    return gcloud(checkout, *create, f"--service-account={BUILDER}")


def list_services(checkout: Checkout) -> Outcome:
    return gcloud(checkout, "run", "services", "list", "--region=europe-west1")


def deploy_app(checkout: Checkout, *lines: str, **files: str) -> Outcome:
    folder = checkout.folder / "site"
    for name, text in {"app.yaml": "\n".join(lines), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    image = [f"--image-url=europe-west1-docker.pkg.dev/{PROJECT}/a/b@sha256:{'0' * 64}"] if "env: flex" in lines else []
    return gcloud(checkout, "app", "deploy", "site/app.yaml", "--version=a", "--quiet", *image)


def test_every_test_starts_without_conditions(cloud: Cloud) -> None:
    cloud.conditions.api_delay = 3
    cloud.propagation.start("api", ["run.googleapis.com"], 3)
    cloud.restore(cloud.snapshot())
    assert cloud.conditions.api_delay == 0
    assert not cloud.propagation.is_pending("api", "run.googleapis.com")


def test_api_is_disabled_for_some_calls_after_it_was_enabled(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.api_delay = 2
    enable(checkout, "run")
    for _ in range(2):
        refused = list_services(checkout)
        assert refused.code == 1
        assert "has not been used in project" in refused.err
        assert "wait a few minutes for the action to propagate" in refused.err
        assert "SERVICE_DISABLED" in refused.err
    assert list_services(checkout).code == 0


def test_delay_in_seconds_ends_with_the_time_and_not_with_calls(cloud: Cloud, checkout: Checkout) -> None:
    now = 0.0
    cloud.propagation.clock = lambda: now
    cloud.conditions.api_delay = Seconds(60)
    enable(checkout, "run")
    for _ in range(2):
        assert list_services(checkout).code == 1
    now = 60.0
    assert list_services(checkout).code == 0


def test_new_account_is_unknown_at_first(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.account_delay = 1
    enable(checkout, "iam")
    create_account(checkout)
    refused = grant(checkout, "roles/run.builder")
    assert refused.code == 1
    assert f"Service account {BUILDER} does not exist." in refused.err
    assert grant(checkout, "roles/run.builder").code == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (build, "caller does not have permission to act as service account"),
        (run_service, "Permission 'iam.serviceaccounts.actAs' denied on service account"),
        (create_cluster, f"The user does not have access to service account '{BUILDER}'"),
    ],
)
def test_new_account_cannot_be_acted_as_at_first(
    action: object, message: str, cloud: Cloud, checkout: Checkout
) -> None:
    enable(checkout, "iam", "run", "cloudbuild", "container")
    cloud.conditions.account_delay = 1
    create_account(checkout)
    refused = action(checkout)
    assert refused.code == 1
    assert message in refused.err
    assert action(checkout).code == 0


def test_builds_cannot_read_the_source_until_the_role_is_effective(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "iam", "cloudbuild")
    create_account(checkout)
    cloud.conditions.grant_delay = 1
    assert grant(checkout, "roles/run.builder").code == 0
    refused = build(checkout)
    assert refused.code == 1
    assert f"could not resolve source: googleapi: Error 403: {BUILDER} does not have storage.objects.get" in refused.err
    assert build(checkout).code == 0


def test_first_revision_fails_until_the_service_agent_is_known(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.agent_delay = 1
    enable(checkout, "iam", "run")
    refused = run_service(checkout)
    assert refused.code == 1
    assert "Google Cloud Run Service Agent" in refused.err
    assert "the permissions might take a few minutes to propagate" in refused.err
    assert run_service(checkout, "second").code == 0


def test_first_version_is_refused_until_the_service_agent_is_known(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.agent_delay = 1
    enable(checkout, "appengine")
    assert gcloud(checkout, "app", "create", "--region=europe-west").code == 0
    page = ("runtime: python313", "handlers: [{url: /, static_files: a, upload: a}]")
    refused = deploy_app(checkout, *page, a="a")
    assert refused.code == 1
    assert "Unable to retrieve P4SA" in refused.err
    outcome = deploy_app(checkout, *page, a="a")
    assert outcome.code == 0, outcome


def test_resource_manager_is_off_until_it_is_enabled(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.disabled_apis = {"cloudresourcemanager.googleapis.com"}
    read = ("gcloud", "projects", "get-iam-policy", PROJECT)
    refused = checkout.run(*read)
    assert refused.code == 1
    assert "cloudresourcemanager.googleapis.com API has not been used in project" in refused.err
    listed = gcloud(checkout, "services", "list", "--enabled", "--format=value(config.name)")
    assert "storage.googleapis.com" in listed.out
    assert "cloudresourcemanager" not in listed.out
    enable(checkout, "cloudresourcemanager")
    assert checkout.run(*read).code == 0


def test_project_without_billing(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.billing_enabled = False
    refused = gcloud(checkout, "services", "enable", "run.googleapis.com")
    assert refused.code == 1
    assert "Billing must be enabled for activation of service(s) 'run.googleapis.com' to proceed." in refused.err
    described = checkout.run("gcloud", "billing", "projects", "describe", PROJECT, "--format=value(billingEnabled)")
    assert described.out == "False\n"
    cloud.conditions.billing_enabled = True
    enable(checkout, "run")


def test_quota_project_is_refused(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.quota_project_refused = True
    read = ("gcloud", "projects", "describe", PROJECT)
    refused = checkout.run(*read, "--billing-project=another-project")
    assert refused.code == 1
    assert "Caller does not have required permission to use project another-project." in refused.err
    assert "USER_PROJECT_DENIED" in refused.err
    assert checkout.run(*read).code == 0


def test_first_change_of_a_policy_is_a_conflict(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.conflicts = 1
    refused = grant(checkout, "roles/viewer", "user:someone@example.com")
    assert refused.code == 1
    assert "There were concurrent policy changes" in refused.err
    assert grant(checkout, "roles/viewer", "user:someone@example.com").code == 0


def test_first_change_in_an_api_is_over_the_rate_limit(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "iam")
    cloud.conditions.rate_limits = 1
    create = ("iam", "service-accounts", "create", "builder")
    refused = gcloud(checkout, *create)
    assert refused.code == 1
    assert "RESOURCE_EXHAUSTED" in refused.err
    assert "Quota exceeded for quota metric" in refused.err
    assert gcloud(checkout, *create).code == 0


def test_every_second_call_finds_the_service_unavailable(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "iam")
    cloud.conditions.unavailable_every = 2
    listing = ("iam", "service-accounts", "list")
    assert gcloud(checkout, *listing).code == 0
    cloud.forget()
    assert gcloud(checkout, *listing).code == 0  # gcloud tries it again
    assert len(cloud.calls) == 2


def create_app(checkout: Checkout, region: str = "europe-west") -> None:
    enable(checkout, "appengine", "cloudbuild")
    assert gcloud(checkout, "app", "create", f"--region={region}").code == 0


def test_organisation_policy_refuses_all_users_and_not_the_disabled_invoker_check(
    cloud: Cloud, checkout: Checkout
) -> None:
    enable(checkout, "run")
    assert run_service(checkout).code == 0
    cloud.conditions.domain_restricted = True
    where = ("--region=europe-west1",)
    everybody = ("--member=allUsers", "--role=roles/run.invoker")
    refused = gcloud(checkout, "run", "services", "add-iam-policy-binding", "quintet", *everybody, *where)
    assert refused.code == 1
    assert "do not belong to a permitted customer, perhaps due to an organization policy." in refused.err
    assert not cloud.run.may_call("quintet", {})
    outcome = gcloud(checkout, "run", "services", "update", "quintet", "--no-invoker-iam-check", *where)
    assert outcome.code == 0, outcome
    assert cloud.run.may_call("quintet", {})


def test_organisation_policy_refuses_a_bucket_in_the_us(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "cloudbuild")
    cloud.conditions.allowed_locations = {"europe-west1"}
    refused = build(checkout)
    assert refused.code == 1
    assert "'us' violates constraint 'constraints/gcp.resourceLocations'" in refused.err
    outcome = build(checkout, "europe-west1", "--default-buckets-behavior=regional-user-owned-bucket")
    assert outcome.code == 0, outcome
    assert {location.lower() for location in cloud.storage.locations.values()} == {"europe-west1"}


def test_default_accounts_without_roles_cannot_build_for_app_engine(cloud: Cloud, checkout: Checkout) -> None:
    create_app(checkout)
    cloud.conditions.automatic_grants = False
    standard = ("runtime: python313", "entrypoint: python3 -m http.server")
    refused = deploy_app(checkout, *standard)
    assert refused.code == 1
    email = f"{PROJECT}@appspot.gserviceaccount.com"
    assert f"You must grant Storage Object Viewer permission to {email}" in refused.err
    assert grant(checkout, "roles/storage.objectViewer", f"serviceAccount:{email}").code == 0
    refused = deploy_app(checkout, *standard)
    assert refused.code == 1
    assert "artifactregistry.repositories.uploadArtifacts" in refused.err
    assert grant(checkout, "roles/artifactregistry.writer", f"serviceAccount:{email}").code == 0
    assert deploy_app(checkout, *standard).code == 0


def test_organisation_policy_refuses_public_addresses_of_instances(cloud: Cloud, checkout: Checkout) -> None:
    create_app(checkout)
    cloud.conditions.external_addresses = False
    flexible = ("runtime: custom", "env: flex")
    refused = deploy_app(checkout, *flexible)
    assert refused.code == 1
    assert "Constraint constraints/compute.vmExternalIpAccess violated" in refused.err
    outcome = deploy_app(checkout, *flexible, "network: {instance_ip_mode: internal}")
    assert outcome.code == 0, outcome


@pytest.mark.parametrize(("region", "code"), [("europe-west3", 1), ("europe-west1", 0), ("global", 0)])
def test_new_project_builds_in_the_open_regions_only(region: str, code: int, cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "cloudbuild")
    cloud.conditions.build_regions = OPEN_BUILD_REGIONS
    outcome = build(checkout, region)
    assert outcome.code == code, outcome
    assert ("due to quota restrictions, cannot run builds in this region" in outcome.err) == bool(code)


def create_group(checkout: Checkout, *flags: str) -> None:
    network = gcloud(checkout, "compute", "networks", "create", "default", "--subnet-mode=custom")
    assert network.code == 0, network
    template = ("compute", "instance-templates", "create", "one", "--machine-type=e2-standard-2", *flags)
    outcome = gcloud(checkout, *template, "--image-family=cos-stable", "--image-project=cos-cloud")
    assert outcome.code == 0, outcome
    group = ("compute", "instance-groups", "managed", "create", "group", "--template=one", "--size=3")
    outcome = gcloud(checkout, *group, "--region=europe-west1")
    assert outcome.code == 0, outcome


def group_errors(checkout: Checkout) -> str:
    where = ("group", "--region=europe-west1")
    return gcloud(checkout, "compute", "instance-groups", "managed", "list-errors", *where).out


@pytest.mark.parametrize(("quota", "stable"), [(4, False), (6, True)])
def test_group_over_the_cpu_quota_is_not_stable(quota: int, stable: bool, cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "compute")
    cloud.conditions.cpu_quota = quota
    create_group(checkout, "--no-address")
    assert cloud.compute.named("instanceGroupManagers")["group"]["status"]["isStable"] == stable
    assert (f"Quota 'CPUS_ALL_REGIONS' exceeded.  Limit: {quota}.0 globally." in group_errors(checkout)) != stable


@pytest.mark.parametrize(("flags", "stable"), [([], False), (["--no-address"], True)])
def test_instances_with_a_public_address_are_not_created(
    flags: list[str], stable: bool, cloud: Cloud, checkout: Checkout
) -> None:
    enable(checkout, "compute")
    cloud.conditions.external_addresses = False
    create_group(checkout, *flags)
    assert cloud.compute.named("instanceGroupManagers")["group"]["status"]["isStable"] == stable
    assert ("constraints/compute.vmExternalIpAccess violated" in group_errors(checkout)) != stable


def test_gke_makes_firewall_rules_and_removes_them_with_the_cluster(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "compute", "container")
    cloud.conditions.gke_firewall_rules = True
    assert gcloud(checkout, "compute", "networks", "create", "net", "--subnet-mode=custom").code == 0
    cluster = ("quintet", "--region=europe-west1")
    create = gcloud(checkout, "container", "clusters", "create-auto", *cluster, "--network=net", "--subnetwork=sub")
    assert create.code == 0, create
    listed = gcloud(checkout, "compute", "firewall-rules", "list", "--filter=network~/net$", "--format=value(name)")
    rules = listed.out.split()
    assert len(rules) == 4
    assert all(rule.startswith("gke-quintet-") for rule in rules)
    assert gcloud(checkout, "container", "clusters", "delete", *cluster, "--quiet").code == 0
    gone = gcloud(checkout, "compute", "firewall-rules", "delete", rules[0], "--quiet")
    assert gone.code == 1
    assert "was not found" in gone.err
    assert gcloud(checkout, "compute", "networks", "delete", "net", "--quiet").code == 0


def test_deleted_account_stays_in_the_policy_and_its_successor_has_no_role(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "iam")
    cloud.conditions.deleted_members = True
    create_account(checkout)
    assert grant(checkout, "roles/viewer").code == 0
    assert gcloud(checkout, "iam", "service-accounts", "delete", BUILDER, "--quiet").code == 0
    create_account(checkout)
    policy = checkout.run("gcloud", "projects", "get-iam-policy", PROJECT, "--format=value(bindings.members)")
    assert f"deleted:serviceAccount:{BUILDER}?uid=" in policy.out
    assert cloud.resourcemanager.roles(BUILDER) == set()


def test_failed_first_revision_leaves_traffic_without_a_name(cloud: Cloud, checkout: Checkout) -> None:
    enable(checkout, "run")
    cloud.conditions.unnamed_traffic = True
    cloud.run.never_ready = True
    assert run_service(checkout).code == 1
    assert cloud.run.services["quintet"]["status"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    cloud.run.never_ready = False
    assert run_service(checkout, "second").code == 0
    assert cloud.run.serving("quintet") == "quintet-second"


def tunnel_command(target: str, port: int) -> list[str]:
    if target == "gke":
        return ["kubectl", "--namespace=quintet", "port-forward", "service/quintet", f"{port}:80"]
    where = ["--zone=europe-west1-b", f"--project={PROJECT}"]
    address = f"--local-host-port=localhost:{port}"
    return ["gcloud", "compute", "start-iap-tunnel", "quintet-gce-0000", "8080", address, *where]


@contextmanager
def tunnel(target: str, checkout: Checkout) -> Iterator[str]:
    """The URL of a tunnel to what was deployed."""
    port = free_port()
    command = tunnel_command(target, port)
    with subprocess.Popen(command, env=checkout.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        end = time.monotonic() + 30
        while subprocess.run(["bash", "-c", f": </dev/tcp/127.0.0.1/{port}"], capture_output=True).returncode:
            assert time.monotonic() < end
            assert run.poll() is None, run.stdout.read()
        yield f"http://127.0.0.1:{port}"
        run.terminate()


@pytest.mark.parametrize("target", ["gke", "gce"])
def test_tunnel_is_cut_when_data_comes_and_the_next_one_holds(
    target: str, deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed(target, PUBLIC="false")
    if target == "gke":
        requires("kubectl", "gke-gcloud-auth-plugin")
        access = ("container", "clusters", "get-credentials", "quintet-gke", "--region=europe-west1", "--dns-endpoint")
        assert gcloud(checkout, *access).code == 0
    cloud.conditions.dropped_tunnels = 1
    curl = ("curl", "--silent", "--fail", "--max-time", "10")
    with tunnel(target, checkout) as url:
        assert checkout.run(*curl, f"{url}/ready").code != 0
    with tunnel(target, checkout) as url:
        for _ in range(20):
            assert checkout.run(*curl, f"{url}/ready").code == 0
        upload = checkout.run(*curl, "-F", "file=@model/imagenet/samples/cat.jpg", f"{url}/predict")
        assert '"predictions"' in upload.out, upload


def test_replacing_a_service_drops_what_the_file_does_not_name(
    cloud: Cloud, checkout: Checkout, tmp_path: Path
) -> None:
    enable(checkout, "run")
    assert run_service(checkout).code == 0
    where = ("--region=europe-west1",)
    assert gcloud(checkout, "run", "services", "update", "quintet", "--ingress=internal", *where).code == 0
    assert cloud.run.ingress("quintet") == "internal"
    url = cloud.run.services["quintet"]["status"]["url"]
    assert checkout.run("curl", "--silent", "--write-out", "%{http_code}", "--output", "/dev/null", url).out == "404"
    service = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "quintet"},
        "spec": cloud.run.services["quintet"]["spec"],
    }
    (tmp_path / "service.yaml").write_text(json.dumps(service))
    outcome = gcloud(checkout, "run", "services", "replace", str(tmp_path / "service.yaml"), *where)
    assert outcome.code == 0, outcome
    assert cloud.run.ingress("quintet") == "all"


@pytest.mark.parametrize(("cpu", "memory", "code"), [("4", "512Mi", 1), ("4", "2Gi", 0), ("1", "8Gi", 1)])
def test_cloud_run_refuses_memory_that_does_not_fit_the_cpus(
    cpu: str, memory: str, code: int, cloud: Cloud, checkout: Checkout
) -> None:
    enable(checkout, "run")
    image = f"--image=europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:{'0' * 64}"
    limits = (f"--cpu={cpu}", f"--memory={memory}")
    outcome = gcloud(checkout, "run", "deploy", "quintet", image, "--region=europe-west1", *limits)
    assert outcome.code == code, outcome
    assert ("CPU, memory must be between" in outcome.err) == bool(code)
    assert bool(cloud.run.services) != bool(code)
