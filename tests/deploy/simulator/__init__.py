"""Google's APIs on loopback, as far as the deploy scripts need them.

The real gcloud talks to an HTTPS proxy that answers every request itself, forwards nothing, remembers every call and
fails when it is told to. One file is one of Google's services; to add one, write its file and list it in `cloud.py`.

    cloud.py        the simulated cloud as the tests see it: its services, the calls it got, the faults it was given
    service.py      what a service is: routes, requests, refusals
    proxy.py        the HTTPS proxy and its certificate
    frontend.py     the URLs that the cloud hands out, with Google's own access control in front of ...
    balancer.py     the addresses of load balancers, and the way of a request through what was set up behind them
    tunnels.py      the ways to what has no public address: IAP's tunnel, kubectl port-forward
    workloads.py    ... the programs that were really deployed, started from what was really uploaded
"""

from .cloud import Cloud
from .conditions import OPEN_BUILD_REGIONS, Conditions, Seconds
from .service import Call

__all__ = ["OPEN_BUILD_REGIONS", "Call", "Cloud", "Conditions", "Seconds"]
