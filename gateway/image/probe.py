"""Whether the gateway on this machine lives, or is ready: `python probe.py PORT [PATH]`. Never through a proxy."""

import http.client
import sys

if __name__ == "__main__":
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=4)
    connection.request("GET", sys.argv[2] if len(sys.argv) > 2 else "/healthz")
    sys.exit(connection.getresponse().status != 200)
