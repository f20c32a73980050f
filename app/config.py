"""The settings: environment variables, read and checked once, when the app is created."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigError(Exception):
    """A setting has an invalid value. The message is one line that names both and says what is allowed."""


@dataclass(frozen=True)
class Config:
    """The settings. README.md documents each one."""

    port: int = 8080
    model: str = "model/imagenet"
    web_concurrency: int = 1
    max_upload_mb: int = 20
    max_pixels: int = 50_000_000
    max_images: int = 16
    log_level: str = "info"
    log_format: str = "text"

    @property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * 1024 * 1024


def from_environment(environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check the settings. Raises ConfigError."""

    def number(name: str, default: int, low: int, high: int) -> int:
        text = environ.get(name, "").strip()
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ConfigError(f"invalid {name} {text!r}: expected a whole number from {low} to {high}")
        return int(text)

    def choice(name: str, default: str, *allowed: str) -> str:
        text = environ.get(name, "").strip().lower() or default
        if text not in allowed:
            expected = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
            raise ConfigError(f"invalid {name} {text!r}: expected {expected}")
        return text

    model = environ.get("MODEL", "").strip() or Config.model
    if model.startswith("gs://"):
        raise ConfigError(
            f"invalid MODEL {model!r}: expected a local folder; copy the bundle with gcloud storage cp -r first"
        )
    return Config(
        port=number("PORT", Config.port, 1, 65535),
        model=model,
        web_concurrency=number("WEB_CONCURRENCY", granted_cpus(), 1, 64),
        max_upload_mb=number("MAX_UPLOAD_MB", Config.max_upload_mb, 1, 1024),
        max_pixels=number("MAX_PIXELS", Config.max_pixels, 1, 1_000_000_000),
        max_images=number("MAX_IMAGES", Config.max_images, 1, 1000),
        log_level=choice("LOG_LEVEL", Config.log_level, "debug", "info", "warning", "error"),
        log_format=choice("LOG_FORMAT", Config.log_format, "text", "json"),
    )


def granted_cpus(root: Path = Path("/")) -> int:
    """The number of CPUs that this process may use: its affinity, limited by the cgroup's quota, rounded up.

    `os.cpu_count()` ignores both. `root` is the root of the file system.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(root)
    return max(1, cpus if quota is None else min(cpus, math.ceil(quota)))


def _cgroup_quota(root: Path) -> float | None:
    """The CPUs that the cgroup (version 2 or 1) allows, such as 0.5; None without a limit."""
    cgroup = root / "sys/fs/cgroup"
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        except OSError:
            return None
    try:
        cpus = int(quota) / int(period)  # microseconds of CPU in each period; version 1 writes -1 for no limit
    except (ValueError, ZeroDivisionError):  # version 2 writes "max" for no limit
        return None
    return cpus if cpus > 0 else None
