"""deploy/gke: first, second and new deployments, failed releases, rollback and teardown."""

import shutil
from pathlib import Path

import pytest

from tests.requirements import requires

from .conftest import PROJECT, Checkout, Deployments
from .scenarios import DOMAIN, check_dry_run_output_deploys, check_https_once_certificate_is_active, check_printed_curl
from .simulator import Cloud
from .simulator.service import permission_denied

requires("kubectl", "gke-gcloud-auth-plugin")

DEPLOY = "deploy/gke/deploy.sh"
TEARDOWN = "deploy/gke/teardown.sh"


def serving(cloud: Cloud) -> str:
    """The release whose pods have the traffic."""
    return cloud.kubernetes.serving()["metadata"]["labels"]["release"]


def test_first_deployment_is_tested_through_the_gateway(deployed: Deployments) -> None:
    outcome = deployed("gke", PUBLIC="true")
    assert "checks passed" in outcome.out
    assert any(
        request.startswith("203.0.113.") and request.endswith("POST /predict 200") for request in deployed.requests
    )
    assert "Warning: without DOMAIN the service uses HTTP" in outcome.err


def test_printed_curl_command_classifies_an_image(deployed: Deployments, checkout: Checkout) -> None:
    check_printed_curl(checkout, deployed("gke", PUBLIC="true"))


def test_cluster_is_autopilot_with_private_nodes_and_its_own_account(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gke", PUBLIC="true")
    cluster = cloud.container.clusters["quintet-gke"]
    assert cluster["autopilot"] == {"enabled": True}
    assert cluster["networkConfig"]["defaultEnablePrivateNodes"] is True
    email = f"quintet-gke-nodes@{PROJECT}.iam.gserviceaccount.com"
    assert email in str(cluster)
    roles = {b["role"] for b in cloud.resourcemanager.policy["bindings"] if f"serviceAccount:{email}" in b["members"]}
    assert roles == {"roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"}


def test_pods_impersonate_an_account_without_roles(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gke", PUBLIC="true")
    email = f"quintet-gke@{PROJECT}.iam.gserviceaccount.com"
    annotations = cloud.kubernetes.objects["serviceaccounts/quintet"]["metadata"]["annotations"]
    assert annotations == {"iam.gke.io/gcp-service-account": email}
    (binding,) = cloud.iam.policies[email]["bindings"]
    assert binding == {
        "role": "roles/iam.workloadIdentityUser",
        "members": [f"serviceAccount:{PROJECT}.svc.id.goog[quintet/quintet]"],
    }
    assert email not in str(cloud.resourcemanager.policy)


def test_manifests_contain_the_settings_and_the_digest(deployed: Deployments, cloud: Cloud) -> None:
    deployed("gke", PUBLIC="true")
    objects = cloud.kubernetes.objects
    (container,) = objects["deployments/quintet"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith(f"europe-west1-docker.pkg.dev/{PROJECT}/quintet/quintet@sha256:")
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "256Mi"}
    assert {"name": "WEB_CONCURRENCY", "value": "1"} in container["env"]
    scaler = objects["horizontalpodautoscalers/quintet"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (1, 2)
    assert objects["gateways/quintet"]["spec"]["addresses"] == [{"type": "NamedAddress", "value": "quintet-gke"}]
    assert "quintet-gke" in cloud.compute.named("addresses")


def test_second_deployment_changes_nothing(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    before = cloud.snapshot()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes(r"googleapis\.com") == []
    assert cloud.snapshot() == before  # the applied manifests equal the existing objects


def test_new_release_replaces_the_old_one(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert serving(cloud) != before
    assert checkout.git("status", "--porcelain") == ""  # no tracked file changed


def test_redirect_of_a_former_domain_is_deleted(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    redirect = {"metadata": {"name": "redirect", "namespace": "quintet"}}
    redirect["spec"] = {"parentRefs": [{"name": "quintet", "sectionName": "http"}], "rules": [{"filters": []}]}
    cloud.kubernetes.objects["httproutes/redirect"] = redirect
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert "httproutes/redirect" not in cloud.kubernetes.objects


def test_manifests_are_applied_although_a_rollback_owns_some_fields(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    assert checkout.run(DEPLOY).code == 0
    applied = cloud.sent(r"PATCH .*\.gke\.goog/")
    assert applied
    assert {call.query["force"] for call in applied} == {"true"}


def test_production_runs_two_pods_that_are_not_spot_pods(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings("production", PUBLIC="true")
    outcome = checkout.run(DEPLOY, "--env", "production", "--yes")
    assert outcome.code == 0, outcome
    assert "nodeSelector" not in cloud.kubernetes.serving()["spec"]
    assert cloud.kubernetes.objects["horizontalpodautoscalers/quintet"]["spec"]["minReplicas"] == 2


def test_release_that_is_never_ready_is_rolled_back(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    cloud.kubernetes.never_ready = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "exceeded its progress deadline" in outcome.err
    assert f"rolled back to {before}, which was never interrupted." in outcome.err
    assert "kubectl -n quintet logs" in outcome.err
    assert serving(cloud) == before
    assert (
        cloud.kubernetes.objects["deployments/quintet"]["spec"]["template"]["metadata"]["labels"]["release"] == before
    )


def test_release_with_wrong_predictions_is_rolled_back_and_the_next_run_succeeds(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "failed the smoke test" in outcome.err
    assert serving(cloud) == before
    cloud.forget()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert serving(cloud) != before


def test_first_release_that_is_never_ready_has_none_to_restore(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    cloud.kubernetes.objects.clear()  # as after a deployment that stopped when the cluster existed
    cloud.kubernetes.never_ready = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "it was the first release, so there is none to restore" in outcome.err


def test_public_false_deletes_the_public_gateway_first_and_tests_through_a_tunnel(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    checkout.settings(PUBLIC="false")
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes("gke.goog")[0].startswith("DELETE")
    assert cloud.changes("gke.goog")[0].endswith("/gateways/quintet")
    assert cloud.kubernetes.objects["gateways/quintet"]["spec"]["gatewayClassName"] == "gke-l7-rilb"
    assert any(request.startswith("port-forward to quintet-") for request in cloud.frontend.requests)
    assert "checks passed" in outcome.out


def test_domain_uses_http_until_its_certificate_is_active_and_then_redirects(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    checkout.settings(PUBLIC="true", DOMAIN=DOMAIN)
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    (certificate,) = cloud.compute.named("sslCertificates")
    https = cloud.kubernetes.objects["gateways/quintet"]["spec"]["listeners"][1]
    assert https["tls"]["options"] == {"networking.gke.io/pre-shared-certs": certificate}
    check_https_once_certificate_is_active(cloud, checkout, DEPLOY)


@pytest.mark.parametrize("tool", ["kubectl", "gke-gcloud-auth-plugin"])
def test_missing_tool_is_reported_before_any_change(
    tool: str, cloud: Cloud, checkout: Checkout, tmp_path: Path
) -> None:
    for name in {"kubectl", "gke-gcloud-auth-plugin", "gcloud"} - {tool}:
        (tmp_path / name).symlink_to(shutil.which(name))
    for folder in ("/usr/bin", "/bin"):
        for path in Path(folder).iterdir():
            if path.name not in (tool, "kubectl", "gke-gcloud-auth-plugin") and not (tmp_path / path.name).is_symlink():
                (tmp_path / path.name).symlink_to(path)
    outcome = checkout.run("bash", DEPLOY, PATH=str(tmp_path))
    assert outcome.code == 1
    assert f"{tool} is not on PATH" in outcome.err
    assert "gcloud components install" in outcome.err
    assert cloud.changes() == []


def test_rejected_manifests_do_not_stop_the_previous_release(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    checkout.new_commit()
    cloud.fail("PATCH .*/deployments/quintet", permission_denied("container.deployments.update", "quintet"))
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert "the cluster rejected the manifests; the previous release is still running" in outcome.err
    assert serving(cloud) == before


def test_dry_run_changes_nothing_and_its_output_deploys(cloud: Cloud, checkout: Checkout) -> None:
    checkout.settings(PUBLIC="true")
    check_dry_run_output_deploys(cloud, checkout, DEPLOY)


def test_kubeconfig_of_the_user_is_not_changed(deployed: Deployments, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    kubeconfig = Path(checkout.environment["HOME"]) / ".kube/config"
    kubeconfig.parent.mkdir(exist_ok=True)
    kubeconfig.write_text("the user's own")
    assert checkout.run(DEPLOY).code == 0
    assert kubeconfig.read_text() == "the user's own"
    kubeconfig.unlink()


def test_teardown_deletes_the_gateway_before_the_cluster(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    outcome = checkout.run(TEARDOWN, answer="y\n")
    assert outcome.code == 0, outcome
    assert cloud.container.orphans == []
    assert cloud.container.clusters == cloud.compute.things == {}
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    cloud.forget()
    again = checkout.run(TEARDOWN, "--yes")
    assert "No resources of quintet on gke are left" in again.err
    assert cloud.changes() == []


def test_teardown_of_an_incomplete_deployment(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    cloud.container.clusters.clear()
    cloud.kubernetes.objects.clear()
    outcome = checkout.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert cloud.compute.things == {}
