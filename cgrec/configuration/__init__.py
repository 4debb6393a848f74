"""A climb from conf/, an experiment and the command line: its configuration, and objects from it.

hydra and omegaconf stop in this room: nothing above or below ever sees a DictConfig.

settings        a configuration composed from conf/, an experiment and the command line
own_yaml        a YAML file of the user's own as the experiment
sweeping        many climbs by hydra's sweepers and launchers
building        objects from a configuration
first_look      what its words alone tell, in less than a second
declared        what classes of cgrec take, read from their source
rehearsal       what their constructors refuse, read from their source
keys            every key with its meaning
kinds           whether a value is what a hint means
unlisted        keys that no YAML lists
targets         which names a configuration may call
shapes          words for a YAML that is no table where one is needed
"""

from .building import build, checked, cluster_options
from .keys import Key, chosen, keys_of, keys_of_class, options_of_command
from .own_yaml import SUFFIXES
from .settings import (
    Composed,
    as_plain,
    as_yaml,
    composed,
    configuration,
    experiments,
    given_keys,
    stays_inside,
)
from .sweeping import sweep

__all__ = [
    "SUFFIXES",
    "Composed",
    "Key",
    "as_plain",
    "as_yaml",
    "build",
    "checked",
    "chosen",
    "cluster_options",
    "composed",
    "configuration",
    "experiments",
    "given_keys",
    "keys_of",
    "keys_of_class",
    "options_of_command",
    "stays_inside",
    "sweep",
]
