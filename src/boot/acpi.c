/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts are those of chapter "ACPI Software Programming Model" of the ACPI specification, 6.x. */
#include "boot/acpi.h"

#include "boot/acpi_dsdt.h"

#include <errno.h>
#include <string.h>

#define OEM_ID		 "BLKHD "
#define OEM_TABLE_ID	 "BULKHEAD"
#define OEM_REVISION	 1u
#define CREATOR_ID	 "BLKH"
#define CREATOR_REVISION 1u

#define HEADER_LEN	 36u
#define LENGTH_OFFSET	 4u
#define CHECKSUM_OFFSET	 9u
#define TABLE_ALIGN	 16u
#define RSDP_LEN	 36u
#define RSDP_LEN_1	 20u /* as ACPI 1.0 has it, with a checksum of its own */
#define RSDP_CHECKSUM_1	 8u
#define RSDP_CHECKSUM	 32u
#define ADDRESS_END	 (1ull << 32)

/* Boot architecture flags of the FADT. */
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_8042	    (1u << 1)
#define BOOT_NO_VGA	    (1u << 2)
#define BOOT_NO_CMOS_RTC    (1u << 5)

/* Feature flags of the FADT. The "button" flags mean that there is no fixed-register button. */
#define FADT_WBINVD	  (1u << 0)
#define FADT_PROC_C1	  (1u << 2)
#define FADT_POWER_BUTTON (1u << 4)
#define FADT_SLEEP_BUTTON (1u << 5)
#define FADT_RESET_REG	  (1u << 10)
#define FADT_HW_REDUCED	  (1u << 20)

#define FACS_LEN	  64u /* and alignment */
#define NO_C2_LATENCY	  101u
#define NO_C3_LATENCY	  1001u
#define CMOS_CENTURY	  0x32u
#define HPET_PAGE_4K	  1u /* nothing else is in its page */

#define MADT_PCAT_COMPAT  (1u << 0)
#define MADT_ENABLED	  (1u << 0)
#define MADT_LAPIC	  0u
#define MADT_IOAPIC	  1u
#define MADT_OVERRIDE	  2u
#define MADT_X2APIC	  9u
#define MADT_FIRST_X2APIC 255u /* ids from here on do not fit the other form */
#define MADT_ACTIVE_HIGH  (1u << 0)
#define MADT_ACTIVE_LOW	  (3u << 0)
#define MADT_EDGE	  (1u << 2)
#define MADT_LEVEL	  (3u << 2)

struct acpi_builder {
	const struct acpi_config *cfg;
	uint64_t gpa_base;
	struct aml b;
	struct acpi_tables out;
};

static uint8_t checksum_of(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return (uint8_t)-sum;
}

static void store_le32(uint8_t *p, uint32_t value)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static void put_zeros(struct aml *b, size_t len)
{
	while (len--)
		aml_put_le(b, 0, 1);
}

static void table_begin(struct acpi_builder *t, const char *signature, unsigned int revision)
{
	struct acpi_table *table = &t->out.tables[t->out.num_tables];

	while (!aml_error(&t->b) && t->b.len % TABLE_ALIGN)
		put_zeros(&t->b, 1);
	memcpy(table->signature, signature, sizeof(table->signature));
	table->offset = t->b.len;
	aml_put_bytes(&t->b, signature, 4);
	aml_put_le(&t->b, 0, 4); /* length and, later, checksum */
	aml_put_le(&t->b, revision, 1);
	aml_put_le(&t->b, 0, 1);
	aml_put_bytes(&t->b, OEM_ID, 6);
	aml_put_bytes(&t->b, OEM_TABLE_ID, 8);
	aml_put_le(&t->b, OEM_REVISION, 4);
	aml_put_bytes(&t->b, CREATOR_ID, 4);
	aml_put_le(&t->b, CREATOR_REVISION, 4);
}

/* Returns the table's guest address. */
static uint64_t table_end(struct acpi_builder *t)
{
	struct acpi_table *table = &t->out.tables[t->out.num_tables];
	uint8_t *data;

	if (aml_error(&t->b))
		return 0;
	data = t->b.data + table->offset;
	table->len = t->b.len - table->offset;
	store_le32(data + LENGTH_OFFSET, (uint32_t)table->len);
	data[CHECKSUM_OFFSET] = checksum_of(data, table->len);
	t->out.num_tables++;
	return t->gpa_base + table->offset;
}

static int build_dsdt(struct acpi_builder *t, uint64_t *ret_gpa)
{
	int r;

	table_begin(t, "DSDT", 2);
	r = acpi_put_dsdt(&t->b, t->cfg);
	if (r < 0)
		return r;
	*ret_gpa = table_end(t);
	return 0;
}

static unsigned int boot_flags(const struct acpi_config *cfg)
{
	unsigned int flags = BOOT_NO_VGA;

	if (cfg->legacy_free)
		return flags | BOOT_NO_CMOS_RTC;
	if (cfg->has_8042)
		flags |= BOOT_8042 | BOOT_LEGACY_DEVICES;
	if (!cfg->has_rtc)
		flags |= BOOT_NO_CMOS_RTC;
	for (size_t i = 0; i < cfg->num_devices; i++) {
		for (size_t j = 0; j < cfg->devices[i].num_resources; j++) {
			if (cfg->devices[i].resources[j].kind == ACPI_RESOURCE_IO)
				flags |= BOOT_LEGACY_DEVICES;
		}
	}
	return flags;
}

/* An 8-bit register at an I/O port, as a generic address structure. */
static void put_port(struct aml *b, uint16_t port)
{
	aml_put_le(b, AML_SPACE_IO, 1);
	aml_put_le(b, 8, 1); /* width and offset in bits, access size in bytes */
	aml_put_le(b, 0, 1);
	aml_put_le(b, 1, 1);
	aml_put_le(b, port, 8);
}

/* The firmware's control structure: no table, as it has no checksum; the guest writes its lock. */
static uint64_t put_facs(struct acpi_builder *t)
{
	struct aml *b = &t->b;

	if (!t->cfg->fixed.present)
		return 0;
	while (!aml_error(b) && (t->gpa_base + b->len) % FACS_LEN)
		put_zeros(b, 1);
	uint64_t gpa = t->gpa_base + b->len;

	aml_put_bytes(b, "FACS", 4);
	aml_put_le(b, FACS_LEN, 4);
	put_zeros(b, 32 - 8);
	aml_put_le(b, 2, 1); /* version */
	put_zeros(b, FACS_LEN - 33);
	return gpa;
}

/* A 16-bit register, or two, at I/O ports. */
static void put_pm1(struct aml *b, uint16_t port, unsigned int len)
{
	aml_put_le(b, AML_SPACE_IO, 1);
	aml_put_le(b, 8 * len, 1);
	aml_put_le(b, 0, 1);
	aml_put_le(b, 2, 1); /* by 16 bits */
	aml_put_le(b, port, 8);
}

/* Offsets 44 to 108: all zero on reduced hardware. */
static void put_fixed(struct aml *b, const struct acpi_config *cfg)
{
	const struct acpi_fixed *f = &cfg->fixed;

	if (!f->present) {
		put_zeros(b, 109 - 44);
		return;
	}
	put_zeros(b, 2);
	aml_put_le(b, f->sci, 2);
	put_zeros(b, 8); /* no SMI: ACPI is always on */
	aml_put_le(b, f->event_port, 4);
	put_zeros(b, 4);
	aml_put_le(b, f->control_port, 4);
	put_zeros(b, 88 - 68); /* no second ones, no timer, no general events */
	aml_put_le(b, ACPI_PM1_EVENT_LEN, 1);
	aml_put_le(b, ACPI_PM1_CONTROL_LEN, 1);
	put_zeros(b, 96 - 90);
	aml_put_le(b, NO_C2_LATENCY, 2);
	aml_put_le(b, NO_C3_LATENCY, 2);
	put_zeros(b, 108 - 100);
	aml_put_le(b, cfg->has_rtc ? CMOS_CENTURY : 0, 1);
}

static void put_fixed_long(struct aml *b, const struct acpi_config *cfg)
{
	if (!cfg->fixed.present) {
		put_zeros(b, 244 - 148);
		return;
	}
	put_pm1(b, cfg->fixed.event_port, ACPI_PM1_EVENT_LEN);
	put_zeros(b, 12);
	put_pm1(b, cfg->fixed.control_port, ACPI_PM1_CONTROL_LEN);
	put_zeros(b, 244 - 184);
}

static uint64_t build_fadt(struct acpi_builder *t, uint64_t facs_gpa, uint64_t dsdt_gpa)
{
	const struct acpi_config *cfg = t->cfg;
	struct aml *b = &t->b;
	unsigned int flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON | FADT_RESET_REG;

	if (!cfg->fixed.present)
		flags |= FADT_POWER_BUTTON | FADT_HW_REDUCED;
	table_begin(t, "FACP", 6);
	aml_put_le(b, facs_gpa, 4);
	aml_put_le(b, dsdt_gpa, 4);
	put_fixed(b, cfg);
	aml_put_le(b, boot_flags(cfg), 2);
	put_zeros(b, 1);
	aml_put_le(b, flags, 4);
	put_port(b, cfg->reset_port);
	aml_put_le(b, cfg->reset_value, 1);
	put_zeros(b, 2 + 1 + 8); /* Arm flags, minor revision, FACS in its long form */
	aml_put_le(b, dsdt_gpa, 8);
	put_fixed_long(b, cfg);
	if (cfg->fixed.present) {
		put_zeros(b, 24);
	} else {
		put_port(b, cfg->sleep_port);
		put_port(b, (uint16_t)(cfg->sleep_port + 1));
	}
	aml_put_bytes(b, OEM_TABLE_ID, 8); /* who the hypervisor is */
	return table_end(t);
}

static void put_override(struct aml *b, const struct acpi_override *override)
{
	aml_put_le(b, MADT_OVERRIDE, 1);
	aml_put_le(b, 10, 1);
	aml_put_le(b, 0, 1); /* bus: ISA */
	aml_put_le(b, override->isa_irq, 1);
	aml_put_le(b, override->irq.gsi, 4);
	aml_put_le(b,
		   (override->irq.active_low ? MADT_ACTIVE_LOW : MADT_ACTIVE_HIGH) |
			   (override->irq.level ? MADT_LEVEL : MADT_EDGE),
		   2);
}

static uint64_t build_madt(struct acpi_builder *t)
{
	const struct acpi_config *cfg = t->cfg;
	struct aml *b = &t->b;

	table_begin(t, "APIC", 4);
	aml_put_le(b, cfg->lapic_addr, 4);
	aml_put_le(b, cfg->has_8259 ? MADT_PCAT_COMPAT : 0, 4);
	for (unsigned int i = 0; i < cfg->num_cpus; i++) {
		if (i < MADT_FIRST_X2APIC) {
			aml_put_le(b, MADT_LAPIC, 1);
			aml_put_le(b, 8, 1);
			aml_put_le(b, i, 1); /* _UID, then APIC id */
			aml_put_le(b, i, 1);
			aml_put_le(b, MADT_ENABLED, 4);
		} else {
			aml_put_le(b, MADT_X2APIC, 1);
			aml_put_le(b, 16, 1);
			aml_put_le(b, 0, 2);
			aml_put_le(b, i, 4); /* APIC id, then _UID */
			aml_put_le(b, MADT_ENABLED, 4);
			aml_put_le(b, i, 4);
		}
	}
	for (size_t i = 0; i < cfg->num_ioapics; i++) {
		const struct acpi_ioapic *ioapic = &cfg->ioapics[i];

		aml_put_le(b, MADT_IOAPIC, 1);
		aml_put_le(b, 12, 1);
		aml_put_le(b, ioapic->id, 1);
		aml_put_le(b, 0, 1);
		aml_put_le(b, ioapic->addr, 4);
		aml_put_le(b, ioapic->gsi_base, 4);
	}
	for (size_t i = 0; i < cfg->num_overrides; i++)
		put_override(b, &cfg->overrides[i]);
	if (cfg->fixed.present) {
		const struct acpi_override sci = {
			.isa_irq = cfg->fixed.sci, .irq = { .gsi = cfg->fixed.sci, .level = true }
		};

		put_override(b, &sci);
	}
	return table_end(t);
}

static uint64_t build_mcfg(struct acpi_builder *t)
{
	const struct acpi_pci *pci = &t->cfg->pci;
	struct aml *b = &t->b;

	table_begin(t, "MCFG", 1);
	put_zeros(b, 8);
	aml_put_le(b, pci->ecam_base, 8);
	aml_put_le(b, 0, 2); /* segment */
	aml_put_le(b, pci->first_bus, 1);
	aml_put_le(b, pci->last_bus, 1);
	put_zeros(b, 4);
	return table_end(t);
}

/* The user's tables have their headers. */
static uint64_t put_extra(struct acpi_builder *t, const struct acpi_extra *extra)
{
	struct acpi_table *table = &t->out.tables[t->out.num_tables];

	while (!aml_error(&t->b) && t->b.len % TABLE_ALIGN)
		put_zeros(&t->b, 1);
	memcpy(table->signature, extra->data, 4);
	table->offset = t->b.len;
	table->len = extra->len;
	aml_put_bytes(&t->b, extra->data, extra->len);
	if (aml_error(&t->b))
		return 0;
	t->out.num_tables++;
	return t->gpa_base + table->offset;
}

static uint64_t build_hpet(struct acpi_builder *t)
{
	const struct acpi_hpet *hpet = &t->cfg->hpet;
	struct aml *b = &t->b;

	table_begin(t, "HPET", 1);
	aml_put_le(b, hpet->id, 4);
	aml_put_le(b, AML_SPACE_MEMORY, 1);
	aml_put_le(b, 64, 1);
	put_zeros(b, 2);
	aml_put_le(b, hpet->addr, 8);
	aml_put_le(b, 0, 1); /* the first one */
	aml_put_le(b, hpet->min_ticks, 2);
	aml_put_le(b, HPET_PAGE_4K, 1);
	return table_end(t);
}

/* "XSDT" with entries of 8 bytes, or "RSDT" with entries of 4. */
static uint64_t build_root(struct acpi_builder *t, const char *signature, unsigned int entry_len,
			   const uint64_t *gpas, size_t num)
{
	table_begin(t, signature, 1);
	for (size_t i = 0; i < num; i++)
		aml_put_le(&t->b, gpas[i], entry_len);
	return table_end(t);
}

static void write_rsdp(struct acpi_builder *t, uint64_t rsdt_gpa, uint64_t xsdt_gpa)
{
	uint8_t *p = t->b.data;

	memcpy(p, "RSD PTR ", 8);
	memcpy(p + 9, OEM_ID, 6);
	p[15] = 2; /* revision */
	store_le32(p + 16, (uint32_t)rsdt_gpa);
	store_le32(p + 20, RSDP_LEN);
	store_le32(p + 24, (uint32_t)xsdt_gpa);
	p[RSDP_CHECKSUM_1] = checksum_of(p, RSDP_LEN_1);
	p[RSDP_CHECKSUM] = checksum_of(p, RSDP_LEN);
}

static int build_all(struct acpi_builder *t)
{
	uint64_t gpas[4 + ACPI_MAX_EXTRA], facs, dsdt, rsdt, xsdt;
	size_t num = 0;
	int r;

	put_zeros(&t->b, RSDP_LEN);
	facs = put_facs(t);
	r = build_dsdt(t, &dsdt);
	if (r < 0)
		return r;
	gpas[num++] = build_fadt(t, facs, dsdt);
	gpas[num++] = build_madt(t);
	if (t->cfg->pci.present)
		gpas[num++] = build_mcfg(t);
	if (t->cfg->hpet.present)
		gpas[num++] = build_hpet(t);
	for (size_t i = 0; i < t->cfg->num_extra; i++)
		gpas[num++] = put_extra(t, &t->cfg->extra[i]);
	rsdt = build_root(t, "RSDT", 4, gpas, num);
	xsdt = build_root(t, "XSDT", 8, gpas, num);
	r = aml_error(&t->b);
	if (r < 0)
		return r;
	write_rsdp(t, rsdt, xsdt);
	return 0;
}

int acpi_build(const struct acpi_config *cfg, uint64_t gpa_base, size_t max_len,
	       struct acpi_tables *ret)
{
	struct acpi_builder t = { .cfg = cfg, .gpa_base = gpa_base };
	int r;

	if (!cfg->num_cpus || cfg->num_cpus > ACPI_MAX_CPUS || cfg->num_extra > ACPI_MAX_EXTRA ||
	    cfg->sleep_port == UINT16_MAX || gpa_base % TABLE_ALIGN ||
	    !range_inside(gpa_base, max_len, 0, ADDRESS_END))
		return -EINVAL;
	r = build_all(&t);
	if (r == 0 && t.b.len > max_len)
		r = -ENOSPC;
	if (r < 0) {
		aml_free(&t.b);
		return r;
	}
	t.out.data = t.b.data;
	t.out.len = t.b.len;
	t.out.rsdp_gpa = gpa_base;
	*ret = t.out;
	return 0;
}

int acpi_extra_check(const uint8_t *data, size_t len, const char **ret_why)
{
	static const char ours[][5] = { "DSDT", "FACP", "APIC", "MCFG",
					"RSDT", "XSDT", "FACS", "RSD " };
	uint32_t said;

	if (len < HEADER_LEN) {
		*ret_why = "it is shorter than the header of a table, 36 bytes";
		return -EINVAL;
	}
	said = (uint32_t)data[4] | (uint32_t)data[5] << 8 | (uint32_t)data[6] << 16 |
	       (uint32_t)data[7] << 24;
	for (unsigned int i = 0; i < ARRAY_LEN(ours); i++) {
		if (memcmp(data, ours[i], 4) == 0) {
			*ret_why = "the VM has its own table of that kind";
			return -EINVAL;
		}
	}
	for (unsigned int i = 0; i < 4; i++) {
		if ((data[i] < 'A' || data[i] > 'Z') && (data[i] < '0' || data[i] > '9') &&
		    data[i] != '_') {
			*ret_why = "it does not start with a signature of four letters";
			return -EINVAL;
		}
	}
	if (said != len) {
		*ret_why = "its header has another length than the file";
		return -EINVAL;
	}
	if (checksum_of(data, len)) {
		*ret_why = "its checksum is wrong";
		return -EINVAL;
	}
	return 0;
}

void acpi_tables_free(struct acpi_tables *tables)
{
	struct aml b = { .data = tables->data };

	aml_free(&b);
	*tables = (struct acpi_tables){ 0 };
}
