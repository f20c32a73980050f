"""What is asked of several targets in the same way. The tests say which, and what is special about each."""

import json

from .conftest import Outcome, Workplace
from .simulator import Cloud

DOMAIN = "quintet.example.com"


def printed_curl_classifies(workplace: Workplace, deployed: Outcome) -> None:
    """The last line that a deployment prints is a command that works."""
    answer = workplace.run("bash", "-c", deployed.out.strip().splitlines()[-1])
    assert json.loads(answer.out)["predictions"][0]["label"], answer


def certificate_comes(cloud: Cloud, workplace: Workplace, deploy: str) -> Outcome:
    """DOMAIN points to the address and has its certificate: the next deployment tests it, and HTTP redirects there."""
    (address,) = {thing["address"] for thing in cloud.compute.named("addresses").values()}
    cloud.compute.issue_certificates()
    cloud.balancer.domains[DOMAIN] = address
    outcome = workplace.run(deploy)
    assert outcome.code == 0, outcome
    assert f"{DOMAIN} POST /predict 200" in cloud.frontend.requests
    answer = workplace.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", f"http://{DOMAIN}/")
    assert answer.out == f"301 https://{DOMAIN}/"
    return outcome


def dry_run_can_be_pasted(cloud: Cloud, workplace: Workplace, deploy: str) -> None:
    """A dry run changes nothing, and what it prints deploys."""
    printed = workplace.run(deploy, "--dry-run")
    assert printed.code == 0, printed
    assert cloud.changes() == []
    pasted = workplace.run("bash", "-euo", "pipefail", "-c", printed.out)
    assert pasted.code == 0, pasted
    assert "checks passed" in pasted.out
