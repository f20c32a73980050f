"""deploy/functions: the deployment, and the function itself under Google's functions-framework."""

import http.client
import json
from urllib.parse import urlsplit

from .conftest import PROJECT, ROOT, Checkout, Deployments
from .scenarios import check_dry_run_output_deploys
from .simulator import Cloud
from .simulator.service import permission_denied
from .simulator.workloads import unpack

DEPLOY = "deploy/functions/deploy.sh"
TEARDOWN = "deploy/functions/teardown.sh"
NAME = "quintet-function"


def upload(cloud: Cloud) -> dict[str, bytes]:
    (archive,) = cloud.storage.buckets[f"run-sources-{PROJECT}-europe-west1"].values()
    return unpack(archive)


def test_first_deployment_is_tested_before_it_is_public(deployed: Deployments, cloud: Cloud) -> None:
    outcome = deployed("functions", PUBLIC="true")
    assert "checks passed" in outcome.out
    assert all(request.startswith(f"candidate---{NAME} ") for request in deployed.requests)
    assert any("POST /predict 200" in request for request in deployed.requests)
    assert deployed.changes[-1].endswith(f"services/{NAME}")
    assert cloud.run.may_call(NAME, {})


def test_upload_contains_main_py_requirements_the_app_and_the_bundle(deployed: Deployments, cloud: Cloud) -> None:
    deployed("functions", PUBLIC="true")
    files = upload(cloud)
    assert {name.split("/")[0] for name in files} == {"main.py", "requirements.txt", "app", "model"}
    assert {"app/wsgi.py", "model/imagenet/model.tflite"} <= set(files)
    assert files["requirements.txt"] == (ROOT / "requirements.txt").read_bytes()
    assert not [name for name in files if "__pycache__" in name or name.endswith("model.keras")]


def test_function_has_the_configured_build_and_size(deployed: Deployments, cloud: Cloud) -> None:
    deployed("functions", PUBLIC="true")
    (build,) = [build for build in cloud.cloudbuild.builds.values() if "buildpack" in build]  # not the probe
    assert build["buildpack"]["functionTarget"] == "quintet"
    assert build["buildpack"]["baseImage"] == "python313"
    template = cloud.run.services[NAME]["spec"]["template"]
    container = template["spec"]["containers"][0]
    assert template["spec"]["containerConcurrency"] == 8
    assert template["spec"]["serviceAccountName"] == f"{NAME}@{PROJECT}.iam.gserviceaccount.com"
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    start = container["startupProbe"]
    assert start["httpGet"]["path"] == "/ready"
    assert start["periodSeconds"] * start["failureThreshold"] >= 60  # until TensorFlow Lite and the bundle are loaded
    annotations = template["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/maxScale"] == "2"
    assert annotations["run.googleapis.com/execution-environment"] == "gen2"
    assert annotations["run.googleapis.com/startup-cpu-boost"].lower() == "true"
    assert template["spec"]["timeoutSeconds"] == 60
    env = {item["name"]: item["value"] for item in container["env"]}
    assert env == {"MODEL": "model/imagenet", "LOG_FORMAT": "json", "WORKERS": "1"}


def test_idle_instances_belong_to_the_service_and_not_to_a_candidate(deployed: Deployments, cloud: Cloud) -> None:
    deployed("functions", PUBLIC="true", MIN_INSTANCES=1)
    service = cloud.run.services[NAME]
    assert service["metadata"]["annotations"]["run.googleapis.com/minScale"] == "1"
    assert "autoscaling.knative.dev/minScale" not in service["spec"]["template"]["metadata"]["annotations"]


def test_functions_framework_passes_every_path_and_method_to_the_app(deployed: Deployments, cloud: Cloud) -> None:
    deployed("functions", PUBLIC="true")
    host = urlsplit(cloud.run.services[NAME]["status"]["url"]).netloc

    def fetch(method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        result = response.status, response.headers.get_content_type(), response.read()
        connection.close()
        return result

    card = json.loads(fetch("GET", "/model")[2])
    image = (ROOT / "model/imagenet" / card["samples"][0]["file"]).read_bytes()
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        + image
        + b"\r\n--b--\r\n"
    )
    multipart = "multipart/form-data; boundary=b"
    expected = card["samples"][0]["expected"]["label"]
    status, _, body = fetch("POST", "/predict", form, multipart)
    assert status == 200
    assert json.loads(body)["predictions"][0]["label"] == expected
    status, kind, page = fetch("POST", "/", form, multipart)
    assert (status, kind) == (200, "text/html")
    assert expected.encode() in page
    assert fetch("GET", "/nothing-here")[:2] == (404, "application/problem+json")
    assert fetch("DELETE", "/predict")[:2] == (405, "application/problem+json")
    assert fetch("POST", "/predict", bytes(21 * 1024 * 1024), "image/jpeg")[0] == 413


def test_second_deployment_changes_nothing_and_a_new_release_is_tested_without_traffic(
    deployed: Deployments, cloud: Cloud, checkout: Checkout
) -> None:
    deployed("functions", PUBLIC="true")
    before = cloud.run.serving(NAME)
    assert checkout.run(DEPLOY).code == 0
    assert cloud.changes() == []
    checkout.new_commit()
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 0, outcome
    replaced = cloud.sent(f"PUT .*/services/{NAME}")[0].body["spec"]["traffic"]
    assert [target.get("percent", 0) for target in replaced if target["revisionName"] == before] == [100]
    assert cloud.run.serving(NAME) != before
    assert cloud.run.may_call(NAME, {})


def test_candidate_that_fails_gets_no_traffic(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("functions", PUBLIC="true")
    before = cloud.run.serving(NAME)
    checkout.new_commit()
    cloud.run.never_ready = True
    outcome = checkout.run(DEPLOY)
    assert outcome.code == 1
    assert f"The candidate got no traffic; still serving: {before}\n" in outcome.err
    assert cloud.run.serving(NAME) == before


def test_dry_run_changes_nothing_and_its_output_deploys(cloud: Cloud, checkout: Checkout) -> None:
    check_dry_run_output_deploys(cloud, checkout, DEPLOY)
    assert cloud.run.serving(NAME)
    assert not cloud.run.may_call(NAME, {})


def test_teardown_that_failed_can_be_repeated(deployed: Deployments, cloud: Cloud, checkout: Checkout) -> None:
    deployed("functions", PUBLIC="true")
    cloud.fail("DELETE .*serviceAccounts", permission_denied("iam.serviceAccounts.delete", PROJECT))
    assert checkout.run(TEARDOWN, "--yes").code == 1
    assert cloud.run.services == {}
    cloud.forget()
    outcome = checkout.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    assert f"gs://run-sources-{PROJECT}-europe-west1" in outcome.err
