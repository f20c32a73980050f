"""deploy/cloudrun: first, second and new deployments, failures, public access and teardown."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import INVOKER, PROJECT, ROOT, Checkout, Deployments
from .scenarios import check_printed_curl
from .simulator import Cloud
from .simulator.service import Refusal, api_not_enabled, permission_denied
from .simulator.workloads import unpack

DEPLOY = "deploy/cloudrun/deploy.sh"
TEARDOWN = "deploy/cloudrun/teardown.sh"


def test_first_deployment_is_tested_before_it_is_public(deployed: Deployments, cloud: Cloud) -> None:
    outcome = deployed("cloudrun", PUBLIC="true")
    assert "all 9 checks passed" in outcome.out
    assert all(request.startswith("candidate---quintet ") for request in deployed.requests)
    assert any("POST /predict 200" in request for request in deployed.requests)
    assert (
        deployed.changes[-1]
        == f"PUT europe-west1-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/{PROJECT}/services/quintet"
    )
    assert cloud.run.may_call("quintet", {})


def test_first_revision_with_wrong_predictions_never_becomes_public(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PUBLIC="true")
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "It was the first revision: the service stays private" in outcome.err
    assert not cloud.run.may_call("quintet", {})


def test_printed_curl_command_classifies_an_image(deployed: Deployments, checkout: Checkout) -> None:
    check_printed_curl(checkout, deployed("cloudrun", PUBLIC="true"))


def test_service_has_the_fields_of_service_yaml(deployed: Deployments, cloud: Cloud) -> None:
    deployed("cloudrun", PUBLIC="true")
    service = cloud.run.services["quintet"]
    template = service["spec"]["template"]
    container = template["spec"]["containers"][0]
    assert container["image"].startswith(f"europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:")
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"
    alive = container["livenessProbe"]
    assert alive["httpGet"]["path"] == "/health"
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 60  # an instance that is busy is not restarted
    assert alive["timeoutSeconds"] >= 5
    assert template["spec"]["containerConcurrency"] == 8
    assert template["spec"]["serviceAccountName"] == f"quintet-run@{PROJECT}.iam.gserviceaccount.com"
    assert template["metadata"]["annotations"]["run.googleapis.com/startup-cpu-boost"] == "true"
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "2"
    assert template["metadata"]["annotations"]["run.googleapis.com/execution-environment"] == "gen2"
    assert template["spec"]["timeoutSeconds"] == 60
    assert container["env"] == [{"name": "LOG_FORMAT", "value": "json"}, {"name": "WEB_CONCURRENCY", "value": "1"}]
    start = container["startupProbe"]
    assert (start["periodSeconds"], start["failureThreshold"]) == (1, 60)
    assert service["metadata"]["annotations"]["run.googleapis.com/minScale"] == "0"


def test_service_account_has_no_role(deployed: Deployments, cloud: Cloud) -> None:
    deployed("cloudrun", PUBLIC="true")
    members = {m: b["role"] for b in cloud.resourcemanager.policy["bindings"] for m in b["members"]}
    assert members == {f"serviceAccount:quintet-build@{PROJECT}.iam.gserviceaccount.com": "roles/run.builder"}


def test_archive_contains_only_the_app_and_the_bundle(deployed: Deployments, cloud: Cloud) -> None:
    deployed("cloudrun", PUBLIC="true")
    *_, archive = cloud.storage.buckets[f"{PROJECT}_europe-west1_cloudbuild"].values()
    names = set(unpack(archive))
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M):
        for source in copied.replace("${MODEL}", "model/imagenet").split():
            assert any(name == source or name.startswith(f"{source}/") for name in names), source
    top = {name.split("/")[0] for name in names}
    assert top == {"app", "docker", "model", "gunicorn.conf.py", "requirements.txt", "Dockerfile", ".dockerignore"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".env", "model.keras"))]


def test_second_deployment_changes_nothing(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes() == []
    assert "is already serving; nothing to deploy" in outcome.err


def test_new_release_is_tested_without_traffic_and_then_promoted(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    before = cloud.run.serving("quintet")
    checkout.new_commit()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    replaced, promoted = cloud.sent("PUT .*/services/quintet")
    assert replaced.body["spec"]["traffic"][0] == {"revisionName": before, "percent": 100}
    assert replaced.body["spec"]["traffic"][1]["tag"] == "candidate"
    assert replaced.body["spec"]["traffic"][1]["percent"] == 0
    after = cloud.run.serving("quintet")
    assert after != before
    assert promoted.body["spec"]["traffic"] == [{"revisionName": after, "percent": 100}]
    assert cloud.run.may_call("quintet", {})


def test_candidate_that_is_never_ready_gets_no_traffic(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    before = cloud.run.serving("quintet")
    checkout.new_commit()
    cloud.run.never_ready = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert f"The candidate got no traffic; still serving: {before}\n" in outcome.err
    assert "Read its log: gcloud logging read" in outcome.err
    assert cloud.run.serving("quintet") == before


def test_candidate_with_wrong_predictions_gets_no_traffic_and_the_next_run_promotes_it(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    before = cloud.run.serving("quintet")
    checkout.new_commit()
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "FAIL samples/" in outcome.out
    assert "failed the smoke test" in outcome.err
    assert cloud.run.serving("quintet") == before
    cloud.forget()
    outcome = checkout.run(DEPLOY)  # the revision exists, so nothing is built or deployed
    assert outcome.code == 0, outcome
    assert cloud.changes("builds|replace") == []
    assert cloud.run.serving("quintet") != before


def test_permission_error_names_the_fix(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    checkout.new_commit()
    cloud.fail("PUT .*/services/quintet", permission_denied("run.services.update", "quintet"))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert f"lacks a role in {PROJECT}. Ask the project's owner for the roles" in outcome.err


def test_missing_permission_is_not_mistaken_for_a_missing_resource(cloud: Cloud, checkout: Checkout) -> None:
    cloud.fail("GET iam.googleapis.com", permission_denied("iam.serviceAccounts.get", "quintet-run"))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "lacks a role" in outcome.err
    assert cloud.changes("serviceAccounts") == []


def test_api_that_cannot_be_enabled_is_named(cloud: Cloud, checkout: Checkout) -> None:
    cloud.fail("batchEnable", permission_denied("serviceusage.services.enable", PROJECT))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "could not enable run.googleapis.com artifactregistry.googleapis.com" in outcome.err
    assert cloud.changes() == [f"POST serviceusage.googleapis.com/v1/projects/{PROJECT}/services:batchEnable"]


def test_api_that_is_still_reported_as_disabled(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    cloud.fail("GET .*/namespaces/.*/services", api_not_enabled("run.googleapis.com", PROJECT))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "Wait a minute and run the same command again" in outcome.err


def test_public_false_makes_a_public_service_private_first(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    checkout.settings(PUBLIC="false")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert not cloud.run.may_call("quintet", {})
    first = cloud.sent("PUT .*/services/quintet")[0].body
    assert first["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"].lower() == "false"
    assert (
        first["spec"]["template"]["metadata"]["labels"]["release"] not in outcome.err.splitlines()[0]
    )  # before the new release


def test_public_false_removes_a_public_binding_of_earlier_deployments(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="false")
    cloud.run.policies["quintet"] = {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.run.invokers("quintet") == set()
    assert not cloud.run.may_call("quintet", {})


def test_domain_restricted_organization_can_have_a_public_service(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.domain_restricted = True
    checkout.settings(PUBLIC="true")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.run.may_call("quintet", {})
    assert cloud.changes("setIamPolicy") == [
        f"POST cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}:setIamPolicy"
    ]


def test_bucket_of_the_sources_can_never_be_public(cloud: Cloud, checkout: Checkout) -> None:
    script = """
        for file in shell propagation project; do source deploy/lib/$file.sh; done
        PROJECT=quintet-staging REGION=europe-west1
        ensure_source_bucket
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 0, outcome
    (created,) = cloud.sent("POST storage.googleapis.com/storage/v1/b$")
    assert created.body["iamConfiguration"] == {
        "publicAccessPrevention": "enforced",
        "uniformBucketLevelAccess": {"enabled": True},
    }


def test_role_is_granted_in_a_project_that_has_conditional_roles(cloud: Cloud, checkout: Checkout) -> None:
    cloud.serviceusage.enabled.update({"iam.googleapis.com", "cloudresourcemanager.googleapis.com"})
    condition = {"title": "until 2027", "expression": "request.time < timestamp('2027-01-01T00:00:00Z')"}
    conditional = {"role": "roles/viewer", "members": ["user:someone@example.com"], "condition": condition}
    cloud.resourcemanager.policy["bindings"] = [conditional]
    cloud.resourcemanager.policy["version"] = 3
    script = """
        for file in shell propagation project; do source deploy/lib/$file.sh; done
        PROJECT=quintet-staging
        ensure_account quintet-run "Runs quintet"
        ensure_role quintet-run roles/logging.logWriter
    """
    outcome = checkout.run("bash", "-euo", "pipefail", "-c", script)
    assert outcome.code == 0, outcome
    granted = {
        "role": "roles/logging.logWriter",
        "members": [f"serviceAccount:quintet-run@{PROJECT}.iam.gserviceaccount.com"],
    }
    assert sorted(cloud.resourcemanager.policy["bindings"], key=lambda binding: binding["role"]) == [
        granted,
        conditional,
    ]


@pytest.mark.usefixtures("cloud")
def test_bundle_of_the_settings_is_built_into_the_image(checkout: Checkout) -> None:
    shutil.copytree(checkout.folder / "model/imagenet", checkout.folder / "model/other")
    card = checkout.folder / "model/other/model.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "version": "other"}))
    checkout.settings(MODEL="model/other", PUBLIC="true")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert "imagenet other" in outcome.out  # the smoke test's line about the deployed bundle


def test_uploaded_sources_stay_in_the_region(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.allowed_locations = ["europe-west1"]
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert {where.lower() for where in cloud.storage.locations.values()} == {"europe-west1"}


def test_dry_run_shows_every_command_of_a_local_build(cloud: Cloud, checkout: Checkout, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\n[ $1 = info ]\n")  # a dry run calls only `docker info`
    docker.chmod(0o755)
    checkout.settings(BUILD="local")
    printed = checkout.run(DEPLOY, "--dry-run", PATH=f"{tmp_path}:{checkout.environment['PATH']}")
    assert printed.code == 0, printed
    assert "MODEL=model/imagenet docker/build.sh --platform=linux/amd64" in printed.out
    assert "docker push europe-west1-docker.pkg.dev/" in printed.out
    assert "builds submit" not in printed.out
    assert cloud.changes() == []


def test_teardown_lists_confirms_and_removes(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("cloudrun", PUBLIC="true")
    declined = checkout.run(TEARDOWN, answer="n\n")
    assert declined.code == 1
    assert "service account quintet-run@" in declined.err
    assert cloud.changes() == []
    outcome = checkout.run(TEARDOWN, answer="y\n")
    assert outcome.code == 0, outcome
    assert cloud.run.services == {}
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    assert "Not removed" in outcome.err
    cloud.forget()
    again = checkout.run(TEARDOWN, "--yes")
    assert again.code == 0, again
    assert "No resources of quintet on cloudrun are left" in again.err
    assert cloud.changes() == []


def test_teardown_of_an_incomplete_deployment(cloud: Cloud, checkout: Checkout) -> None:
    cloud.fail("POST artifactregistry", permission_denied("artifactregistry.repositories.create", PROJECT))
    assert checkout.run(DEPLOY).code == 1
    cloud.forget()
    outcome = checkout.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert cloud.iam.accounts == {}
    assert [change.split(" ")[0] for change in cloud.changes()] == ["DELETE"]


@pytest.mark.parametrize("kind", ["person", "service account"])
def test_identity_token_matches_the_kind_of_login(
    kind: str, deployed: Deployments, checkout: Checkout, tmp_path: Path
) -> None:
    deployed("cloudrun", PUBLIC="true")
    checkout.settings(INVOKER="-", PUBLIC="false")
    login = {"CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": ""}
    if kind == "person":
        log_in = ["gcloud", "auth", "activate-refresh-token", "someone@example.com", "refresh"]
    else:
        key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True).stdout
        account = {
            "type": "service_account",
            "client_email": INVOKER,
            "private_key": key,
            "private_key_id": "1",
            "client_id": "1",
        }
        (tmp_path / "key.json").write_text(json.dumps({**account, "token_uri": "https://oauth2.googleapis.com/token"}))
        log_in = ["gcloud", "auth", "activate-service-account", "--key-file", str(tmp_path / "key.json")]
    assert checkout.run(*log_in, **login).code == 0
    outcome = checkout.run(DEPLOY, **login)
    assert outcome.code == 0, outcome
    assert ("--audiences=" in outcome.err) == (kind == "service account")


def test_failed_build_deploys_nothing_and_the_next_run_succeeds(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    before = cloud.run.serving("quintet")
    checkout.new_commit()
    cloud.cloudbuild.fails = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "the build failed; nothing was deployed" in outcome.err
    assert "gcloud logging read" in outcome.err
    assert cloud.run.serving("quintet") == before
    cloud.cloudbuild.fails = False
    cloud.forget()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes("serviceAccounts|repositories|setIamPolicy") == []
    assert cloud.run.serving("quintet") != before


def test_build_account_that_cannot_build_is_reported_before_the_upload(cloud: Cloud, checkout: Checkout) -> None:
    cloud.cloudbuild.fails = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "the build account quintet-build cannot build" in outcome.err
    assert len(cloud.sent("POST cloudbuild.*/builds$")) == 1
    assert cloud.run.services == {}


def test_dry_run_changes_nothing_and_its_output_deploys(cloud: Cloud, checkout: Checkout) -> None:
    printed = checkout.run(DEPLOY, "--dry-run")
    assert printed.code == 0, printed
    assert "-changed-" not in printed.out
    assert cloud.changes() == []
    assert cloud.storage.buckets == {}
    pasted = checkout.run("bash", "-euo", "pipefail", "-c", printed.out)
    assert pasted.code == 0, pasted
    assert cloud.run.serving("quintet")
    # Private by default: requests without a token are rejected, and the smoke test sends one.
    assert cloud.run.invokers("quintet") == set()
    assert not cloud.run.may_call("quintet", {})
    assert cloud.frontend.requests[0] == "candidate---quintet GET /ready 200"


def test_organization_policy_that_forbids_public_services(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("cloudrun", PUBLIC="true")
    del cloud.run.services["quintet"]["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"]
    reason = 'Operation denied by org policy: ["constraints/run.managed.requireInvokerIam"]'
    cloud.fail("PUT .*/services/quintet", Refusal(400, "FAILED_PRECONDITION", reason))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "could not be made public. An organization policy forbids this. Set PUBLIC=false" in outcome.err
