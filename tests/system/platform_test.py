# SPDX-License-Identifier: Apache-2.0
"""Each chip of the platform as a stock guest uses it when it is in user space: who ticks, what interrupts, how often."""
import re

import guests
from guests import SERIAL, STOCK, marked

COUNTS = "sed 's/^ *//' /proc/interrupts | sed 's/^/irq /'\n"
CLOCKS = ("cd /sys/devices/system; echo source=$(cat clocksource/clocksource0/current_clocksource); "
          "echo event=$(cat clockevents/clockevent0/current_device)\n")
# An idle guest needs few ticks, so it has something to do for more than a second.
BUSY = "end=$(($(date +%s) + 2)); while [ $(date +%s) -lt $end ]; do :; done\n"
TICKS = BUSY.join(f"echo ticks{i}=$(awk '$1==\"0:\" {{print $2}}' /proc/interrupts)\n" for i in (0, 1))
ALARM = "echo +2 > /sys/class/rtc/rtc0/wakealarm; sleep 4\n"


def counts(text):
    """Line in /proc/interrupts -> (number of interrupts, the rest of the line)."""
    return {line: (int(n), rest) for line, n, rest in re.findall(r"^irq (\w+): +(\d+) +(.*)$", text, re.M)}


def test_a_stock_file_of_the_documented_system(host):
    """RAM around the VGA hole, ROM below 1 MiB, ioapic at 0xf8000000, HPET with three interrupts as clock and as tick."""
    configuration, archive = guests.linux(CLOCKS + TICKS + COUNTS + "dmesg | grep -E 'IOAPIC|HPET id|hpet0|Firmware Bug|ACPI.*Error'",
                                          platform=STOCK, serial="vdev ser8250 intr myioapic:4 hostdev >/tmp/t/serial\n",
                                          cmdline="clocksource=hpet nolapic_timer")
    configuration = configuration.replace("ram 256m\n", "ram 0,0xa0000\nreserve loc 0xa0000,0x20000\nrom 0xc0000,0x40000\n"
                                          "ram 1m,255m\n")
    text = host.qvm(configuration, archive, before="touch /tmp/t/serial", timeout=150).text.replace("\r\n", "\n")
    assert (marked(text, "source"), marked(text, "event")) == ("hpet", "hpet")
    assert int(marked(text, "ticks1")) > int(marked(text, "ticks0")) + 20
    found = counts(text)
    assert found["0"][1].split() == ["IO-APIC", "0-edge", "timer"]
    assert found["9"][1].split() == ["IO-APIC", "9-fasteoi", "acpi"]
    assert "address 0xf8000000, GSI 0-23" in text and "base: 0xf8008000" in text
    assert "Firmware Bug" not in text and "Error" not in text


def test_power_button_by_the_fixed_registers(host):
    """With an HPET the power button is that of a full PC. A guest of 47 bytes enables it, waits for its status, clears that,
    and goes to S5 by the control register."""
    code = (b"\xba\x06\x06\xb8\x00\x01\xef"  # enable the button
            b"\xba\xf8\x03\xb0R\xee"  # "R"
            b"\xba\x04\x06\xed\xf6\xc4\x01\x74\xfa"  # until it is pressed
            b"\xef\xed\x84\xe4\xb0P\x74\x02\xb0X"  # a 1 clears: "P", else "X"
            b"\xba\xf8\x03\xee\xba\x08\x06\xb8\x00\x34\xef\xf4")
    host.board.push(code, "/tmp/button.bin")
    command = host.start(f"ram 1m\nload 0x7c00,/tmp/button.bin\n{STOCK}{SERIAL}")
    command.read_until("R", timeout=60)
    host.run("pkill -TERM -x qvm")
    result = command.wait(timeout=60)
    assert (result.status, result.text) == (0, "RP")


def test_timer8254_is_the_tick_behind_an_ioapic(host):
    text = host.linux(CLOCKS + TICKS + COUNTS, platform=STOCK, timeout=200,
                      cmdline="hpet=disable nolapic_timer lapic=notscdeadline")
    assert marked(text, "event") == "pit"
    assert int(marked(text, "ticks1")) > int(marked(text, "ticks0")) + 20
    assert counts(text)["0"][1].split() == ["IO-APIC", "0-edge", "timer"]


def test_both_8259s_without_an_ioapic(host):
    """The kernel is told to leave the ioapic alone: tick and serial port come through the first 8259, the clock's alarm
    through the second."""
    text = host.linux(CLOCKS + TICKS + ALARM + COUNTS, console="", serial=SERIAL, platform=STOCK, timeout=200,
                      cmdline="noapic hpet=disable nolapic_timer lapic=notscdeadline")
    found = counts(text)
    for line, name in (("0", "timer"), ("2", "cascade"), ("4", "ttyS0"), ("8", "rtc0")):
        assert found[line][1].split() == ["XT-PIC", name]
    assert marked(text, "event") == "pit"
    assert int(marked(text, "ticks1")) > int(marked(text, "ticks0")) + 20
    assert found["4"][0] > 5 and 1 <= found["8"][0] <= 3


def test_no_acpi_at_all(host):
    """Virtual wire by the local APIC; the keyboard controller is probed and resets the machine."""
    configuration, archive = guests.linux(TICKS + COUNTS + "reboot -f\n", console="", serial=SERIAL, platform=guests.SPLIT,
                                          cmdline="acpi=off reboot=k")
    result = host.qvm(configuration, archive, timeout=200)
    found = counts(result.text.replace("\r\n", "\n"))
    assert found["0"][1].split() == ["XT-PIC", "timer"] and found["0"][0] > 100
    assert found["1"][1].split() == ["XT-PIC", "i8042"]
    assert "vdev pckeyboard: the guest resets itself" in result.error


def test_clock_and_serial_port_interrupt_through_the_ioapic(host, machine):
    text = host.linux(ALARM + COUNTS, console="", serial=SERIAL, timeout=150)
    found = {rest.split()[-1]: (n, rest) for n, rest in counts(text).values()}
    assert 1 <= found["rtc0"][0] <= 3 and "8-edge" in found["rtc0"][1]
    assert found["ttyS0"][0] > 5 and "4-edge" in found["ttyS0"][1]


def test_a_second_ioapic_and_240_pins(host):
    """The console's interrupt is the last pin of the second one: number 24 + 239."""
    more = "vdev ioapic name more loc 0xf8010000 pins 240\n"
    text = host.linux("dmesg | grep IOAPIC; for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done\n" + COUNTS,
                      console="", platform=guests.PLATFORM + more, serial="vdev ser8250 intr more:239 hostdev >-\n", timeout=150)
    assert "address 0xf8010000, GSI 24-263" in text
    n, rest = next(value for value in counts(text).values() if value[1].endswith("ttyS0"))
    assert n > 5 and "IO-APIC" in rest and "239-edge" in rest
