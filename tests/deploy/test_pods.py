"""deploy/gke's manifests: both overlays are valid, their references resolve, and their pods run."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.image.container import build, engine, inspect, until
from tests.ports import free_port
from tests.requirements import requires

requires("kubectl")

ROOT = Path(__file__).parents[2]
GKE = ROOT / "deploy/gke"
VALIDATE = Path(sys.executable).parent / "kubernetes-validate"
OVERLAYS = ["staging", "production"]
KNOWN_ELSEWHERE = {
    "Gateway",
    "HTTPRoute",
    "HealthCheckPolicy",
    "GCPBackendPolicy",
}  # Kubernetes itself has no schema for them


def rendered(overlay: str) -> str:
    done = subprocess.run(["kubectl", "kustomize", GKE / "overlays" / overlay], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> dict[str, dict]:
    """The overlay's objects, by kind; there is one of each."""
    objects = list(yaml.safe_load_all(rendered(request.param)))
    assert len({thing["kind"] for thing in objects}) == len(objects)
    return {thing["kind"]: thing for thing in objects}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_are_valid(overlay: str, tmp_path: Path) -> None:
    file = tmp_path / "manifests.yaml"
    file.write_text(rendered(overlay))
    done = subprocess.run([VALIDATE, "--strict", "-k", "1.32", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(re.findall(r"Couldn't find schema for kind (\w+)", done.stdout + done.stderr)) == KNOWN_ELSEWHERE


def test_every_selector_matches_the_pods(manifests: dict[str, dict]) -> None:
    deployment = manifests["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        deployment["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in spread),
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_every_reference_has_a_target(manifests: dict[str, dict]) -> None:
    names = {kind: thing["metadata"]["name"] for kind, thing in manifests.items()}
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service = manifests["Service"]["spec"]["ports"][0]
    (backend,) = manifests["HTTPRoute"]["spec"]["rules"][0]["backendRefs"]
    assert pod["serviceAccountName"] == names["ServiceAccount"]
    assert manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == names["Deployment"]
    assert service["targetPort"] in ports
    assert (backend["name"], backend["port"]) == (names["Service"], service["port"])
    assert manifests["HTTPRoute"]["spec"]["parentRefs"] == [{"name": names["Gateway"]}]
    for policy in ("HealthCheckPolicy", "GCPBackendPolicy"):
        assert manifests[policy]["spec"]["targetRef"] == {"group": "", "kind": "Service", "name": names["Service"]}
    assert {port["port"] for rule in manifests["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} <= set(
        ports
    )
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert all(
        thing["metadata"].get("namespace") == names["Namespace"]
        for kind, thing in manifests.items()
        if kind != "Namespace"
    )


def test_load_balancer_checks_readiness(manifests: dict[str, dict]) -> None:
    (listener,) = manifests["Gateway"]["spec"]["listeners"]
    assert (listener["protocol"], listener["port"]) == ("HTTP", 80)
    assert manifests["Gateway"]["spec"]["gatewayClassName"] == "gke-l7-global-external-managed"
    check = manifests["HealthCheckPolicy"]["spec"]["default"]["config"]
    assert (check["type"], check["httpHealthCheck"]["requestPath"]) == ("HTTP", "/ready")
    assert manifests["GCPBackendPolicy"]["spec"]["default"]["timeoutSec"] == 60


def test_rolling_update_has_no_downtime(manifests: dict[str, dict]) -> None:
    deployment = manifests["Deployment"]["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "replicas" not in deployment


def test_pod_serves_until_the_load_balancer_has_stopped_using_it(manifests: dict[str, dict]) -> None:
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    delay = int(re.search(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])[1])
    check = manifests["HealthCheckPolicy"]["spec"]["default"]
    assert delay > check["checkIntervalSec"] * check["unhealthyThreshold"]
    graceful = int(re.search(r"^graceful_timeout = (\d+)", (ROOT / "gunicorn.conf.py").read_text(), re.M)[1])
    assert delay + graceful <= pod["terminationGracePeriodSeconds"]
    if "cloud.google.com/gke-spot" in pod.get("nodeSelector", {}):
        assert pod["terminationGracePeriodSeconds"] <= 25


def test_busy_pod_is_not_restarted_and_gets_requests_only_if_it_is_ready(manifests: dict[str, dict]) -> None:
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    start, ready, alive = (container[f"{name}Probe"] for name in ("startup", "readiness", "liveness"))
    assert [probe["httpGet"]["path"] for probe in (start, ready, alive)] == ["/ready", "/ready", "/health"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 60
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 60
    assert alive["timeoutSeconds"] >= 5


def test_pods_have_no_privileges(manifests: dict[str, dict]) -> None:
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert manifests["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(
    ("overlay", "selector", "spread"),
    [("staging", {"cloud.google.com/gke-spot": "true"}, "ScheduleAnyway"), ("production", None, "DoNotSchedule")],
)
def test_staging_uses_spot_pods_and_production_different_zones(
    overlay: str, selector: dict | None, spread: str
) -> None:
    (deployment,) = (thing for thing in yaml.safe_load_all(rendered(overlay)) if thing["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod.get("nodeSelector") == selector
    zones = pod["topologySpreadConstraints"][0]
    assert (zones["topologyKey"], zones["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", spread)


def test_network_policy_allows_only_googles_load_balancers(manifests: dict[str, dict]) -> None:
    policy = manifests["NetworkPolicy"]["spec"]
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])
    ranges = {source["ipBlock"]["cidr"] for rule in policy["ingress"] for source in rule["from"]}
    proxies = re.search(r"PROXY_RANGE=(\S+)", (ROOT / "deploy/lib/network.sh").read_text())[1]
    assert ranges == {"35.191.0.0/16", "130.211.0.0/22", proxies}


@pytest.fixture
def pod(manifests: dict[str, dict], tmp_path: Path) -> Iterator[tuple[str, int, dict]]:
    """One pod of the Deployment, run by podman: its container's name, its port here, and its container's manifest.

    Podman knows no node selectors and no Workload Identity, and would run the probes with curl: they are left out here,
    and asked by the tests themselves.
    """
    spec = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    wanted = json.loads(json.dumps(container))
    for key in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        del container[key]
    for key in ("topologySpreadConstraints", "nodeSelector", "serviceAccountName"):
        spec.pop(key, None)
    port = free_port()
    container["image"] = build("quintet:test")
    container["imagePullPolicy"] = "Never"
    container["ports"][0].update(hostIP="127.0.0.1", hostPort=port)
    name = f"quintet-{port}"
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
    engine("kube", "play", str(file))
    yield f"{name}-quintet", port, wanted
    if engine(
        "pod", "rm", "--force", name, check=False
    ).returncode:  # podman 4.3 trips over a volume that has just gone
        engine("pod", "rm", "--force", name)


def get(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "image/jpeg"} if body else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except OSError as error:
        return getattr(error, "code", 0), b""


def test_pod_passes_its_probes_and_classifies_an_image(pod: tuple[str, int, dict]) -> None:
    name, port, manifest = pod
    start = manifest["startupProbe"]
    until(lambda: get(port, start["httpGet"]["path"])[0] == 200, start["periodSeconds"] * start["failureThreshold"])
    for probe in ("readinessProbe", "livenessProbe"):
        began = time.monotonic()
        assert get(port, manifest[probe]["httpGet"]["path"])[0] == 200
        assert time.monotonic() - began < manifest[probe]["timeoutSeconds"]
    card = json.loads((ROOT / "model/imagenet/model.json").read_bytes())
    sample = card["samples"][0]
    _, answer = get(port, "/predict", (ROOT / "model/imagenet" / sample["file"]).read_bytes())
    assert json.loads(answer)["predictions"][0]["label"] == sample["expected"]["label"]

    # hardened as in the manifest, and able to run its preStop command
    state = inspect(name)
    assert state["HostConfig"]["ReadonlyRootfs"]
    assert state["EffectiveCaps"] in (None, [])
    assert engine("exec", name, "id", "-u").stdout.strip() == "65532"
    *command, script = manifest["lifecycle"]["preStop"]["exec"]["command"]
    engine("exec", name, *command, script.replace("15", "0"))
