"""One server with its client for all tests, and what it finds in its folder."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from exact_runs import chain, write_chain_run, write_gas_run, write_pairs, write_salt_run


@dataclass
class Client:
    """Calls tools of a server in another process.

    Attributes:
        root: the folder of the server.
        called: what was answered, for a look at all of it.
    """

    root: Path
    portal: object
    session: object
    called: list

    def __call__(self, tool, /, **arguments):
        """What the tool answers; an error as text."""
        found = self.portal.call(self.session.call_tool, tool, arguments)
        if found.is_error:
            return found.content[0].text
        self.called.append(found.structured_content)
        return found.structured_content

    def tools(self):
        return self.portal.call(self.session.list_tools).tools


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    pytest.importorskip("mcp")
    from anyio.from_thread import start_blocking_portal
    from mcp import Client as Session
    from mcp.client.stdio import StdioServerParameters, stdio_client

    root = tmp_path_factory.mktemp("agents").resolve()
    here = str(Path(__file__).parents[2])
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "cgrec", "mcp", f"root={root}"],
        env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
    )
    with start_blocking_portal() as portal:
        session = Session(stdio_client(command, errlog=subprocess.DEVNULL))
        with portal.wrap_async_context_manager(session) as opened:
            yield Client(root, portal, opened, [])


@pytest.fixture(scope="session")
def runs(client):
    """Runs in the root of the server."""
    (client.root / "runs").mkdir(exist_ok=True)
    write_chain_run(client.root / "runs" / "chain")
    write_gas_run(client.root / "runs" / "gas")
    write_gas_run(client.root / "runs" / "bad", "do not use")
    write_salt_run(client.root / "runs" / "salt")
    return client.root / "runs"


@pytest.fixture(scope="session")
def files(client):
    """Trajectories in the root: one that is right, and some that are not."""
    good = chain(400, 7)
    good.write(client.root / "good.npz")
    with np.load(client.root / "good.npz") as stored:
        whole = {k: stored[k] for k in stored.files if not k.endswith("_unit")}

    def write(name, **changed):
        np.savez(client.root / name, **{**whole, **changed})

    write("kcal.npz", forces=good.forces / 41.84)
    write("few.npz", positions=good.positions[:20], forces=good.forces[:20])
    again = np.zeros(400, int)
    write("collapsed.npz", positions=good.positions[again], forces=good.forces[again])
    write("point.npz", positions=0.001 * good.positions)
    write_pairs(client.root / "pairs.npz")
    return client.root
