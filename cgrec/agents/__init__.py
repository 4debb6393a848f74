"""Tools for agents: what the commands do, answered with types, over the Model Context Protocol.

answers      what a tool says: every number with its error and verdict
judged       numbers of reports as such answers
place        the folder that tools may read and write
jobs         work in the background
on_data      tools that look at frames: inspect, propose_map, init, measure, compare
on_runs      tools that climb: check, plan, climb, status, stop
on_levels    tools for finished levels: verdict, ledger, run, friction, diffusion, descend, audit, export
server       the tools over stdin and stdout
"""

from .server import serve

__all__ = ["serve"]
