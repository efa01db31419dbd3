"""LAB.yaml: which broker and which devices make up a laboratory. Pure data; see :func:`load_laboratory`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, StringConstraints, model_validator

from solvus.drivers.broker_address import BrokerAddress, TlsFiles
from solvus.drivers.combination import Combination
from solvus.drivers.limits import DeviceLimits, Limit
from solvus.drivers.messages import Name
from solvus.drivers.topics import AGENT
from solvus.drivers.yaml_file import ConfigurationError, load_yaml


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Broker(_Data):
    """The MQTT broker.

    Attributes
    ----------
    kind : ``embedded`` and ``mosquitto`` are started with the agent, on this machine only; ``external`` runs
        already.
    host, port : of an external broker, or the port on which to start one (``None``: any free one).
    username, password_variable, password_file : login, with the environment variable or the file that holds the
        password; the password itself has no place in this file, which goes into the ledger.
    tls : files for an encrypted connection.
    device_secrets : folder with ``DEVICE.password``, or ``DEVICE.crt`` and ``DEVICE.key``, for each device that is
        started from this file; it then logs in under its own id instead of as the agent does.
    keeps_sessions : whether to ask the broker to keep messages for an agent or device that is away. Mosquitto and
        EMQX do it well, the embedded broker stops delivering to a session that it resumed. Nothing relies on it: what
        was missed is asked for again.
    """

    kind: Literal["embedded", "mosquitto", "external"] = "embedded"
    host: Annotated[str, StringConstraints(min_length=1, max_length=253)] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    username: str | None = None
    password_variable: str | None = None
    password_file: Path | None = None
    tls: TlsFiles | None = None
    device_secrets: Path | None = None
    keeps_sessions: bool = False

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> Self:
        if self.kind == "external":
            if self.host is None:
                raise ValueError("host: an external broker needs its host name")
        elif any(
            v is not None for v in (self.host, self.username, *self._password, self.tls, self.device_secrets)
        ):
            raise ValueError(
                f"kind: {self.kind} listens on this machine only; host, login and tls belong to external"
            )
        if self.keeps_sessions and self.kind == "embedded":
            raise ValueError("keeps_sessions: the embedded broker does not; leave it out")
        if len(self._password) > 1:
            raise ValueError("password_file: give the password by a variable or by a file, not by both")
        if self._password and self.username is None:
            raise ValueError("username: is needed where there is a password")
        return self

    @property
    def _password(self) -> list[str | Path]:
        return [v for v in (self.password_variable, self.password_file) if v is not None]

    def address(self, environment: Mapping[str, str]) -> BrokerAddress:
        """Where an external broker is, with the password from the environment.

        Raises
        ------
        ConfigurationError
            When the broker is not external, the variable is not set or the file cannot be read.
        """
        if self.host is None:
            raise ConfigurationError([f"broker: kind {self.kind} has no address before it is started"])
        password = None
        if self.password_variable is not None:
            if self.password_variable not in environment:
                raise ConfigurationError(
                    [f"broker: set the environment variable {self.password_variable} to the password"]
                )
            password = environment[self.password_variable]
        if self.password_file is not None:
            password = read_password(self.password_file)
        given: dict[str, Any] = {
            "host": self.host,
            "username": self.username,
            "password": password,
            "tls": self.tls,
        }
        return BrokerAddress(**given | ({} if self.port is None else {"port": self.port}))


def read_password(file: Path) -> str:
    """The first line of a file. Raises ConfigurationError when it cannot be read or holds nothing."""
    try:
        lines = file.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ConfigurationError([f"broker: password_file {file} cannot be read ({why})"]) from error
    if not lines or not lines[0].strip():
        raise ConfigurationError(
            [f"broker: password_file {file} is empty; put the password on its first line"]
        )
    return lines[0].strip()


def device_login(address: BrokerAddress, secrets: Path, device: str) -> BrokerAddress:
    """The address under which a device logs in for itself, with what is in the folder for it.

    Raises
    ------
    ConfigurationError
        When the folder holds nothing for the device.
    """
    folder = secrets.expanduser()
    password, certificate = folder / f"{device}.password", folder / f"{device}.crt"
    if certificate.is_file() and address.tls is not None:
        tls = address.tls.model_copy(update={"certificate": certificate, "key": folder / f"{device}.key"})
        return address.model_copy(update={"username": None, "password": None, "tls": tls})
    if password.is_file():
        secret = SecretStr(read_password(password))
        return address.model_copy(update={"username": device, "password": secret})
    raise ConfigurationError(
        [f"broker.device_secrets: {folder} has neither {password.name} nor {certificate.name}"]
    )


class Calibration(_Data):
    """What measuring a standard taught of an instrument: 1/angstrom, wavelength in angstrom.

    ``standard`` says which one, and when: ``Ni powder, 2026-03-02``.
    """

    standard: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    qmin: float = Field(ge=0.0, lt=50.0)
    qmax: float = Field(gt=0.0, le=100.0)
    qdamp: float = Field(default=0.0, ge=0.0, lt=1.0)
    qbroad: float = Field(default=0.0, ge=0.0, lt=1.0)
    wavelength: float = Field(gt=0.0, lt=20.0)

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
        if self.qmin >= self.qmax:
            raise ValueError(f"qmin: {self.qmin:g} must be below qmax, {self.qmax:g}, both in 1/angstrom")
        return self


class Reduction(_Data):
    """How the agent reduces the raw I(Q) of one instrument to G(r), over the range of Q of its calibration.

    Attributes
    ----------
    background : file with I(Q) of solvent and container, measured like the samples; relative to the laboratory file.
        ``null`` where the instrument has taken it off already.
    unit : of the file's first column where its header does not say it.
    background_scale : factor on the background: 1 where intensities are divided by the monitor, else ``fit``.
    composition : formula of what scatters, where neither the patterns nor the target say it.
    rpoly : angstrom; what would stand in G(r) below about this distance is taken out as slow errors of I(Q).
    lorch : apply the Lorch window.
    rmax, rstep : end and step of G(r), angstrom; size is read from all of it, up to 60.
    """

    background: Path | None
    unit: Literal["1/angstrom", "1/nm", "2theta"] | None = None
    background_scale: float | Literal["fit"] = 1.0
    composition: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    rpoly: float = Field(default=0.9, gt=0.0, le=5.0)
    lorch: bool = False
    rmax: float = Field(default=60.0, ge=5.0, le=500.0)
    rstep: float = Field(default=0.02, gt=0.0, le=0.1)

    @model_validator(mode="after")
    def _scale_is_a_scale(self) -> Self:
        if isinstance(self.background_scale, float) and not 0.0 < self.background_scale <= 100.0:
            raise ValueError(f"background_scale: {self.background_scale:g} is not between 0 and 100")
        return self


class LaboratoryDevice(_Data):
    """One device.

    Attributes
    ----------
    id : its topic level; unique in the laboratory.
    driver : registered name of its driver (``solvus drivers`` lists them).
    action : what the agent orders from it.
    settings : for the driver, as its documentation says.
    calibration : handed to the driver as a setting of this name.
    limits, combinations : ranges, steps and sums that the device keeps to, whatever its driver would allow. A real
        instrument does not start without limits for every number it takes.
    reduction : for an instrument that sends raw I(Q); the agent's affair, not the driver's.
    launch : false for a device whose driver is started elsewhere, beside its instrument.
    """

    id: Name
    driver: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    action: Name
    settings: dict[str, JsonValue] = {}
    calibration: Calibration | None = None
    reduction: Reduction | None = None
    limits: dict[str, Limit] = {}
    combinations: tuple[Combination, ...] = ()
    launch: bool = True

    @model_validator(mode="after")
    def _id_is_free(self) -> Self:
        if self.id == AGENT:
            raise ValueError("id: 'agent' is reserved; choose another")
        return self

    def driver_settings(self) -> dict[str, JsonValue]:
        """Everything the driver itself is given, JSON-able."""
        given = dict(self.settings)
        if self.calibration is not None:
            given["calibration"] = self.calibration.model_dump(mode="json")
        return given

    def safety(self) -> DeviceLimits:
        """The limits that the protocol around the driver enforces."""
        return DeviceLimits(parameters=self.limits, combinations=self.combinations)


class Laboratory(_Data):
    """A laboratory.

    Attributes
    ----------
    name : the topic level of the laboratory.
    data_directory : for journals, reports and large patterns; relative to the folder in which the agent is
        started.
    """

    name: Name
    broker: Broker = Broker()
    data_directory: Path = Path("solvus-data")
    devices: tuple[LaboratoryDevice, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        ids = [device.id for device in self.devices]
        if twice := next((i for i in ids if ids.count(i) > 1), None):
            raise ValueError(f"devices: two are called {twice!r}; ids must differ")
        return self

    @property
    def pattern_folder(self) -> Path:
        """Where devices leave patterns too large for a message, and the agent finds them."""
        return self.data_directory / self.name / "patterns"


def load_laboratory(path: Path) -> Laboratory:
    """Read a LAB.yaml; the files it names are taken relative to its own folder. Raises
    :class:`solvus.drivers.yaml_file.ConfigurationError` with the line of each mistake."""
    read = load_yaml(path, Laboratory)
    return read.model_copy(
        update={"devices": tuple(_located(d, path.resolve().parent) for d in read.devices)}
    )


def _located(device: LaboratoryDevice, folder: Path) -> LaboratoryDevice:
    reduction = device.reduction
    if reduction is None or reduction.background is None:
        return device
    file = folder / reduction.background.expanduser()
    return device.model_copy(update={"reduction": reduction.model_copy(update={"background": file})})
