"""The simulated cloud as the tests use it: its services, the recorded calls, injected faults and the conditions."""

import copy
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import messages
from .appengine import AppEngine
from .artifactregistry import ArtifactRegistry
from .balancer import Balancer
from .billing import Billing
from .cloudbuild import CloudBuild
from .compute import Compute
from .conditions import Conditions, Propagation
from .container import Container
from .frontend import Frontend
from .iam import Credentials, Iam, OAuth
from .iap import Iap
from .kubernetes import Kubernetes
from .proxy import Proxy
from .registry import Registry
from .resourcemanager import ResourceManager
from .run import Run, RunBuilds
from .service import Answer, Call, Refusal, api_not_enabled
from .serviceusage import ServiceUsage
from .storage import Storage
from .workloads import Workloads

SERVICES = [
    ServiceUsage,
    ResourceManager,
    Billing,
    Iam,
    Credentials,
    OAuth,
    Storage,
    ArtifactRegistry,
    Registry,
    CloudBuild,
    Run,
    RunBuilds,
    AppEngine,
    Iap,
    Compute,
    Container,
    Kubernetes,
    Balancer,
]


@dataclass
class Fault:
    """Refuse calls whose "METHOD host/path" matches."""

    pattern: str
    refusal: Refusal


class Cloud:
    """One Google Cloud project. Its services keep their state in attributes that tests read and set.

    `calls` records every request; `unsupported` those for which the simulator has no answer.
    """

    def __init__(self, project: str, certificates: Path, workloads: Workloads) -> None:
        self.project = project
        self.calls: list[Call] = []
        self.unsupported: list[str] = []
        self.faults: list[Fault] = []
        self.conditions = Conditions()
        self.propagation = Propagation()
        self.counts: Counter[str] = Counter()
        self.certificates = certificates
        self.workloads = workloads
        self.frontend = Frontend(workloads)
        self.services = [service(self) for service in SERVICES]
        for service in self.services:
            setattr(self, type(service).__name__.lower(), service)
        self.proxy = Proxy(self, certificates)

    def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        for fault in self.faults:
            if re.search(fault.pattern, str(call)):
                raise fault.refusal
        self.check_conditions(call)
        for service in self.services:
            if re.fullmatch(service.host, call.host) and service.knows(call):
                if service.api and not self.serviceusage.is_effective(service.api):
                    raise api_not_enabled(service.api, self.project)
                return service.answer(call)
        self.unsupported.append(str(call))
        raise Refusal(400, "UNIMPLEMENTED", f"The simulator has no answer to {call}.")

    def check_conditions(self, call: Call) -> None:
        """Refuse what any API may refuse."""
        on = self.conditions
        if not call.host.endswith(".googleapis.com") or call.host.startswith("oauth2."):
            return
        if on.quota_project_refused and (project := call.headers.get("x-goog-user-project")):
            raise messages.quota_project_refused(project, call.host)
        if on.unavailable_every and self.count("503") % on.unavailable_every == 0:
            raise messages.unavailable()
        if (
            on.domain_restricted
            and call.path.endswith("etIamPolicy")
            and re.search("all(Authenticated)?Users", str(call.body))
        ):
            raise messages.not_a_permitted_customer()
        if call.path.endswith(":setIamPolicy") and self.count(f"409 {call.host}{call.path}") <= on.conflicts:
            raise messages.concurrent_change()
        if call.changes and self.count(f"429 {call.host}") <= on.rate_limits:
            raise messages.rate_limited(call)

    def count(self, what: str) -> int:
        """Count an event of this test; return how often it has happened."""
        self.counts[what] += 1
        return self.counts[what]

    def fail(self, pattern: str, refusal: Refusal) -> None:
        """Refuse every call whose "METHOD host/path" contains a match of the pattern."""
        self.faults.append(Fault(pattern, refusal))

    def changes(self, pattern: str = "") -> list[str]:
        """The calls that could change something, as "METHOD host/path"."""
        return [str(call) for call in self.calls if call.changes and re.search(pattern, str(call))]

    def sent(self, pattern: str) -> list[Call]:
        """The calls whose "METHOD host/path" contains a match."""
        return [call for call in self.calls if re.search(pattern, str(call))]

    def forget(self) -> None:
        """Clear the recorded calls and the faults; keep the conditions and the state of the services."""
        self.calls.clear()
        self.faults.clear()
        self.frontend.requests.clear()
        self.frontend.tamper = lambda _path, body: body

    def snapshot(self) -> list[dict]:
        """A copy of the state of all services, for `restore`."""
        constant = ("cloud", "routes")
        return [copy.deepcopy({k: v for k, v in vars(s).items() if k not in constant}) for s in self.services]

    def restore(self, state: list[dict]) -> None:
        """Set the state of all services; clear calls, faults and conditions."""
        for service, values in zip(self.services, copy.deepcopy(state), strict=True):
            vars(service).update(values)
        self.forget()
        self.unsupported.clear()
        self.conditions = Conditions()
        self.propagation = Propagation()
        self.counts.clear()

    def close(self) -> None:
        self.proxy.shutdown()
        self.proxy.server_close()
        self.frontend.close()
