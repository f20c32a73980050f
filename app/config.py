"""Every setting, read from the environment once and checked. A wrong value stops the start with one line."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class ConfigError(Exception):
    """A setting has a value that is not allowed; the message is one line naming both."""


@dataclass(frozen=True)
class Config:
    """The settings; README.md lists what each one means."""

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
            raise ConfigError(f"{name} is {text!r}; it must be a whole number from {low} to {high}")
        return int(text)

    def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
        text = environ.get(name, "").strip().lower() or default
        if text not in allowed:
            raise ConfigError(f"{name} is {text!r}; it must be one of {', '.join(allowed)}")
        return text

    if environ.get("MODEL", "").strip().startswith("gs://"):
        raise ConfigError(
            f"MODEL is {environ['MODEL']!r}; buckets are not read yet: copy it here with gcloud storage cp -r"
        )
    return Config(
        port=number("PORT", Config.port, 1, 65535),
        model=environ.get("MODEL", "").strip() or Config.model,
        web_concurrency=number("WEB_CONCURRENCY", granted_cpus(), 1, 64),
        max_upload_mb=number("MAX_UPLOAD_MB", Config.max_upload_mb, 1, 1024),
        max_pixels=number("MAX_PIXELS", Config.max_pixels, 1, 1_000_000_000),
        max_images=number("MAX_IMAGES", Config.max_images, 1, 1000),
        log_level=choice("LOG_LEVEL", Config.log_level, ("debug", "info", "warning", "error")),
        log_format=choice("LOG_FORMAT", Config.log_format, ("text", "json")),
    )


def granted_cpus(root: Path = Path("/")) -> int:
    """The CPUs this process may use: its affinity, cut by the cgroup's quota, which os.cpu_count() does not know."""
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _quotas(root):
        granted = min(granted, math.ceil(quota / period))
    return max(1, granted)


def _quotas(root: Path) -> list[tuple[int, int]]:
    """(microseconds of CPU, in so many microseconds), from cgroup v2 or v1; empty where there is no limit."""
    cgroup = root / "sys/fs/cgroup"
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return [] if quota == "max" else [(int(quota), int(period))]
    except (OSError, ValueError):
        pass
    try:
        quota, period = (int((cgroup / "cpu" / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
        return [(quota, period)] if quota > 0 and period > 0 else []
    except (OSError, ValueError):
        return []
