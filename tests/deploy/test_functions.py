"""deploy/functions: the same road as Cloud Run's, and the function itself under Google's functions-framework."""

import http.client
import json
from urllib.parse import urlsplit

from .conftest import PROJECT, ROOT, Deployments, Workplace
from .scenarios import dry_run_can_be_pasted
from .simulator import Cloud
from .simulator.service import permission_denied
from .simulator.workloads import unpack

DEPLOY = "deploy/functions/deploy.sh"
TEARDOWN = "deploy/functions/teardown.sh"
NAME = "quintet-function"


def upload(cloud: Cloud) -> dict[str, bytes]:
    (archive,) = cloud.storage.buckets[f"run-sources-{PROJECT}-europe-west1"].values()
    return unpack(archive)


def test_first_deployment_is_tested_before_anybody_may_see_it(deployed: Deployments, cloud: Cloud) -> None:
    outcome = deployed("functions", PUBLIC="true")
    assert "checks passed" in outcome.out
    assert all(request.startswith(f"candidate---{NAME} ") for request in deployed.requests)
    assert any("POST /predict 200" in request for request in deployed.requests)
    assert deployed.changes[-1].endswith(f"services/{NAME}:setIamPolicy")
    assert cloud.run.invokers(NAME) == {"allUsers"}


def test_the_upload_is_main_py_requirements_the_app_and_the_bundle(deployed: Deployments, cloud: Cloud) -> None:
    deployed("functions", PUBLIC="true")
    files = upload(cloud)
    assert {name.split("/")[0] for name in files} == {"main.py", "requirements.txt", "app", "model"}
    assert {"app/wsgi.py", "model/imagenet/model.tflite"} <= set(files)
    assert files["requirements.txt"] == (ROOT / "requirements.txt").read_bytes()
    assert not [name for name in files if "__pycache__" in name or name.endswith("model.keras")]


def test_the_function_is_built_and_sized_as_the_settings_say(deployed: Deployments, cloud: Cloud) -> None:
    deployed("functions", PUBLIC="true")
    build = next(iter(cloud.cloudbuild.builds.values()))
    assert build["buildpack"]["functionTarget"] == "quintet"
    assert build["buildpack"]["baseImage"] == "python313"
    template = cloud.run.services[NAME]["spec"]["template"]
    container = template["spec"]["containers"][0]
    assert template["spec"]["containerConcurrency"] == 8
    assert template["spec"]["serviceAccountName"] == f"{NAME}@{PROJECT}.iam.gserviceaccount.com"
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
    assert container["startupProbe"]["httpGet"]["path"] == "/ready"
    assert template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"] == "2"


def test_every_path_and_method_is_the_apps_own_under_the_functions_framework(
    deployed: Deployments, cloud: Cloud
) -> None:
    deployed("functions", PUBLIC="true")
    host = urlsplit(cloud.run.services[NAME]["status"]["url"]).netloc

    def ask(method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        result = answer.status, answer.headers.get_content_type(), answer.read()
        connection.close()
        return result

    card = json.loads(ask("GET", "/model")[2])
    picture = (ROOT / "model/imagenet" / card["samples"][0]["file"]).read_bytes()
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        + picture
        + b"\r\n--b--\r\n"
    )
    multipart = "multipart/form-data; boundary=b"
    expected = card["samples"][0]["expected"]["label"]
    status, _, answer = ask("POST", "/predict", form, multipart)
    assert status == 200
    assert json.loads(answer)["predictions"][0]["label"] == expected
    status, kind, page = ask("POST", "/", form, multipart)
    assert (status, kind) == (200, "text/html")
    assert expected.encode() in page
    assert ask("GET", "/nothing-here")[:2] == (404, "application/problem+json")
    assert ask("DELETE", "/predict")[:2] == (405, "application/problem+json")
    assert ask("POST", "/predict", bytes(21 * 1024 * 1024), "image/jpeg")[0] == 413


def test_second_deployment_changes_nothing_and_a_new_version_is_tested_without_traffic(
    deployed: Deployments, cloud: Cloud, workplace: Workplace
) -> None:
    deployed("functions", PUBLIC="true")
    before = cloud.run.serving(NAME)
    assert workplace.run(DEPLOY).code == 0
    assert cloud.changes() == []
    workplace.new_commit()
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 0, outcome
    replaced = cloud.sent(f"PUT .*/services/{NAME}")[0].body["spec"]["traffic"]
    assert [target.get("percent", 0) for target in replaced if target["revisionName"] == before] == [100]
    assert cloud.run.serving(NAME) != before
    assert cloud.run.invokers(NAME) == {"allUsers"}


def test_candidate_that_fails_gets_no_traffic(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("functions", PUBLIC="true")
    before = cloud.run.serving(NAME)
    workplace.new_commit()
    cloud.run.never_ready = True
    outcome = workplace.run(DEPLOY)
    assert outcome.code == 1
    assert f"It gets no traffic: {before} goes on serving." in outcome.err
    assert cloud.run.serving(NAME) == before


def test_dry_run_changes_nothing_and_what_it_prints_can_be_pasted(cloud: Cloud, workplace: Workplace) -> None:
    dry_run_can_be_pasted(cloud, workplace, DEPLOY)
    assert cloud.run.serving(NAME)
    assert cloud.run.invokers(NAME) == set()


def test_teardown_removes_what_was_made_even_half(deployed: Deployments, cloud: Cloud, workplace: Workplace) -> None:
    deployed("functions", PUBLIC="true")
    cloud.fail("DELETE .*serviceAccounts", permission_denied("iam.serviceAccounts.delete", PROJECT))
    assert workplace.run(TEARDOWN, "--yes").code == 1
    assert cloud.run.services == {}
    cloud.forget()
    outcome = workplace.run(TEARDOWN, "--yes")
    assert outcome.code == 0, outcome
    assert set(cloud.iam.accounts) == {f"quintet-build@{PROJECT}.iam.gserviceaccount.com"}
    assert f"gs://run-sources-{PROJECT}-europe-west1" in outcome.err
