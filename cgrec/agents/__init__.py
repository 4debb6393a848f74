"""Tools for agents: what the commands do, answered with types, over the Model Context Protocol.

answers      what a tool says: every number with its error and verdict
judged       numbers of reports as such answers
place        the folder that tools may read and write
jobs         work in the background
on_files     tools that look at files: inspect, propose_map, init
on_runs      tools that climb: check, plan, climb, status, stop
on_levels    tools for finished levels: verdict, ledger, properties, export
at_work      these at work: run, friction, descend, audit
on_samples   tools that look at samples: measure, compare
server       the tools over stdin and stdout
"""

from .server import serve

__all__ = ["serve"]
