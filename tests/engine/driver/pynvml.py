"""A stand-in for NVIDIA's driver where there is none: the part of NVML's bindings that the engine asks.

It tells what the JSON file says that FAKE_DRIVER names, read at each nvmlInit. PYTHONPATH shows it to new processes.
`built` is the CUDA that the torch of the asking process then claims to be built for.
"""

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import torch

NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NOT_FOUND = 3, 6
NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND, NVML_ERROR_UNKNOWN = 9, 12, 999
NVML_DEVICE_MIG_ENABLE = 1
NVML_TEMPERATURE_GPU = 0


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__({9: "Driver Not Loaded", 12: "NVML Shared Library Not Found"}.get(value, f"error {value}"))
        self.value = value


told: dict = {}


def nvmlInit():
    told.clear()
    told.update(json.loads(Path(os.environ["FAKE_DRIVER"]).read_text()))
    torch.version.cuda = told.get("built", "13.0")
    threading.Event().wait(told.get("seconds", 0))
    if told.get("error"):
        raise NVMLError(told["error"])


def nvmlShutdown():
    told.clear()


def nvmlSystemGetDriverVersion():
    return told.get("driver", "580.65")


def nvmlSystemGetCudaDriverVersion_v2():
    return told.get("cuda", 13000)


def nvmlDeviceGetCount():
    return len(told["cards"])


def nvmlDeviceGetHandleByIndex(index):
    if told["cards"][index] is None:  # one that this process may not use
        raise NVMLError(NVML_ERROR_UNKNOWN)
    return told["cards"][index]


def nvmlDeviceGetPciInfo(card):
    return SimpleNamespace(busId=card.get("bus", "00000000:01:00.0"))


def nvmlDeviceGetUUID(card):
    return card["uuid"]


def nvmlDeviceGetName(card):
    return card.get("name", "Card")


def nvmlDeviceGetMigMode(card):
    if "instances" not in card:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return [1, 1]


def nvmlDeviceGetMaxMigDeviceCount(card):
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(card, index):
    if index >= len(card["instances"]):
        raise NVMLError(NVML_ERROR_NOT_FOUND)
    return card["instances"][index]


def nvmlDeviceGetMemoryInfo(card):
    if "free" not in card:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return SimpleNamespace(total=80e9, free=card["free"])


def nvmlDeviceGetComputeRunningProcesses(card):
    return [SimpleNamespace(pid=pid, usedGpuMemory=octets) for pid, octets in card.get("processes", [])]


def nvmlDeviceGetHandleByUUID(uuid):
    for card in told["cards"]:
        for handle in (card, *card.get("instances", [])):
            if handle["uuid"] == uuid:
                return handle
    raise NVMLError(NVML_ERROR_NOT_FOUND)


def _told(card, key):
    if key not in card:
        raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
    return card[key]


def nvmlDeviceGetUtilizationRates(card):
    return SimpleNamespace(gpu=_told(card, "use"), memory=0)


def nvmlDeviceGetPowerUsage(card):
    return _told(card, "milliwatts")


def nvmlDeviceGetTemperature(card, sensor):
    assert sensor == NVML_TEMPERATURE_GPU
    return _told(card, "temperature")


def nvmlDeviceGetTotalEnergyConsumption(card):
    return _told(card, "millijoules")
