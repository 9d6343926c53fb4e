"""Packets: bounded, complete, and the same however they arrive."""

from millrace.engine.wire.milter.codes import PACKET_MAX
from millrace.engine.wire.milter.packets import Packets, packet


def test_two_packets_and_a_half_are_two_packets():
    data = packet(76, b"a\0b\0") + packet(78)
    packets = Packets()
    assert packets.cut(data + packet(66, b"body")[:7]) == [(76, b"a\0b\0"), (78, b"")]
    assert packets.cut(b"dy") == [(66, b"body")]


def test_a_packet_without_a_command_is_an_error():
    packets = Packets()
    assert packets.cut(packet(78) + b"\0\0\0\0\0") == [(78, b"")]
    assert "no command" in str(packets.error)


def test_the_largest_packet_passes_and_one_byte_more_does_not():
    packets = Packets()
    assert len(packets.cut(packet(66, bytes(PACKET_MAX - 1)))[0][1]) == PACKET_MAX - 1
    assert packets.cut(packet(66, bytes(PACKET_MAX))[:5]) == []
    assert "above the limit" in str(packets.error)


def test_a_length_that_is_somebody_elses_protocol_is_refused_at_once():
    packets = Packets()
    packets.cut(b"GET / HTTP/1.1\r\n")
    assert packets.error


def test_a_slow_packet_is_joined_once_and_not_at_each_byte():
    data = packet(66, bytes(300_000))
    packets = Packets()
    assert packets.cut(data[:5]) == []
    assert packets._need == len(data)  # nothing is tried again before all of it is there
    packets = Packets()
    found = [whole for byte in data for whole in packets.cut(bytes((byte,)))]
    assert found == [(66, bytes(300_000))]


def test_a_view_of_a_reused_buffer_is_copied():
    buffer = bytearray(packet(72, b"name\0"))
    packets = Packets()
    (whole,) = packets.cut(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert whole == (72, b"name\0")
