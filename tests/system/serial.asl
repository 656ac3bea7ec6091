// SPDX-License-Identifier: Apache-2.0
// What a guest is told of a serial port that is passed to it.
DefinitionBlock ("", "SSDT", 2, "QVM", "SERIAL2", 1)
{
    Device (\_SB.COM2)
    {
        Name (_HID, EisaId ("PNP0501"))
        Name (_UID, 2)
        Name (_CRS, ResourceTemplate ()
        {
            IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
            Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 3 }
        })
    }
}
