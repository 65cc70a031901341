"""HL7 v2 over MLLP, over real sockets: acknowledgments, drafts, duplicates, and everything that is no message."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import hl7
import hl7.mllp
import pytest
from command import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import CANARY, Running, running

from radllama.errors import InputError
from radllama.server.feedback import DraftRow
from radllama.server.messages import MOST_UNREAD, MessageRow, find_unread, keep_unread, list_unread
from radllama.server.mllp_exposure import MllpExposure, parse_mllp
from radllama.store.store import Store, open_store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), deadline_s=20) as one:
        yield one


def order(control: str, findings: str = f"Lungs are clear. {CANARY}", kind: str = "ORU^R01^ORU_R01") -> bytes:
    return "\r".join(
        [
            f"MSH|^~\\&|RIS|HOSP|RADLLAMA|HOSP|20260101120000||{kind}|{control}|P|2.5.1",
            f"PID|1||S000001^^^HOSP^MR||{CANARY.upper()}^JANE",
            "ORC|RE|P7|F7",
            "OBR|1|P7|F7|71046^XR CHEST^C4",
            f"OBX|1|TX|59776-5^Findings^LN||{findings}||||||P",
            "",
        ]
    ).encode()


class Peer:
    """A RIS: one connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.left = b""

    def send(self, raw: bytes, answers: int = 2) -> list[hl7.Message]:
        self.socket.sendall(b"\x0b" + raw + b"\x1c\r")
        return [self.read() for _ in range(answers)]

    def read(self) -> hl7.Message:
        while b"\x1c\r" not in self.left:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError
            self.left += piece
        block, _, self.left = self.left.partition(b"\x1c\r")
        assert block[:1] == b"\x0b"
        return hl7.parse(block[1:].decode())

    def is_ended(self) -> bool:
        return not self.socket.recv(1)


@pytest.fixture
def ris(server: Running) -> Iterator[Peer]:
    one = Peer(server.mllp_port)
    yield one
    one.socket.close()


def text_of(result: hl7.Message) -> str:
    return "\n".join(result.unescape(str(obx[5])) for obx in result["OBX"])


def unread(server: Running) -> list[str]:
    with server.store.read() as session:
        return [row.reason for row in list_unread(session)]


# Answers


def test_a_result_with_findings_is_acknowledged_and_drafted_as_preliminary(server: Running, ris: Peer) -> None:
    ack, result = ris.send(order("A1", "Heart \\T\\ lungs are normal."))
    assert (str(ack["MSH"][0][9]), str(ack["MSA"][0][1]), str(ack["MSA"][0][2])) == ("ACK^R01^ACK", "AA", "A1")
    assert (str(ack["MSH"][0][3]), str(ack["MSH"][0][5])) == ("RADLLAMA", "RIS")
    assert str(result["MSH"][0][9]) == "ORU^R01^ORU_R01"
    assert str(result["MSH"][0][10]) not in ("A1", str(ack["MSH"][0][10]))
    assert text_of(result).endswith("Heart & lungs are normal.")
    assert (str(result["OBR"][0][25]), str(result["OBX"][0][11])) == ("P", "P")
    assert str(result["OBX"][0][3]) == "19005-8^Impression^LN"
    assert str(result["PID"][0][3]) == "S000001^^^HOSP^MR"
    assert str(result["OBR"][0][3]) == "F7"
    notes = [str(one[3]) for one in result["NTE"]]
    assert "by one, weights " + "0" * 64 in notes[0]
    assert "signs" in notes[1]


def test_each_draft_is_kept_and_audited_like_any_other(server: Running, ris: Peer) -> None:
    before = server.audit.verify()
    _, result = ris.send(order("A2"))
    identity = str(result["NTE"][0][3]).split()[1]
    with server.store.read() as session:
        row = session.get(DraftRow, identity)
    assert row is not None
    assert row.caller == "mllp"
    assert server.audit.verify() == before + 1
    answer = server.client.post(f"/v1/impressions/{identity}/verdict", json={"verdict": "accepted", "person": "Dr A"})
    assert answer.status_code == 200


def test_one_connection_carries_many_messages(ris: Peer) -> None:
    for number in range(5):
        _, result = ris.send(order(f"B{number}", f"Finding number {number}."))
        assert text_of(result).endswith(f"number {number}.")


def test_the_librarys_own_client_is_answered(server: Running) -> None:
    async def talk() -> list[str]:
        reader, writer = await hl7.mllp.open_hl7_connection("127.0.0.1", server.mllp_port, encoding="utf-8")
        writer.writemessage(hl7.parse(order("C1").decode()))
        await writer.drain()
        answers = [await asyncio.wait_for(reader.readmessage(), 60) for _ in range(2)]
        writer.close()
        return [str(one["MSH"][0][9]) for one in answers]

    assert asyncio.run(talk()) == ["ACK^R01^ACK", "ORU^R01^ORU_R01"]


# Duplicates


def test_a_message_that_comes_again_is_drafted_once_and_answered_alike(server: Running, ris: Peer) -> None:
    first = ris.send(order("D1"))[1]
    other = Peer(server.mllp_port)
    again = other.send(order("D1"))[1]
    other.socket.close()
    assert text_of(first) == text_of(again)
    assert str(first["NTE"][0][3]) == str(again["NTE"][0][3])


def test_a_control_id_of_another_message_is_an_error(server: Running, ris: Peer) -> None:
    ris.send(order("D2"))
    (ack,) = ris.send(order("D2", "Something else."), answers=1)
    assert str(ack["MSA"][0][1]) == "AE"
    assert "this control id was another message's" in str(ack["ERR"][0][8])


def test_two_replicas_that_get_a_message_at_once_draft_it_once(tmp_path: Path) -> None:
    with running(tmp_path, deadline_s=20) as one, running(tmp_path, deadline_s=20) as two:
        results: list[hl7.Message] = []

        def send(port: int) -> None:
            peer = Peer(port)
            results.append(peer.send(order("E1", "sleep 0.5"))[1])
            peer.socket.close()

        threads = [threading.Thread(target=send, args=(port,)) for port in (one.mllp_port, two.mllp_port)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({str(result["NTE"][0][3]) for result in results}) == 1
        with one.store.read() as session:
            assert len(session.query(DraftRow).all()) == 1
    with running(tmp_path, deadline_s=20) as later:
        peer = Peer(later.mllp_port)
        again = peer.send(order("E1", "sleep 0.5"))[1]
        peer.socket.close()
        assert str(again["NTE"][0][3]) == str(results[0]["NTE"][0][3])


# What is no message


@pytest.mark.parametrize(
    ("raw", "code", "told"),
    [
        (b"", "AR", "does not begin with MSH"),
        (b"zebrafinch", "AR", "does not begin with MSH"),
        (order("F1", kind="ADT^A01"), "AR", "only ORU^R01 is answered"),
        (order(""), "AR", "a message needs a control id"),
        (order("F2").replace(b"59776-5^Findings^LN", b"1^Dose^L").replace(b"|TX|", b"|NM|"), "AE", "no findings"),
        (order("F3", "\xff").replace("\xff".encode(), b"\xff"), "AR", "not in the character set"),
        (order("F4", "x" * 50_000), "AE", "longer than is drafted from"),
        (order("F5", "refuse this"), "AE", "refused"),
    ],
)
def test_what_cannot_be_drafted_is_told_and_kept_for_the_operator(
    server: Running, ris: Peer, raw: bytes, code: str, told: str
) -> None:
    before = len(unread(server))
    (ack,) = ris.send(raw, answers=1)
    assert str(ack["MSA"][0][1]) == code
    assert told in ack.unescape(str(ack["ERR"][0][8]))
    assert CANARY not in str(ack)
    kept = unread(server)
    assert len(kept) == before + 1
    assert told in kept[-1]
    with server.store.read() as session:
        assert find_unread(session, list_unread(session)[-1].id).body == raw


def test_a_bug_is_an_error_that_may_be_sent_again(server: Running, ris: Peer) -> None:
    (ack,) = ris.send(order("G1", f"raise {CANARY}"), answers=1)
    assert str(ack["MSA"][0][1]) == "AE"
    with server.store.read() as session:
        held = [row for row in session.query(MessageRow).all() if not row.code]
    assert held == []  # it may come again, and is then drafted anew


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\0" * 50, b"\x0b" + b"x" * 300_000])
def test_what_does_not_speak_mllp_is_left(server: Running, raw: bytes) -> None:
    peer = Peer(server.mllp_port)
    try:
        peer.socket.sendall(raw)
        assert peer.is_ended()
    except ConnectionError:
        pass  # it was closed while we wrote
    peer.socket.close()


@settings(max_examples=25)
@given(raw=st.binary(max_size=200).map(lambda noise: noise.replace(b"\x1c\r", b"")), at=st.integers(0, 200))
def test_no_bytes_end_the_server(server: Running, raw: bytes, at: int) -> None:
    peer = Peer(server.mllp_port)
    noise = order("H")
    ack = peer.send(noise[:at] + raw + noise[at + 20 :], answers=1)[0]
    assert str(ack["MSA"][0][1]) in ("AA", "AE", "AR")
    peer.socket.close()


def test_nothing_of_a_patient_is_in_the_log_or_the_metrics(server: Running, ris: Peer) -> None:
    ris.send(order("I1"))
    ris.send(order("I2", kind="ADT^A01"), answers=1)
    for told in (server.log.getvalue(), server.client.get("/metrics").text):
        assert CANARY not in told.lower()
    assert any(line.get("event") == "hl7" and line.get("code") == "AA" for line in server.logged())


# Beyond this machine


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl, which makes the certificates, is not installed")
def test_only_those_whose_certificate_is_known_may_send(tmp_path: Path) -> None:
    for name in ("ours", "theirs", "stranger"):
        subprocess.run(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost "
            f"-addext subjectAltName=DNS:localhost -keyout {name}.key -out {name}.pem".split(),
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
    exposure = MllpExposure("0.0.0.0", 0, tmp_path / "ours.pem", tmp_path / "ours.key", tmp_path / "theirs.pem")
    with running(tmp_path, mllp_tls=exposure.tls(), deadline_s=20) as one:
        for name, known in (("theirs", True), ("stranger", False)):
            context = ssl.create_default_context(cafile=str(tmp_path / "ours.pem"))
            context.load_cert_chain(tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
            peer = Peer(one.mllp_port)
            try:
                peer.socket = context.wrap_socket(peer.socket, server_hostname="localhost")
                assert str(peer.send(order("J1"))[0]["MSA"][0][1]) == "AA"
                assert known
            except (ssl.SSLError, ConnectionError, EOFError):
                assert not known
            finally:
                peer.socket.close()


def test_others_reach_it_only_by_certificate_or_said_aloud(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="anybody could send HL7 messages"):
        MllpExposure("0.0.0.0", 0).listen()
    MllpExposure("0.0.0.0", 0, plain=True).listen().close()
    MllpExposure("127.0.0.1", 0).listen().close()


@pytest.mark.parametrize(
    ("text", "place"), [("2575", ("127.0.0.1", 2575)), ("10.0.0.7:1", ("10.0.0.7", 1)), ("[::1]:2", ("::1", 2))]
)
def test_a_place_is_a_port_or_a_host_and_a_port(text: str, place: tuple[str, int]) -> None:
    assert parse_mllp(text) == place


@pytest.mark.parametrize("text", ["", "x", "host:", "1.2.3.4:99999", "-1"])
def test_what_is_no_place_is_told(text: str) -> None:
    with pytest.raises(InputError, match="expected PORT or HOST:PORT"):
        parse_mllp(text)


# The operator


def test_unread_messages_are_listed_without_their_text_and_shown_whole(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADLLAMA_HOME", str(tmp_path))
    store = open_store(None, tmp_path)
    with store.write() as session:
        identity = keep_unread(session, "hl7", "mllp", "no findings", CANARY.encode())
    store.close()
    listed = run("unread", "list")
    assert identity in listed.out
    assert "no findings" in listed.out
    assert CANARY not in listed.out
    assert run("unread", "show", identity).out == CANARY
    assert run("unread", "show", "none").code == 2
    assert run("audit", "verify").out == "1 entries, unbroken\n"
    assert "1 messages that could not be read" in run("feedback", "purge", "--before", "2100-01-01").out
    assert run("unread", "list").out == ""


def test_of_too_many_unread_messages_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radllama.server.messages.MOST_UNREAD", 3)
    assert MOST_UNREAD == 1000
    with store.write() as session:
        kept = [keep_unread(session, "fhir", "local", f"reason {number}", b"x") for number in range(5)]
        assert sorted(row.id for row in list_unread(session)) == sorted(kept[2:])
