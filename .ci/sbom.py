"""Prints a bill of materials (CycloneDX 1.5, JSON) of what is installed beside this Python."""

import json
import re
import sys
from importlib.metadata import Distribution, distributions


def component(found: Distribution) -> dict[str, object]:
    """Describe a package: its name, its version, its licence as it says itself."""
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
    licence = found.metadata.get("License-Expression") or found.metadata.get("License") or ""
    told = {"licenses": [{"license": {"name": licence.splitlines()[0][:100]}}]} if licence.strip() else {}
    purl = f"pkg:pypi/{name}@{found.version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": found.version, "purl": purl, **told}


components = {str(one["purl"]): one for one in map(component, distributions())}
listed = [components[purl] for purl in sorted(components)]
bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": listed}
sys.stdout.write(json.dumps(bill, indent=1) + "\n")
