"""Certificates that vouch for themselves, as both sides of an encrypted connection show them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Identity:
    """Files of one side, as PEM.

    Attributes:
        certificate: Its certificate.
        key: Its key.
        both: The two in one file.
    """

    certificate: Path
    key: Path
    both: Path

    def server(self) -> ssl.SSLContext:
        """Return what a server answers with."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_identity(folder: Path, name: str, host: str = "127.0.0.1", *, days: int = 1) -> Identity:
    """Write a key and a certificate of a host's address that is good for so many days; below 0, for none since long."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    shown = certificate.public_bytes(form)
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    made = Identity(folder / f"{name}.pem", folder / f"{name}.key", folder / f"{name}-both.pem")
    made.certificate.write_bytes(shown)
    made.key.write_bytes(secret)
    made.both.write_bytes(shown + secret)
    return made
