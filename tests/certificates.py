"""Certificates for tests, made by OpenSSL's command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM."""

    cert: Path
    key: Path


def authority(folder: Path, name: str) -> Pair:
    """Make an authority that signs others."""
    pair = _pair(folder, name)
    _openssl("req", "-x509", *_new_key(pair), "-out", str(pair.cert), "-days", "2", "-subj", f"/CN={name}")
    return pair


def signed(folder: Path, name: str, by: Pair) -> Pair:
    """Make a certificate of 127.0.0.1 that `by` has signed."""
    pair = _pair(folder, name)
    names = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-addext", "basicConstraints=CA:FALSE")
    signing = ("-CA", str(by.cert), "-CAkey", str(by.key))
    subject = ("-days", "2", "-subj", f"/CN={name}")
    _openssl("req", "-x509", *_new_key(pair), *signing, "-out", str(pair.cert), *names, *subject)
    return pair


def encrypt(key: Path) -> None:
    """Put a password on a private key."""
    _openssl("pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(key.with_suffix(".locked")))
    key.with_suffix(".locked").replace(key)


def _pair(folder: Path, name: str) -> Pair:
    return Pair(folder / f"{name}.pem", folder / f"{name}.key.pem")


def _new_key(pair: Pair) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", str(pair.key))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
