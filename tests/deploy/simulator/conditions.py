"""The conditions of a new project: what a test can switch on. With nothing switched on, the project is tidy.

A test sets attributes of `cloud.conditions`; every test starts with the defaults:

    def test_slow_api(cloud, checkout):
        cloud.conditions.api_delay = 3
        cloud.conditions.grant_delay = Seconds(2)

Each attribute names its message and where the text was read. The services apply the conditions; `cloud.py` applies
those that concern every call.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass


class Seconds(float):
    """A delay in seconds. A delay that is a plain integer is a number of calls."""


@dataclass
class Conditions:
    """The switches. A delay is the number of calls that are refused, or `Seconds(...)`; 0 is none."""

    # Propagation: Google accepts a change at once, and it has an effect only later.

    api_delay: int | Seconds = 0
    """After an API was enabled, calls to it: 403 SERVICE_DISABLED "... has not been used in project ... before or it is
    disabled. ... If you enabled this API recently, wait a few minutes for the action to propagate"."""

    account_delay: int | Seconds = 0
    """After a service account was created, calls that name it: "does not exist", 404, or "denied on service account ...
    (or it may not exist)", in the words of each service."""

    grant_delay: int | Seconds = 0
    """After a role was granted in the project to the account that builds, builds: 400 "could not resolve source: ...
    does not have storage.objects.get access to the Google Cloud Storage object"."""

    agent_delay: int | Seconds = 0
    """After an API was enabled, work of its service agent. Cloud Run: the revision fails, "Google Cloud Run Service
    Agent ... must have permission to read the image ... the permissions might take a few minutes to propagate". App
    Engine: 404 "Unable to retrieve P4SA: [...] from GAIA"."""

    # The project and its caller.

    disabled_apis: Collection[str] = ()
    """APIs that are off until `gcloud services enable` names them: 403 SERVICE_DISABLED. A new project lacks
    "cloudresourcemanager.googleapis.com", and a caller that is a service account needs it."""

    billing_enabled: bool = True
    """False: enabling an API is refused, 400 "Billing account for project ... is not found. Billing must be enabled for
    activation of service(s) ...", and `gcloud billing projects describe` says billingEnabled: false."""

    quota_project_refused: bool = False
    """Calls that name a quota project (the header X-Goog-User-Project): 403 USER_PROJECT_DENIED "Caller does not have
    required permission to use project ..."."""

    # Faults that pass: gcloud retries some of them itself.

    conflicts: int = 0
    """The first calls that change a policy, counted for each policy: 409 ABORTED "There were concurrent policy
    changes"."""

    rate_limits: int = 0
    """The first calls that change something, counted for each API: 429 RESOURCE_EXHAUSTED "Quota exceeded for quota
    metric"."""

    unavailable_every: int = 0
    """Every so many calls, one: 503 UNAVAILABLE "The service is currently unavailable."."""


class Propagation:
    """What was changed and has no effect yet, by subject: ("api", NAME), ("account", EMAIL), ("grant", EMAIL), ..."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.pending: dict[tuple[str, str], int | Seconds] = {}  # calls left, or the time of the end

    def start(self, kind: str, names: Collection[str], delay: int | Seconds) -> None:
        for name in names:
            if delay:
                self.pending[kind, name] = Seconds(self.clock() + delay) if isinstance(delay, Seconds) else delay

    def is_pending(self, kind: str, name: str) -> bool:
        """Whether the change still has no effect. A delay in calls counts this call."""
        left = self.pending.get((kind, name))
        if left is None:
            return False
        if isinstance(left, Seconds):
            over = self.clock() >= left
        else:
            over = left == 0
            self.pending[kind, name] = left - 1
        if over:
            del self.pending[kind, name]
        return not over
