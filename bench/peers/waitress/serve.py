"""The app of this repository on waitress: `python bench/peers/waitress/serve.py PORT PROCESSES THREADS`.

waitress has no worker processes. One process runs one inference at a time, so this script forks, and all processes
accept connections from the same listening socket.
"""

import os
import socket
import sys

import waitress

from app.wsgi import app

port, processes, threads = map(int, sys.argv[1:])
listener = socket.create_server(("127.0.0.1", port), backlog=1024)
for _ in range(processes - 1):
    if os.fork() == 0:
        break
waitress.serve(app, sockets=[listener], threads=threads, connection_limit=1000)
