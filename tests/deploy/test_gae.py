"""deploy/gae: standard and flexible, with and without Identity-Aware Proxy."""

import pytest

from .conftest import INVOKER, PROJECT, Checkout, Deployments
from .scenarios import check_dry_run_output_deploys
from .simulator import Cloud
from .simulator.service import permission_denied

DEPLOY = "deploy/gae/deploy.sh"
TEARDOWN = "deploy/gae/teardown.sh"
OPEN = {"PUBLIC": "true"}


def candidate(cloud: Cloud) -> dict:
    return next(
        v for (service, name), v in cloud.appengine.versions.items() if service == "quintet" and name != "placeholder"
    )


def test_first_version_is_tested_before_it_gets_traffic(deployed: Deployments, cloud: Cloud) -> None:
    outcome = deployed("gae", **OPEN)
    assert "checks passed" in outcome.out
    version = candidate(cloud)["id"]
    assert all(request.startswith(f"{version}-dot-quintet ") for request in deployed.requests)
    assert any("POST /predict 200" in request for request in deployed.requests)
    assert deployed.changes[-1] == f"PATCH appengine.googleapis.com/v1/apps/{PROJECT}/services/quintet"
    assert cloud.appengine.serving("quintet") == version
    assert cloud.appengine.serving("default") == "placeholder"


def test_standard_version_has_the_fields_of_app_yaml(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gae", **OPEN)
    version = candidate(cloud)
    assert version["runtime"] == "python313"
    assert version["instanceClass"] == "F1"
    assert version["entrypoint"]["shell"] == "gunicorn"
    assert version["inboundServices"] == ["INBOUND_SERVICE_WARMUP"]
    assert version["envVariables"] == {"MODEL": "model/imagenet", "WEB_CONCURRENCY": "1", "LOG_FORMAT": "json"}
    assert version["automaticScaling"]["maxConcurrentRequests"] == 8
    assert {handler["securityLevel"] for handler in version["handlers"]} == {"SECURE_ALWAYS"}
    assert version["serviceAccount"] == f"quintet-gae@{PROJECT}.iam.gserviceaccount.com"
    assert version["automaticScaling"]["standardSchedulerSettings"] == {"maxInstances": 2, "minInstances": 0}
    static = [handler for handler in version["handlers"] if "staticFiles" in handler]
    assert [handler["urlRegex"] for handler in static] == ["/assets/(.*)"]


def test_upload_contains_only_the_app_and_the_bundle(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gae", **OPEN)
    names = set(candidate(cloud)["deployment"]["files"])
    assert {name.split("/")[0] for name in names} == {
        "app.yaml",
        "app",
        "gunicorn.conf.py",
        "model",
        "requirements.txt",
    }
    assert {"app/wsgi.py", "model/imagenet/model.tflite"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith("model.keras")]


def test_organization_without_automatic_grants_gets_the_roles_that_it_needs(cloud: Cloud, checkout: Checkout) -> None:
    cloud.conditions.automatic_grants = False
    checkout.settings(**OPEN)
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    roles = {"roles/storage.objectViewer", "roles/logging.logWriter"}
    builder, account = f"{PROJECT}@appspot.gserviceaccount.com", f"quintet-gae@{PROJECT}.iam.gserviceaccount.com"
    assert cloud.resourcemanager.roles(builder) == roles | {"roles/artifactregistry.writer"}
    assert cloud.resourcemanager.roles(account) == roles | {"roles/artifactregistry.reader"}


def test_second_deployment_changes_nothing_and_a_new_version_is_tested_without_traffic(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gae", **OPEN)
    before = cloud.appengine.serving("quintet")
    assert checkout.run(DEPLOY).code == 0
    assert cloud.changes() == []
    checkout.new_commit()
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "failed the smoke test at http://127.0.0.1:" in outcome.err
    assert f"The candidate got no traffic; still serving: {before}\n" in outcome.err
    assert cloud.appengine.serving("quintet") == before
    cloud.forget()
    outcome = checkout.run(DEPLOY)  # the version exists, so nothing is uploaded
    assert outcome.code == 0, outcome
    assert cloud.changes() == [f"PATCH appengine.googleapis.com/v1/apps/{PROJECT}/services/quintet"]
    assert cloud.appengine.serving("quintet") != before


def test_version_that_is_never_ready_gets_no_traffic(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gae", **OPEN)
    before = cloud.appengine.serving("quintet")
    checkout.new_commit()
    cloud.appengine.never_ready = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "was not built or did not become ready" in outcome.err
    assert "gcloud app logs read --service=quintet" in outcome.err
    assert cloud.appengine.serving("quintet") == before


def test_private_without_an_invoker_is_rejected_before_any_change(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(INVOKER="-")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "missing setting INVOKER: PUBLIC=false on App Engine uses Identity-Aware Proxy" in outcome.err
    assert cloud.changes() == []


def test_public_application_behind_identity_aware_proxy_is_rejected(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gae", **OPEN)
    cloud.appengine.app["iap"] = {"enabled": True}
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "Turn it off: gcloud iap web disable --resource-type=app-engine" in outcome.err
    assert cloud.changes() == []


def test_private_candidate_is_tested_until_the_grant_takes_effect(
    cloud: Cloud, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False] * 3)
    monkeypatch.setattr(cloud.appengine, "may_call", lambda *_: next(answers, True))
    outcome = checkout.run(DEPLOY, SMOKE_LIMIT="1")
    assert outcome.code == 0, outcome


def test_flexible_runs_the_image_and_stops_the_previous_version(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(GAE_ENVIRONMENT="flexible", **OPEN)
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    first = candidate(cloud)
    assert first["deployment"]["container"]["image"].startswith(
        f"europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:"
    )
    assert first["readinessCheck"]["path"] == "/ready"
    assert first["livenessCheck"]["path"] == "/health"
    assert first["automaticScaling"]["minTotalInstances"] == 1
    assert first["automaticScaling"]["maxTotalInstances"] == 2
    cloud.forget()
    checkout.settings(GAE_ENVIRONMENT="flexible", MAX_INSTANCES=3, **OPEN)
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes("builds") == []  # the image exists
    assert first["servingStatus"] == "STOPPED"


def test_application_in_another_region_is_rejected_before_any_change(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(REGION="us-central1", **OPEN)
    cloud.serviceusage.enabled.update({"appengine.googleapis.com", "cloudbuild.googleapis.com", "iam.googleapis.com"})
    cloud.appengine.app = {"id": PROJECT, "locationId": "europe-west"}
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert f"invalid REGION 'us-central1': the App Engine application of {PROJECT} is in europe-west" in outcome.err
    assert cloud.changes() == []


def test_too_long_host_name_is_rejected_before_any_change(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PROJECT="a-project-with-quite-a-long-id", SERVICE="a-long-service-name", **OPEN)
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "expected at most 63. Use a shorter name." in outcome.err
    assert cloud.changes() == []


def test_teardown_removes_the_service_and_its_account(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gae", **OPEN)
    outcome = checkout.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert set(cloud.appengine.services) == {"default"}
    assert cloud.iam.accounts == {}
    assert "cannot be deleted" in outcome.err


def test_permission_error_names_the_fix(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(**OPEN)
    cloud.fail("POST appengine.googleapis.com/v1/apps$", permission_denied("appengine.applications.create", PROJECT))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "could not create the application" in outcome.err
    assert "lacks a role" in outcome.err


def test_private_application_is_behind_identity_aware_proxy_and_dry_run_output_deploys(
    cloud: Cloud, checkout: Checkout
) -> None:
    check_dry_run_output_deploys(cloud, checkout, DEPLOY)
    assert cloud.appengine.serving("quintet") == candidate(cloud)["id"]
    assert cloud.appengine.app["iap"]["enabled"] is True
    protected = next(
        i for i, c in enumerate(cloud.changes()) if c == f"PATCH appengine.googleapis.com/v1/apps/{PROJECT}"
    )
    uploaded = next(i for i, c in enumerate(cloud.changes()) if c.endswith("/services/quintet/versions"))
    assert protected < uploaded
    assert cloud.iap.members("quintet") == {f"serviceAccount:{INVOKER}"}
    assert not cloud.appengine.may_call("quintet", {})
    assert cloud.frontend.requests[0].endswith("GET /ready 200")
    cloud.forget()
    assert checkout.run(DEPLOY).code == 0
    assert cloud.changes() == []
