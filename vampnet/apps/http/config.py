"""Settings of the server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vampnet.config import check_settings, setting
from vampnet.jobs.data_folder import ExpiryConfig


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """Settings of the server: address, readable folders, limits."""

    host: str = "127.0.0.1"
    """Address to listen on: 127.0.0.1 (this machine alone), or 0.0.0.0 for every network."""
    port: int = setting(8000, low=0, high=65535)
    """Port, 0 to 65535; 0 takes a free one."""
    data: str = ""
    """Folder of the job table, uploads and results; by default the user's data folder."""
    allowed_root: str = ""
    """Folder below which requests may name files by path; by default none may."""
    keys: str = ""
    """File of API keys (`vampnet serve --add-key NAME --keys FILE` adds one); by default no key is asked for."""
    allowed_host: tuple[str, ...] = ()
    """Names, besides localhost and plain addresses, by which the server may be called: those of a proxy in front."""
    workers: int = setting(1, low=1, high=64)
    """Worker processes, each with its own model, 1 to 64."""
    bundle: str = "default"
    """Model that is loaded at the start and used where a request names none."""
    allowed_model: tuple[str, ...] = ()
    """Further models that a request may name."""
    device: str = "auto"
    """Device of the model: auto, cpu, cuda, cuda:N or mps."""
    preload: bool = True
    """Load the model at the start instead of with the first job."""
    warm: bool = False
    """Have the helpers of the studio's page ready at the start."""
    unload_after_s: float = setting(0.0, low=0.0, high=1e6)
    """Seconds without a job after which a worker frees its model; 0: never."""
    max_upload_mb: float = setting(500.0, low=0.001, high=1e5)
    """Largest upload, megabytes."""
    max_seconds: float = setting(3600.0, low=0.1, high=1e6)
    """Longest audio, seconds."""
    max_variations: int = setting(32, low=1, high=1000)
    """Most variations in one job, 1 to 1000."""
    max_queue: int = setting(200, low=1, high=1000000)
    """Jobs that may wait; more are refused with 429."""
    rate: int = setting(600, low=1, high=1000000)
    """Submissions, uploads and other changes per minute and key (without keys: per address)."""
    body_timeout_s: float = setting(30.0, low=0.1, high=3600.0)
    """Longest pause within a request, seconds."""
    lease_s: float = setting(10.0, low=0.1, high=3600.0)
    """Seconds after which a dead worker's job goes to another, 0.1 to 3600."""
    grace_s: float = setting(10.0, low=0.0, high=3600.0)
    """Seconds that jobs may go on when the server is stopped; then they wait for the next start."""
    expiry: ExpiryConfig = ExpiryConfig()
    """When results are deleted."""

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def data_folder(self) -> Path:
        """Folder of the data."""
        return Path(self.data) if self.data else default_data_folder()


def default_data_folder() -> Path:
    """Folder for a program's data of this user, by the rules of the XDG base directories."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "vampnet"
