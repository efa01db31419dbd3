"""Certificates for a laboratory that has no authority of its own: one CA, one for the broker, one for each user.

Needs the package ``cryptography`` (``pip install solvus[tls]``). Keys are P-256 and never leave the folder by
themselves; a laboratory with an IT department uses its certificates instead.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from solvus.drivers.mosquitto_configuration import ServerFiles, write_private

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

VALID = timedelta(days=825)
"""The longest that common TLS clients accept for a server."""


class CertificatesUnavailable(ValueError):  # noqa: N818 -- a state of affairs, told in one sentence
    """The package that makes certificates is missing. One sentence."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority in memory."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def make_certificates(folder: Path, hosts: Iterable[str], names: Iterable[str]) -> ServerFiles:
    """Write ``ca.crt``, ``server.crt``, ``server.key`` and ``NAME.crt``, ``NAME.key`` for each name.

    An authority that is in the folder already is used again, so that clients keep trusting the broker.

    Parameters
    ----------
    hosts : names and addresses under which clients reach the broker.
    names : users, each of which becomes the common name of a client certificate.

    Raises
    ------
    CertificatesUnavailable
        Without the package ``cryptography``.
    """
    folder = folder.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = _authority(folder)
    _issue(folder, "server", authority, hosts=tuple(hosts))
    for name in names:
        if not (folder / f"{name}.crt").is_file():
            _issue(folder, name, authority)
    return ServerFiles(folder / "ca.crt", folder / "server.crt", folder / "server.key")


def _authority(folder: Path) -> Authority:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise CertificatesUnavailable(
            "certificates: the package cryptography makes them; `pip install solvus[tls]`, or give --ca, --certificate "
            "and --key of your own"
        ) from error
    file = folder / "ca.crt"
    if file.is_file():
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificatesUnavailable(
                f"certificates: {folder / 'ca.key'} is no key of ours; use another folder"
            )
        return Authority(x509.load_pem_x509_certificate(file.read_bytes()), key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Solvus laboratory CA")])
    certificate = _signed(name, name, key, key, x509.BasicConstraints(ca=True, path_length=0), ())
    _write(folder, "ca", certificate, key)
    return Authority(certificate, key)


def _issue(folder: Path, name: str, authority: Authority, hosts: tuple[str, ...] = ()) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer = authority.certificate.subject
    no_ca = x509.BasicConstraints(ca=False, path_length=None)
    _write(folder, name, _signed(subject, issuer, key, authority.key, no_ca, hosts), key)


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    signer: EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
    hosts: tuple[str, ...],
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    begin = datetime.now(UTC) - timedelta(hours=1)  # clocks of instruments are seldom right
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + VALID)
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_host, hosts)), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(folder: Path, name: str, certificate: x509.Certificate, key: EllipticCurvePrivateKey) -> None:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / f"{name}.key", private.decode())
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
