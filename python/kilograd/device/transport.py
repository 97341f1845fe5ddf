"""Ways that bytes go to a board and back."""

from __future__ import annotations

from typing import Any, Protocol

from kilograd.errors import DeviceError, KilogradError

TICK = 0.05  # seconds that a read waits at most
MOST = 4096  # bytes that it gives, about


class Transport(Protocol):
    """A line to a board. Errors are OSError."""

    def write(self, data: bytes) -> None:
        """Send all of it."""

    def read(self) -> bytes:
        """What has arrived; waits a moment when nothing has, and may give nothing."""

    def close(self) -> None:
        """Hang up."""


class SerialTransport:
    """A serial port, or what pyserial takes for one: /dev/ttyACM0, COM3, socket://host:port, rfc2217://host:port."""

    def __init__(self, port: str, baud: int = 115200) -> None:
        try:
            import serial
        except ModuleNotFoundError:
            raise KilogradError("talking to a board needs the package 'pyserial': pip install 'kilograd[device]'") from None
        try:
            self._port: Any = serial.serial_for_url(port, baudrate=baud, timeout=TICK, write_timeout=60)
        except (serial.SerialException, ValueError, OSError) as error:
            raise DeviceError(f"cannot open the port '{port}': {error}") from None

    def write(self, data: bytes) -> None:
        """Send all of it."""
        self._port.write(data)

    def read(self) -> bytes:
        """What has arrived within a moment."""
        data: bytes = self._port.read(1)
        while data and len(data) < MOST and (more := self._port.in_waiting):  # a socket tells of one byte at a time
            data += self._port.read(more)
        return data

    def close(self) -> None:
        """Close the port."""
        self._port.close()
