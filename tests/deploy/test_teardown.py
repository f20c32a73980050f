"""deploy/*/teardown.sh in a project that is not tidy: it finishes on the first run."""

import re
from collections.abc import Callable

import pytest

from .conftest import PROJECT, Checkout, Deployments
from .simulator import Call, Cloud
from .simulator.service import Answer, Refusal

TARGETS = ["cloudrun", "functions", "gae", "gce", "gke"]


def members(cloud: Cloud) -> set[str]:
    return {member for binding in cloud.resourcemanager.policy["bindings"] for member in binding["members"]}


def intercept(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, before: Callable[[Call], None]) -> None:
    """Call `before` with each request before the simulator answers it."""
    answer = cloud.answer

    def intercepted(call: Call) -> Answer:
        before(call)
        return answer(call)

    monkeypatch.setattr(cloud, "answer", intercepted)


@pytest.mark.parametrize("target", TARGETS)
def test_accounts_leave_nothing_in_the_policy(
    target: str, deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed(target, PUBLIC="true")
    cloud.conditions.deleted_members = True
    outcome = checkout.run(f"deploy/{target}/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    shared = {f"quintet-build@{PROJECT}.iam.gserviceaccount.com", f"{PROJECT}@appspot.gserviceaccount.com"}
    assert members(cloud) <= {f"serviceAccount:{email}" for email in shared}


def test_members_that_an_earlier_teardown_left_behind_are_removed(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    email, other = (f"{name}@{PROJECT}.iam.gserviceaccount.com" for name in ("quintet-gce", "my-quintet-gce"))
    left = [f"deleted:serviceAccount:{email}?uid={number}" for number in (1, 2)]
    kept = {f"deleted:serviceAccount:{other}?uid=3", "user:someone@example.com"}
    cloud.resourcemanager.policy["bindings"].append({"role": "roles/viewer", "members": [*left, *kept]})
    cloud.compute.things.clear()
    del cloud.iam.accounts[email]
    outcome = checkout.run("deploy/gce/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert f"roles/viewer of {left[0]}" in outcome.err
    assert members(cloud) - {f"serviceAccount:quintet-build@{PROJECT}.iam.gserviceaccount.com"} == kept


@pytest.mark.parametrize("target", TARGETS)
def test_resource_that_is_already_gone_counts_as_removed(
    target: str, deployed: Deployments, cloud: Cloud, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(target, PUBLIC="true")

    def remove_all_at_the_first_deletion(call: Call) -> None:
        if call.method == "DELETE" and call.host.endswith("googleapis.com"):
            cloud.run.services.clear()
            cloud.appengine.services.pop("quintet", None)
            cloud.compute.things.clear()
            cloud.container.clusters.clear()
            cloud.iam.accounts.clear()

    intercept(cloud, monkeypatch, remove_all_at_the_first_deletion)
    outcome = checkout.run(f"deploy/{target}/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert "It is already gone." in outcome.err


def test_firewall_rules_of_gke_are_not_listed(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gke", PUBLIC="true")
    cloud.conditions.gke_firewall_rules = True
    cloud.compute.add_cluster_rules("quintet-gke", "quintet-gke")
    outcome = checkout.run("deploy/gke/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert "firewall" not in outcome.err
    assert cloud.compute.things == {}


def test_firewall_rules_and_endpoint_groups_that_gke_leaves_behind_are_removed_with_the_network(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    network = cloud.compute.named("networks")["quintet-gke"]["selfLink"]
    left = ["global/firewalls/gkegw1-l7-quintet-gke", "zones/europe-west1-b/networkEndpointGroups/k8s1-0a1b-quintet-80"]
    for key in left:
        cloud.compute.things[key] = {"name": key.rpartition("/")[2], "network": network}
    outcome = checkout.run("deploy/gke/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert cloud.compute.things == {}


def test_network_that_others_use_is_not_emptied(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("gce", PUBLIC="true")
    network = cloud.compute.named("networks")["quintet-gce"]["selfLink"]
    cloud.compute.things["global/firewalls/mine"] = {"name": "mine", "network": network}
    outcome = checkout.run("deploy/gce/teardown.sh", "--yes", REMOVAL_LIMIT="1")
    assert outcome.code == 1
    assert "is already being used by 'projects/quintet-staging/global/firewalls/mine'" in outcome.err
    assert set(cloud.compute.things) == {"global/firewalls/mine", "global/networks/quintet-gce"}


def test_resources_of_a_service_with_a_similar_name_are_kept(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gce", PUBLIC="true")
    others = {
        "global/forwardingRules/my-quintet-gce-http",
        "global/instanceTemplates/my-quintet-gce-0123abc-45def",
        "global/instanceTemplates/quintet-gce-gce-0123abc-45def",
        "global/sslCertificates/quintet-gce-gce-0123abcd",
    }
    for key in others:
        cloud.compute.things[key] = {"name": key.rpartition("/")[2]}
    outcome = checkout.run("deploy/gce/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert set(cloud.compute.things) == others


@pytest.mark.parametrize("status", ["RECONCILING", "DEGRADED"])
def test_load_balancer_of_a_degraded_or_changing_cluster_is_removed(
    status: str, deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    cloud.container.clusters["quintet-gke"]["status"] = status
    outcome = checkout.run("deploy/gke/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert cloud.container.orphans == []


def test_cluster_is_deleted_after_its_load_balancer_has_released_the_address(
    deployed: Deployments, cloud: Cloud, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GKE removes a load balancer in the background. Without its cluster it would remain, and be billed."""
    deployed("gke", PUBLIC="true")
    attempts = []

    def refuse_twice(call: Call) -> None:
        if call.method == "DELETE" and call.path.endswith("/addresses/quintet-gke"):
            attempts.append(set(cloud.container.clusters))
            if len(attempts) < 3:
                address, rule = f"{call.path[12:]}", f"projects/{PROJECT}/global/forwardingRules/gkegw1-0a1b"
                message = f"The address resource '{address}' is already being used by '{rule}'"
                raise Refusal(400, "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", message)

    intercept(cloud, monkeypatch, refuse_twice)
    outcome = checkout.run("deploy/gke/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert attempts == [{"quintet-gke"}] * 3
    assert cloud.container.clusters == {}


def test_cluster_whose_creation_was_interrupted_is_deleted(
    deployed: Deployments, cloud: Cloud, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed("gke", PUBLIC="true")
    cloud.container.clusters["quintet-gke"]["status"] = "PROVISIONING"
    attempts = []

    def refuse_once(call: Call) -> None:
        if call.method == "DELETE" and re.search("/clusters/", call.path):
            attempts.append(call)
            if len(attempts) == 1:
                raise Refusal(400, "FAILED_PRECONDITION", "Cluster is running incompatible operation operation-1.")

    intercept(cloud, monkeypatch, refuse_once)
    outcome = checkout.run("deploy/gke/teardown.sh", "--yes")
    assert outcome.code == 0, outcome
    assert len(attempts) == 2
    assert "namespace" not in outcome.err


def test_dry_run_of_a_teardown_prints_commands_and_changes_nothing(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("gke", PUBLIC="true")
    printed = checkout.run("deploy/gke/teardown.sh", "--dry-run")
    assert printed.code == 0, printed
    assert cloud.changes() == []
    pasted = checkout.run("bash", "-euo", "pipefail", "-c", printed.out)
    assert pasted.code == 0, pasted
    assert cloud.compute.things == cloud.container.clusters == {}
