"""Pure builders of what a WebServer owns: values in, Kubernetes objects as dicts out."""

from .children import Children, children
from .deployment import PROGRESS_DEADLINE_SECONDS
from .owner import API_VERSION, KIND, WEBSERVER_LABEL, Manifest, Owner
from .scale import scale
from .secret import ControlKey, ControlKeys, control_key
from .status import effective_status

__all__ = [
    "API_VERSION",
    "KIND",
    "PROGRESS_DEADLINE_SECONDS",
    "WEBSERVER_LABEL",
    "Children",
    "ControlKey",
    "ControlKeys",
    "Manifest",
    "Owner",
    "children",
    "control_key",
    "effective_status",
    "scale",
]
