"""What a figure depends on besides the code: versions, data files, machine, threads."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

import numpy as np
import torch

from solvus import __version__
from solvus.models.structures import catalogue_file
from solvus.models.structures.library import Library

PACKAGES = (
    "numpy",
    "scipy",
    "torch",
    "ase",
    "matplotlib",
    "DebyeCalculator",
    "diffpy.pdffit2",
    "xgboost-cpu",
    "xgboost",
)
CPU_FACTS = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Names and values, as the report shows them; a package that is missing says so."""
    found = {
        "solvus": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "processors": str(os.cpu_count() or "unknown"),
        "threads of numpy": os.environ.get("OMP_NUM_THREADS", "not limited"),
        "threads of torch": str(torch.get_num_threads()),
        "catalogue": catalogue_file.read()[1],
        "metal clusters": Library.load("all").version,
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    found["instructions of numpy"] = ", ".join(_instructions())
    return found


def _processor() -> str:
    if CPU_FACTS.is_file():
        for line in CPU_FACTS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _instructions() -> list[str]:
    """Extensions of the processor that numpy found and uses."""
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})
    return [*extensions.get("baseline", []), *extensions.get("found", [])]
