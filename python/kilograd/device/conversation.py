"""Requests and answers: time-outs, repeats, what a refusal means. Knows nothing of plans."""

from __future__ import annotations

import secrets
import struct
import time

from kilograd.device.frames import ANSWER, VERSION, Command, Frame, Splitter, Status, encode
from kilograd.device.transport import Transport
from kilograd.errors import DeviceError

MIN_PAYLOAD = 96  # what every board takes
BUSY_PAUSE = 0.1
MOST_WAITS = 8  # times the time-out: the longest pause between two sendings

_WORDS = {
    Status.UNKNOWN_COMMAND: "the board does not know this command: its firmware is older than this program",
    Status.WRONG_VERSION: "the board speaks version {detail} of the protocol, this program version " + str(VERSION),
    Status.OVERSIZE: "the request is longer than the board takes ({detail} bytes)",
    Status.BAD_REQUEST: "the board finds the request malformed",
    Status.NO_CONVERSATION: "the board has restarted: what it learned since it was last saved is lost. Open it again",
    Status.NO_PLAN: "the board has no plan: send one with `kilograd device update`",
    Status.WRONG_PLAN: "the board runs another plan (checksum {detail:08x}) than before. Open it again",
    Status.BAD_ORDER: "the board expects another part of the data (offset {detail})",
    Status.NOT_FOUND: "the board's plan has nothing of that name or number",
    Status.OUT_OF_RANGE: "that lies beyond the end ({detail} bytes)",
    Status.READ_ONLY: "constants of a plan cannot be written",
    Status.CANNOT_TRAIN: "the board's plan was compiled for inference: compile it with --train",
    Status.UNSUPPORTED: "this board cannot do that: it has no flash for it, or its firmware leaves it out",
    Status.BUSY: "the board is busy and stays so",
    Status.FLASH_FULL: "it does not fit into the board's flash ({detail} bytes are kept for it)",
    Status.FLASH_ERROR: "the board's flash cannot be erased or programmed",
    Status.NOTHING_SAVED: "the board has nothing saved for this plan",
    Status.PLAN_REFUSED: "the board refuses the new plan and keeps its old one: {why}",
    Status.TOO_SMALL: "the new plan needs more memory than the board has ({detail} bytes); the board keeps its old one",
    Status.RUN_FAILED: "the run failed on the board (kg_status {detail})",
}


#: what kg_plan_open found, by kg_status
_PLAN_WORDS = {
    1: "it is no plan file",
    2: "it is a plan of a version that the board's firmware does not know",
    3: "it is not complete",
    4: "it is damaged",
    7: "it needs a kernel that the board's firmware lacks; build that with --all-kernels",
}


class Conversation:
    """Sends a request until its answer comes. Sending again is harmless: the board does the same request once."""

    def __init__(self, transport: Transport, timeout: float = 1.0, patience: float = 60.0) -> None:
        """`timeout`: seconds until a request is sent again the first time (then twice that, and so on; what a command took before counts
        too). `patience`: seconds until the board is given up."""
        self._transport = transport
        self._timeout = timeout
        self.patience = patience
        self._splitter = Splitter()
        self._sequence = secrets.randbelow(1 << 16)
        self._usual: dict[Command, float] = {}
        self.resent = 0  # requests sent again

    def request(self, command: Command, payload: bytes = b"", patience: float | None = None) -> bytes:
        """The content of the answer. DeviceError for every status but OK."""
        limit = time.monotonic() + (self.patience if patience is None else patience)
        while True:
            self._sequence = (self._sequence + 1) & 0xFFFF
            begin, resent = time.monotonic(), self.resent
            answer = self._exchange(command, Frame(command, self._sequence, payload), limit)
            if resent == self.resent:  # else it was the line that took the time
                self._usual[command] = time.monotonic() - begin
            status, content = answer.payload[0] if answer.payload else Status.BAD_REQUEST, answer.payload[1:]
            if status == Status.OK:
                return content
            if status != Status.BUSY or time.monotonic() >= limit:
                raise refusal(status, content)
            time.sleep(BUSY_PAUSE)

    def _exchange(self, command: Command, request: Frame, limit: float) -> Frame:
        raw = encode(request)
        wait = max(self._timeout, 3 * self._usual.get(command, 0.0))
        try:
            while True:
                self._transport.write(raw)
                until = min(time.monotonic() + wait, limit)
                while True:
                    for frame in self._splitter.feed(self._transport.read()):
                        if frame.type == request.type | ANSWER and frame.sequence == request.sequence:
                            return frame
                    if time.monotonic() >= until:
                        break
                if until >= limit:
                    raise DeviceError(
                        f"the board does not answer ({command.name.lower()}): is it powered, does it run kilograd's firmware, are port and "
                        "speed right, does another program use the port?"
                    )
                wait = min(2 * wait, max(wait, MOST_WAITS * self._timeout))
                self.resent += 1
        except OSError as error:
            raise DeviceError(f"the line to the board broke: {error}") from None

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


def refusal(status: int, content: bytes) -> DeviceError:
    """The error for an answer that is not OK."""
    detail = struct.unpack_from("<I", content)[0] if len(content) >= 4 else 0
    if status not in Status.__members__.values():
        return DeviceError(f"the board answers with a status that this program does not know ({status})", str(status))
    why = _PLAN_WORDS.get(detail, f"it is not consistent (kg_status {detail})")
    return DeviceError(_WORDS[Status(status)].format(detail=detail, why=why), Status(status).name)
