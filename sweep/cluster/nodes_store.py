"""Asks the nodes of a cluster whether they can use the object storage that a sweep is to be kept in."""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from basis.errors import UserError, first_line

ASK_SECONDS = 60.0
"""How long nodes have to answer. One that has no process free by then is left to its trials."""

STORE = "object storage"

MOST_NODES = 16
"""So many are asked. Nodes of one cluster have their logins from one file."""


def check_nodes_store(address: str) -> None:
    """Have each node write an object and take it away again; call it while attached to the cluster.

    Args:
        address: in object storage, as the user typed it.

    Raises:
        UserError: the node, and what the store says to it.
    """
    nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
    ask = ray.remote(num_cpus=0, max_retries=0)(trouble_with)
    asked = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(address): place
        for node_id, place in list(nodes.items())[:MOST_NODES]
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ASK_SECONDS)
    for answer in answered:
        try:
            trouble = ray.get(answer)
        except ray.exceptions.RayError as error:  # a node that has died meanwhile, or can't run our code
            trouble = f"{STORE} {address}: it can't be asked ({first_line(error)})"
        if trouble is not None:
            raise UserError(f"{trouble}; so says node {asked[answer]}, which has a login of its own")


def trouble_with(address: str) -> str | None:
    """What keeps this machine from writing to an address; None: nothing does."""
    from basis.stored.address import parse_address
    from basis.stored.store import Store  # imports pyarrow

    try:
        Store(parse_address(STORE, address), STORE).check_writable()
    except UserError as error:
        return str(error)
    return None
