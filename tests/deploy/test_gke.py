"""deploy/gke: first, second and new deployments, sick versions and the way back."""

import shutil
from pathlib import Path

import pytest

from tests.requirements import requires

from .conftest import PROJECT, Deployments, Workplace
from .scenarios import DOMAIN, certificate_comes, dry_run_can_be_pasted, printed_curl_classifies
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
    assert "Without DOMAIN it speaks HTTP" in outcome.err


def test_the_printed_curl_classifies_a_photo(deployed: Deployments, workplace: Workplace) -> None:
    printed_curl_classifies(workplace, deployed("gke", PUBLIC="true"))


def test_the_cluster_is_an_autopilot_one_with_private_nodes_and_an_account_of_its_own(
    deployed: Deployments, cloud: Cloud
) -> None:
    deployed("gke", PUBLIC="true")
    cluster = cloud.container.clusters["quintet-gke"]
    assert cluster["autopilot"] == {"enabled": True}
    assert cluster["networkConfig"]["defaultEnablePrivateNodes"] is True
    email = f"quintet-gke-nodes@{PROJECT}.iam.gserviceaccount.com"
    assert email in str(cluster)
    roles = {b["role"] for b in cloud.resourcemanager.policy["bindings"] if f"serviceAccount:{email}" in b["members"]}
    assert roles == {"roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"}


def test_pods_stand_for_an_account_without_any_role(deployed: Deployments, cloud: Cloud) -> None:
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


def test_settings_and_digest_are_in_the_manifests(deployed: Deployments, cloud: Cloud) -> None:
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


def test_second_deployment_changes_nothing(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gke", PUBLIC="true")
    before = cloud.snapshot()
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes(r"googleapis\.com") == []
    assert cloud.snapshot() == before  # what is applied is what is there


def test_new_version_replaces_the_old_one(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert serving(cloud) != before
    assert workplace.git("status", "--porcelain") == ""  # no tracked file was changed for it


def test_version_that_never_gets_ready_is_undone(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    cloud.kubernetes.never_ready = True
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "exceeded its progress deadline" in outcome.err
    assert f"{before} serves again; it never stopped." in outcome.err
    assert "kubectl -n quintet logs" in outcome.err
    assert serving(cloud) == before
    assert (
        cloud.kubernetes.objects["deployments/quintet"]["spec"]["template"]["metadata"]["labels"]["release"] == before
    )


def test_wrong_answer_is_undone_and_the_next_try_works(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    cloud.frontend.tamper = lambda path, body: body.replace(b'"label"', b'"lable"', 1) if path == "/predict" else body
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "failed the smoke test" in outcome.err
    assert serving(cloud) == before
    cloud.forget()
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert serving(cloud) != before


def test_first_version_that_never_gets_ready_has_nothing_to_go_back_to(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gke", PUBLIC="true")
    cloud.kubernetes.objects.clear()  # as after a deployment that stopped when the cluster was made
    cloud.kubernetes.never_ready = True
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "it was the first: nothing else serves" in outcome.err


def test_closing_takes_the_public_gateway_away_first_and_tests_through_a_tunnel(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gke", PUBLIC="true")
    workplace.settings(PUBLIC="false")
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    assert cloud.changes("gke.goog")[0].startswith("DELETE")
    assert cloud.changes("gke.goog")[0].endswith("/gateways/quintet")
    assert cloud.kubernetes.objects["gateways/quintet"]["spec"]["gatewayClassName"] == "gke-l7-rilb"
    assert any(request.startswith("port-forward to quintet-") for request in cloud.frontend.requests)
    assert "checks passed" in outcome.out


def test_domain_speaks_http_until_its_certificate_is_there_and_then_redirects(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gke", PUBLIC="true")
    workplace.settings(PUBLIC="true", DOMAIN=DOMAIN)
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    (certificate,) = cloud.compute.named("sslCertificates")
    https = cloud.kubernetes.objects["gateways/quintet"]["spec"]["listeners"][1]
    assert https["tls"]["options"] == {"networking.gke.io/pre-shared-certs": certificate}
    certificate_comes(cloud, workplace, DEPLOY)


@pytest.mark.parametrize("tool", ["kubectl", "gke-gcloud-auth-plugin"])
def test_missing_tool_is_said_before_anything_happens(
    tool: str, cloud: Cloud, workplace: Workplace, tmp_path: Path
) -> None:
    for name in {"kubectl", "gke-gcloud-auth-plugin", "gcloud"} - {tool}:
        (tmp_path / name).symlink_to(shutil.which(name))
    for folder in ("/usr/bin", "/bin"):
        for path in Path(folder).iterdir():
            if path.name not in (tool, "kubectl", "gke-gcloud-auth-plugin") and not (tmp_path / path.name).exists():
                (tmp_path / path.name).symlink_to(path)
    outcome = workplace.run("bash", DEPLOY, PATH=str(tmp_path))
    assert outcome.code == 1
    assert f"{tool} is not on PATH" in outcome.err
    assert "gcloud components install" in outcome.err
    assert cloud.changes() == []


def test_refused_manifests_leave_what_ran(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gke", PUBLIC="true")
    before = serving(cloud)
    workplace.new_commit()
    cloud.fail("PATCH .*/deployments/quintet", permission_denied("container.deployments.update", "quintet"))
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert "the cluster refused the manifests; what ran before goes on" in outcome.err
    assert serving(cloud) == before


def test_dry_run_changes_nothing_and_what_it_prints_can_be_pasted(cloud: Cloud, workplace: Workplace) -> None:
    workplace.settings(PUBLIC="true")
    dry_run_can_be_pasted(cloud, workplace, DEPLOY)


def test_your_own_kubeconfig_is_not_touched(deployed: Deployments, workplace: Workplace) -> None:
    deployed("gke", PUBLIC="true")
    assert not (Path(workplace.environment["HOME"]) / ".kube/config").exists()


def test_teardown_deletes_the_gateway_before_the_cluster(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("gke", PUBLIC="true")
    outcome = workplace.run(TEARDOWN, answer="y\n")
    assert outcome.code == 0, outcome
    assert cloud.container.orphans == []
    assert cloud.container.clusters == cloud.compute.things == {}
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    cloud.forget()
    again = workplace.run(TEARDOWN, "--yes")
    assert "Nothing of quintet on gke is left" in again.err
    assert cloud.changes() == []


def test_teardown_of_a_half_made_deployment(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("gke", PUBLIC="true")
    cloud.container.clusters.clear()
    cloud.kubernetes.objects.clear()
    outcome = workplace.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert cloud.compute.things == {}
