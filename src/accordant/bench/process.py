"""The processes of a benchmark: `hub` the server in some roles, `org` the stand-in; each says when it is up."""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from accordant.bootstrap import Hub, read_charter
from accordant.connectors.salesforce.simulator import SalesforceSimulator
from accordant.demo.company import environment, prepare_org
from accordant.runtime.event_loop import run
from accordant.runtime.logs import configure_logs
from accordant.settings import Role, read_settings
from accordant.web.server import HubServer


async def _until_told() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


async def run_org() -> None:
    """The Salesforce stand-in, with every field the shipped mapping needs."""
    org = SalesforceSimulator(daily_calls_max=100_000_000)
    prepare_org(org)
    print(await org.start(), flush=True)
    await _until_told()
    await org.stop()


async def run_hub(options: argparse.Namespace) -> None:
    """The hub in the given roles, on its own or beside others of the same store."""
    settings = read_settings(os.environ, home=options.home, charter=options.home / "charter", store=options.store)
    # With a collector named (OTEL_EXPORTER_OTLP_ENDPOINT) the hub traces, so that the cost of it can be measured.
    tracing = {name: value for name, value in os.environ.items() if name.startswith("OTEL_")}
    hub = Hub(settings, read_charter(settings).charter, environment={**environment(), **tracing})
    roles = frozenset(Role(name) for name in options.roles.split(","))
    server = HubServer(hub, host="127.0.0.1", port=options.port, roles=roles)
    await server.start()
    print("ready", flush=True)
    await _until_told()
    await server.stop()


def main() -> None:
    """``python -m accordant.bench.process hub|org``."""
    parser = argparse.ArgumentParser(description="A process of a benchmark.")
    parser.add_argument("what", choices=("hub", "org"))
    parser.add_argument("--home", type=Path, default=Path())
    parser.add_argument("--store", default=None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--roles", default="door,worker,courier")
    options = parser.parse_args()
    configure_logs("text")
    run(run_org() if options.what == "org" else run_hub(options))


if __name__ == "__main__":
    main()
