"""A simulator of Google Cloud on loopback, for the tests of the deploy scripts.

The scripts run unmodified, with the real gcloud, kubectl and curl. Their HTTPS proxy is this simulator: it terminates
TLS with a certificate of its own, answers every request itself, and forwards nothing to the internet.

    gcloud  --->  proxy.py  --->  cloud.py  --->  one file for each of Google's services
    curl    --->  frontend.py, balancer.py, tunnels.py  --->  workloads.py: the deployed app

What it simulates
    The APIs that the scripts use, with their state: what was created can be read, changed and deleted. What is deployed
    runs: `workloads.py` starts the app from the files that were uploaded, and its URL, load balancer or tunnel leads to
    it, with the access control of the service. So the smoke test of a script is a real one.

What it does not simulate
    Images are not built; their source runs instead. Operations are finished at once. The caller may do everything,
    unless a test says otherwise. Fields are stored and seldom validated: a test asserts on the bodies of requests.
    Nothing here proves that Google's servers accept a request; what Google documents or users report is quoted in
    messages.py.

What a test can do
    cloud.changes(), cloud.sent(PATTERN)            the recorded calls, as "METHOD host/path" or with their bodies
    cloud.run.services, cloud.iam.accounts, ...     the state of a service, to read or to set
    cloud.run.never_ready = True                    new revisions fail (also of appengine, compute and kubernetes)
    cloud.cloudbuild.fails = True                   builds fail
    cloud.frontend.tamper = function                change the responses of the app
    cloud.fail(PATTERN, permission_denied(...))     refuse calls
    cloud.conditions.api_delay = 3                  one of the conditions of a new project (conditions.py)
    cloud.forget()                                  clear the recorded calls before the next command

    A test fails if a command sent a request for which there is no answer.

How to add an answer
    Run the command and read the request in the failure. Find the file of the host, or write one with a class derived
    from `Service` and add it to `SERVICES` in cloud.py; the test then finds it as `cloud.<class name in lower case>`.
    Add a method that returns the JSON of the response:

        @route("GET", "/v1/projects/{project}/things/{name}")
        def get(self, call: Call, project: str, name: str) -> dict:
            if name not in self.things:
                raise not_found(f"Thing {name}")
            return self.things[name]

    Attributes of the service are its state: they are saved and restored between tests.

How to add a condition
    Add a field to `Conditions`, its message to messages.py with the place where the text was read, the effect to the
    service, and a test with a real gcloud command to tests/deploy/test_simulator.py. The default changes nothing.
"""

from .cloud import Cloud
from .conditions import OPEN_BUILD_REGIONS, Conditions, Seconds
from .service import Call

__all__ = ["OPEN_BUILD_REGIONS", "Call", "Cloud", "Conditions", "Seconds"]
