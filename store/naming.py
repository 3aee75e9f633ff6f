"""What a training is called in a line of text: by its log, by an alert, and where one of its files is told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def phrase(about: Mapping[str, Any]) -> str:
    """What a training is for, in a few words; `about` as a row of `trainings` holds it."""
    where = f"{about['search']} " if about.get("search") else ""
    number = f" round {about['round']}" if about.get("round") is not None else ""
    part = {
        "member": f" member {about.get('member')}",
        "point": " rewind point",
        "saliency": " gradients",
        "disagreement": " disagreement",
        "check": f" for {about.get('check')}",
    }.get(str(about.get("what")), f" {about.get('arm')}")
    return f"{where}seed {about.get('seed')}{number}{part}"
