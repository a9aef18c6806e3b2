"""What is learnt: one file for each objective, found by its name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hashpipe.common.errors import UserError

if TYPE_CHECKING:
    from hashpipe.hashing.training.objectives.base import Objective

# name -> module here and class; a new objective is a file here, a line in this list and a test.
# A program of one's own may add its class under a new name.
OBJECTIVES: dict[str, str | type[Objective]] = {
    "joint": "joint:Joint",
    "bcdh": "bcdh:Bcdh",
    "dsah": "dsah:Dsah",
    "dpsh": "dpsh:Dpsh",
    "greedyhash": "greedyhash:GreedyHash",
    "dtsh": "dtsh:Dtsh",
    "cnnh": "cnnh:Cnnh",
    "drsdh": "drsdh:Drsdh",
    "dsrh": "dsrh:Dsrh",
    "lin2015": "lin2015:Lin2015",
    "ssdh": "ssdh:Ssdh",
    "rdh": "rdh:Rdh",
    "cohesion": "cohesion:Cohesion",
    "exponentiated": "exponentiated:Exponentiated",
    "csdh": "csdh:Csdh",
    "ssdh-semi": "ssdh_semi:SsdhSemi",
    "itdh": "itdh:Itdh",
    "dsh": "dsh:Dsh",
    "cibhash": "cibhash:CibHash",
    "bihalf": "bihalf:BiHalf",
    "ninh": "ninh:Ninh",
    "dh": "dh:Dh",
    "sdh": "dh:Sdh",
    "rvssdh": "rvssdh:RvSsdh",
    "ddh": "ddh:Ddh",
    "ath": "ath:Ath",
    "exchnet": "exchnet:ExchNet",
    "drlih": "drlih:Drlih",
    "dmvh": "dmvh:Dmvh",
    "spdh": "spdh:Spdh",
}


def objective_class(name: str) -> type[Objective]:
    """The objective of this name. Raises UserError for an unknown one, naming those that are near."""
    if name not in OBJECTIVES:
        from difflib import get_close_matches

        near = get_close_matches(name, OBJECTIVES, n=3) or sorted(OBJECTIVES)
        raise UserError(f"--objective {name} is not known; choose {' or '.join(near)}.")
    entry = OBJECTIVES[name]
    if not isinstance(entry, str):
        return entry
    module, attribute = entry.split(":")
    found: type[Objective] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found
