"""TLS, certificates, users and passwords, on a real mosquitto."""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from cryptography.hazmat.primitives import serialization

from router.gateway import Gateway
from router.service.mqtt import Access, BrokerError, Connection, Message
from tests.brokers import Certificates, Mosquitto
from tests.requirements import require
from tests.service.running import new_shard, ready, running

pytestmark = pytest.mark.broker

PASSWORD = "hunter2: pass wörd"


def ignore(message: Message) -> None:
    message.acknowledge()


async def enter(url: str, access: Access) -> None:
    """Connect and publish. Who is refused must learn it at once, not after a time-out."""
    async with asyncio.timeout(5), Connection(url, access=access, deliver=ignore) as connection:
        await connection.publish("tests/access", b"")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of an authority that nobody here trusts."""
    return Certificates(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def tls_url(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[str]:
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), certificates=certificates) as mosquitto:
        yield mosquitto.url


@pytest.fixture(scope="module")
def mutual_url(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[str]:
    """Wants to see a certificate."""
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), certificates=certificates, mutual=True) as mosquitto:
        yield mosquitto.url


@pytest.fixture(scope="module")
def closed_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Lets in user ``router`` alone."""
    with Mosquitto(tmp_path_factory.mktemp("mosquitto"), users={"router": PASSWORD}) as mosquitto:
        yield mosquitto.url


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(PASSWORD + "\n")
    return file


# --- TLS ---


async def test_a_broker_of_a_trusted_authority_is_entered(tls_url: str, certificates: Certificates) -> None:
    await enter(tls_url, Access(ca_file=certificates.ca))


async def test_a_broker_of_another_authority_is_refused(tls_url: str, strangers: Certificates) -> None:
    for access in (Access(ca_file=strangers.ca), Access()):
        with pytest.raises(
            BrokerError, match=r"is not trusted \(.*\); set ca_file to the certificate of the authority"
        ):
            await enter(tls_url, access)


async def test_a_certificate_for_another_name_is_refused(tls_url: str, certificates: Certificates) -> None:
    with pytest.raises(BrokerError, match=r"is not made for 127\.0\.0\.1; use the name in it"):
        await enter(tls_url.replace("localhost", "127.0.0.1"), Access(ca_file=certificates.ca))


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    expired = Certificates(tmp_path / "expired", expires_at=datetime.now(UTC) - timedelta(days=1))
    with (
        Mosquitto(tmp_path, certificates=expired) as mosquitto,
        pytest.raises(BrokerError, match="certificate has expired; renew it on the broker"),
    ):
        await enter(mosquitto.url, Access(ca_file=expired.ca))


async def test_tls_where_there_is_none_and_none_where_there_is(
    tls_url: str, mosquitto_url: str, certificates: Certificates
) -> None:
    with pytest.raises(BrokerError, match="does not speak TLS on this port"):
        await enter(mosquitto_url.replace("mqtt://", "mqtts://"), Access(ca_file=certificates.ca))
    with pytest.raises(BrokerError, match="does it speak TLS on this port"):
        await enter(tls_url.replace("mqtts://", "mqtt://"), Access())


# --- Mutual TLS ---


async def test_whoever_shows_a_certificate_may_enter(mutual_url: str, certificates: Certificates) -> None:
    access = Access(ca_file=certificates.ca, certificate_file=certificates.client, key_file=certificates.client_key)

    await enter(mutual_url, access)


async def test_without_a_certificate_nobody_enters(
    mutual_url: str, certificates: Certificates, strangers: Certificates
) -> None:
    """Nor with one of another authority."""
    none = Access(ca_file=certificates.ca)
    wrong = replace(none, certificate_file=strangers.client, key_file=strangers.client_key)

    for access in (none, wrong):
        with pytest.raises(BrokerError, match="does it ask for a certificate of ours"):
            await enter(mutual_url, access)


# --- User and password ---


async def test_the_password_of_the_file_lets_in(closed_url: str, password_file: Path) -> None:
    await enter(closed_url, Access(username="router", password_file=password_file))


@pytest.mark.parametrize(("username", "password"), [("router", "hunter3"), ("platform", PASSWORD), (None, None)])
async def test_others_are_refused(
    closed_url: str, password_file: Path, username: str | None, password: str | None
) -> None:
    password_file.write_text(password or "")
    access = Access(username=username, password_file=password_file) if username else Access()

    with pytest.raises(
        BrokerError, match=r"Not authorized; check username and password_file, and that the broker knows"
    ) as refusal:
        await enter(closed_url, access)

    assert "hunter" not in str(refusal.value)


async def test_user_and_password_in_the_url_come_first(closed_url: str, password_file: Path) -> None:
    with pytest.raises(BrokerError, match="Not authorized"):
        await enter(
            closed_url.replace("//", "//router:hunter3@"), Access(username="router", password_file=password_file)
        )


async def test_a_new_password_is_used_without_a_restart(closed_url: str, password_file: Path) -> None:
    access = Access(username="router", password_file=password_file)
    password_file.write_text("the old one")
    with pytest.raises(BrokerError, match="Not authorized"):
        await enter(closed_url, access)

    password_file.write_text(PASSWORD)

    await enter(closed_url, access)


# --- The files ---


def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, certificates: Certificates, strangers: Certificates
) -> None:
    url = "mqtts://localhost"
    good = Access(ca_file=certificates.ca, certificate_file=certificates.client, key_file=certificates.client_key)
    nowhere, empty, open_key, locked = (tmp_path / name for name in ("nowhere", "empty", "open.key", "locked.key"))
    empty.touch(0o600)
    open_key.write_bytes(certificates.client_key.read_bytes())
    open_key.chmod(0o644)
    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), password=None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked.write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"hunter2")))
    locked.chmod(0o600)
    good.check(url)

    for bad, words in [
        (replace(good, ca_file=nowhere), f"ca_file {nowhere} does not exist: create it, or mend the path"),
        (replace(good, ca_file=empty), f"ca_file {empty} holds no certificate; it must be PEM text"),
        (replace(good, certificate_file=nowhere), f"certificate_file {nowhere} does not exist"),
        (replace(good, key_file=nowhere), f"key_file {nowhere} does not exist"),
        (replace(good, key_file=open_key), f"key_file {open_key} can be read by every user of this machine: chmod o-r"),
        (replace(good, key_file=strangers.client_key), f"does not belong to certificate_file {certificates.client}"),
        (replace(good, key_file=empty), "cannot be used: both must be PEM text"),
        (replace(good, key_file=locked), f"key_file {locked} has a passphrase, which nobody is there to type"),
    ]:
        with pytest.raises(BrokerError) as refusal:
            bad.check(url)
        assert words in str(refusal.value)
        assert "hunter2" not in str(refusal.value)


def test_a_password_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"password_file .*nowhere does not exist"):
        Access(username="router", password_file=tmp_path / "nowhere").check("mqtt://localhost")


# --- The whole ---


async def test_router_and_platform_meet_behind_mutual_tls_and_passwords(
    tmp_path: Path, certificates: Certificates, password_file: Path
) -> None:
    with Mosquitto(tmp_path, certificates=certificates, mutual=True, users={"router": PASSWORD}) as mosquitto:
        access = Access(
            username="router",
            password_file=password_file,
            ca_file=certificates.ca,
            certificate_file=certificates.client,
            key_file=certificates.client_key,
        )
        shard = new_shard()
        async with (
            running(mosquitto.url, tmp_path / "journal.db", shard=shard, access=access),
            Gateway(mosquitto.url, access=access, shard=shard) as gateway,
        ):
            await ready(gateway, "ana")


async def test_the_certificates_that_the_documentation_makes(tmp_path: Path, password_file: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    (commands,) = re.findall(r"```sh\n(umask 077\nauthority=.*?)```", page, re.DOTALL)
    commands = commands.replace("broker.example", "localhost")
    subprocess.run([require("sh"), "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
    made = SimpleNamespace(ca=tmp_path / "ca.pem", server=tmp_path / "broker.pem", server_key=tmp_path / "broker.key")
    with Mosquitto(
        tmp_path, certificates=cast(Certificates, made), mutual=True, users={"router": PASSWORD}
    ) as mosquitto:
        access = Access(
            username="router",
            password_file=password_file,
            ca_file=made.ca,
            certificate_file=tmp_path / "router.pem",
            key_file=tmp_path / "router.key",
        )
        await enter(mosquitto.url, access)
        with pytest.raises(BrokerError, match="does it ask for a certificate of ours"):
            await enter(mosquitto.url, replace(access, certificate_file=None, key_file=None))
