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


OPEN_BUILD_REGIONS = frozenset(
    ["asia-east1", "australia-southeast1", "europe-west1", "southamerica-east1", "us-central1", "us-west2"]
)  # https://cloud.google.com/build/docs/locations


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

    # Policies of the organisation.

    domain_restricted: bool = False
    """iam.allowedPolicyMemberDomains: policies that name allUsers or allAuthenticatedUsers: 400 "One or more users
    named in the policy do not belong to a permitted customer, perhaps due to an organization policy."."""

    automatic_grants: bool = True
    """False is iam.automaticIamGrantsForDefaultServiceAccounts in organisations since May 2024: PROJECT@appspot and
    NUMBER-compute@developer have no role. A version of App Engine then fails, "Access to bucket staging.... denied. You
    must grant Storage Object Viewer permission to ...", until its build account and its own account have roles."""

    allowed_locations: Collection[str] = ()
    """gcp.resourceLocations, unless empty: a bucket or repository elsewhere: 412 "'us' violates constraint
    'constraints/gcp.resourceLocations'"."""

    external_addresses: bool = True
    """False is compute.vmExternalIpAccess: instances with a public address are not created: "Constraint
    constraints/compute.vmExternalIpAccess violated for project ...". App Engine flexible gives its instances one unless
    app.yaml says `instance_ip_mode: internal`."""

    # Quotas of a new project.

    build_regions: Collection[str] = ()
    """Where the project may build, unless empty, such as OPEN_BUILD_REGIONS; "global" is always open. Elsewhere: 400
    "failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support"."""

    cpu_quota: int = 0
    """CPUs in all regions, unless 0: 8 in a trial. A group of instances that needs more, during a rolling update too,
    does not get ready: "Quota 'CPUS_ALL_REGIONS' exceeded.  Limit: 8.0 globally."."""

    # Faults that pass: gcloud retries some of them itself.

    conflicts: int = 0
    """The first calls that change a policy, counted for each policy: 409 ABORTED "There were concurrent policy
    changes"."""

    rate_limits: int = 0
    """The first calls that change something, counted for each API: 429 RESOURCE_EXHAUSTED "Quota exceeded for quota
    metric"."""

    unavailable_every: int = 0
    """Every so many calls, one: 503 UNAVAILABLE "The service is currently unavailable."."""

    # What Google's services do by themselves.

    gke_firewall_rules: bool = False
    """GKE makes firewall rules of its own, gke-CLUSTER-..., in the cluster's network, and removes them with the
    cluster. The network cannot be deleted before."""

    deleted_members: bool = False
    """A service account that is deleted stays in policies, as "deleted:serviceAccount:EMAIL?uid=..."."""

    dropped_tunnels: int = 0
    """So many tunnels (IAP's and kubectl's) are cut when the first data comes; the next one holds."""

    unnamed_traffic: bool = False
    """The first revision of a Cloud Run service that does not get ready leaves an entry in status.traffic with 100
    percent and without a revision's name."""


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
