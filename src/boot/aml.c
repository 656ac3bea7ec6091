/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers here are those of the chapters "AML Specification" and "Resource Data Types" of the
 * ACPI specification. */
#include "boot/aml.h"

#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum aml_byte {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_STRING = 0x0d,
	AML_QWORD = 0x0e,
	AML_SCOPE = 0x10,
	AML_BUFFER = 0x11,
	AML_PACKAGE = 0x12,
	AML_METHOD = 0x14,
	AML_DUAL_NAME = 0x2e,
	AML_MULTI_NAME = 0x2f,
	AML_EXTENDED = 0x5b, /* before the following three */
	AML_REGION = 0x80,
	AML_FIELD = 0x81,
	AML_DEVICE = 0x82,
	AML_IF = 0xa0,
	AML_ONES = 0xff,
};

enum aml_resource {
	AML_RES_IO = 0x47,
	AML_RES_END = 0x79,
	AML_RES_MEMORY32_FIXED = 0x86,
	AML_RES_DWORD = 0x87,
	AML_RES_WORD = 0x88,
	AML_RES_IRQ = 0x89,
	AML_RES_QWORD = 0x8a,
};

enum aml_address_type {
	AML_ADDRESS_MEMORY = 0,
	AML_ADDRESS_IO = 1,
	AML_ADDRESS_BUS = 2,
};

#define ADDRESS_CONSUMER  0x01u /* general flags of an address space descriptor */
#define ADDRESS_FIXED	  0x0cu /* minimum and maximum are fixed */
#define MEMORY_READ_WRITE 0x01u /* type flags; not cacheable */
#define IO_ENTIRE_RANGE	  0x03u
#define IO_DECODE_16	  0x01u
#define METHOD_SERIALIZED 0x08u
#define FIELD_BYTE_ZEROS  0x41u /* byte access, no lock, unwritten bits are 0 */
#define PKG_LENGTH_MAX	  4u
#define NAME_LEN	  4u
#define MAX_SEGMENTS	  255u
#define MIN_CAPACITY	  1024u

void aml_free(struct aml *b)
{
	free(b->data);
	*b = (struct aml){ 0 };
}

int aml_error(const struct aml *b)
{
	return b->error;
}

static void aml_fail(struct aml *b, int error)
{
	if (!b->error)
		b->error = error;
}

/* Makes room for len bytes at offset at and returns where they go; NULL once there was an error. */
static uint8_t *aml_insert(struct aml *b, size_t at, size_t len)
{
	size_t cap = MAX(b->cap, (size_t)MIN_CAPACITY);

	if (b->error)
		return NULL;
	while (cap - b->len < len) {
		if (cap > SIZE_MAX / 2) {
			aml_fail(b, -ENOMEM);
			return NULL;
		}
		cap *= 2;
	}
	if (cap != b->cap) {
		uint8_t *data = realloc(b->data, cap);

		if (!data) {
			aml_fail(b, -ENOMEM);
			return NULL;
		}
		b->data = data;
		b->cap = cap;
	}
	memmove(b->data + at + len, b->data + at, b->len - at);
	b->len += len;
	return b->data + at;
}

void aml_put_bytes(struct aml *b, const void *data, size_t len)
{
	uint8_t *p = aml_insert(b, b->len, len);

	if (p)
		memcpy(p, data, len);
}

static void store_le(uint8_t *p, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

void aml_put_le(struct aml *b, uint64_t value, unsigned int bytes)
{
	uint8_t *p = aml_insert(b, b->len, bytes);

	if (p)
		store_le(p, value, bytes);
}

static void aml_put_byte(struct aml *b, unsigned int value)
{
	aml_put_le(b, value, 1);
}

void aml_put_op(struct aml *b, enum aml_op op)
{
	aml_put_byte(b, op);
}

/* Returns the length of the shortest encoding of value, which lies in data. */
static size_t encode_integer(uint64_t value, uint8_t data[9])
{
	unsigned int bytes;

	if (value == 0 || value == 1 || value == UINT64_MAX) {
		data[0] = value == 0 ? AML_ZERO : value == 1 ? AML_ONE : AML_ONES;
		return 1;
	}
	if (value <= UINT8_MAX) {
		data[0] = AML_BYTE;
		bytes = 1;
	} else if (value <= UINT16_MAX) {
		data[0] = AML_WORD;
		bytes = 2;
	} else if (value <= UINT32_MAX) {
		data[0] = AML_DWORD;
		bytes = 4;
	} else {
		data[0] = AML_QWORD;
		bytes = 8;
	}
	store_le(data + 1, value, bytes);
	return 1 + bytes;
}

void aml_put_integer(struct aml *b, uint64_t value)
{
	uint8_t data[9];

	aml_put_bytes(b, data, encode_integer(value, data));
}

void aml_put_string(struct aml *b, const char *text)
{
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p > 0x7f)
			aml_fail(b, -EINVAL);
	}
	aml_put_byte(b, AML_STRING);
	aml_put_bytes(b, text, strlen(text) + 1);
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Copies the segment at the start of text, filled up with '_'. Returns its length, 0 if it is not a
 * name. */
static size_t parse_segment(const char *text, uint8_t name[NAME_LEN])
{
	size_t len = strcspn(text, ".");

	if (len == 0 || len > NAME_LEN || is_digit(text[0]))
		return 0;
	memset(name, '_', NAME_LEN);
	for (size_t i = 0; i < len; i++) {
		if (!is_upper(text[i]) && !is_digit(text[i]) && text[i] != '_')
			return 0;
		name[i] = (uint8_t)text[i];
	}
	return len;
}

void aml_put_path(struct aml *b, const char *path)
{
	uint8_t name[NAME_LEN];
	size_t num = 1;

	if (*path == '\\')
		aml_put_byte(b, (unsigned char)*path++);
	while (*path == '^')
		aml_put_byte(b, (unsigned char)*path++);
	for (const char *p = path; *p; p++)
		num += *p == '.';
	if (num > MAX_SEGMENTS) {
		aml_fail(b, -EINVAL);
		return;
	}
	if (num == 2) {
		aml_put_byte(b, AML_DUAL_NAME);
	} else if (num > 2) {
		aml_put_byte(b, AML_MULTI_NAME);
		aml_put_byte(b, (unsigned int)num);
	}
	for (size_t i = 0; i < num; i++) {
		size_t len = parse_segment(path, name);

		if (!len) {
			aml_fail(b, -EINVAL);
			return;
		}
		aml_put_bytes(b, name, sizeof(name));
		path += len + 1;
	}
}

void aml_put_null_name(struct aml *b)
{
	aml_put_byte(b, 0);
}

void aml_put_name(struct aml *b, const char *path)
{
	aml_put_byte(b, AML_NAME);
	aml_put_path(b, path);
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Three letters of 5 bits and four hexadecimal digits, the most significant byte first. */
static bool encode_eisa_id(const char *id, uint32_t *ret_value)
{
	uint32_t value = 0;

	for (int i = 0; i < 3; i++) {
		if (!is_upper(id[i]))
			return false;
		value = value << 5 | (uint32_t)(id[i] - '@');
	}
	for (int i = 3; i < 7; i++) {
		int digit = hex_digit(id[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (uint32_t)digit;
	}
	*ret_value = __builtin_bswap32(value);
	return true;
}

void aml_put_hardware_id(struct aml *b, const char *id)
{
	size_t len = strlen(id);
	uint32_t value;

	if (len == 7 && encode_eisa_id(id, &value)) {
		aml_put_integer(b, value);
		return;
	}
	/* An ACPI id: four letters or digits for the vendor, four hexadecimal digits. */
	for (size_t i = 0; i < len; i++) {
		if (i < 4 ? !is_upper(id[i]) && !is_digit(id[i]) : hex_digit(id[i]) < 0)
			aml_fail(b, -EINVAL);
	}
	if (len != 8)
		aml_fail(b, -EINVAL);
	aml_put_string(b, id);
}

size_t aml_open_scope(struct aml *b, const char *path)
{
	size_t mark;

	aml_put_byte(b, AML_SCOPE);
	mark = b->len;
	aml_put_path(b, path);
	return mark;
}

static size_t aml_open_extended(struct aml *b, enum aml_byte op, const char *path)
{
	size_t mark;

	aml_put_byte(b, AML_EXTENDED);
	aml_put_byte(b, op);
	mark = b->len;
	aml_put_path(b, path);
	return mark;
}

size_t aml_open_device(struct aml *b, const char *path)
{
	return aml_open_extended(b, AML_DEVICE, path);
}

size_t aml_open_method(struct aml *b, const char *path, unsigned int num_args)
{
	size_t mark;

	if (num_args > 7)
		aml_fail(b, -EINVAL);
	aml_put_byte(b, AML_METHOD);
	mark = b->len;
	aml_put_path(b, path);
	aml_put_byte(b, num_args | METHOD_SERIALIZED);
	return mark;
}

size_t aml_open_if(struct aml *b)
{
	aml_put_byte(b, AML_IF);
	return b->len;
}

size_t aml_open_package(struct aml *b, uint8_t num_elements)
{
	size_t mark;

	aml_put_byte(b, AML_PACKAGE);
	mark = b->len;
	aml_put_byte(b, num_elements);
	return mark;
}

/*
 * A PkgLength counts itself. One byte holds up to 63; else the first byte holds the low 4 bits and,
 * in its top two, how many bytes of 8 more bits follow.
 */
void aml_close(struct aml *b, size_t mark)
{
	size_t body = b->error ? 0 : b->len - mark;
	size_t bytes = 1;
	size_t total;
	uint8_t *p;

	while (bytes < PKG_LENGTH_MAX &&
	       body + bytes >= (bytes == 1 ? 64 : (size_t)1 << (8 * bytes - 4)))
		bytes++;
	total = body + bytes;
	if (total >= (size_t)1 << (8 * PKG_LENGTH_MAX - 4)) {
		aml_fail(b, -E2BIG);
		return;
	}
	p = aml_insert(b, mark, bytes);
	if (!p)
		return;
	if (bytes == 1) {
		p[0] = (uint8_t)total;
		return;
	}
	p[0] = (uint8_t)((bytes - 1) << 6 | (total & 0x0f));
	store_le(p + 1, total >> 4, (unsigned int)bytes - 1);
}

void aml_put_region(struct aml *b, const char *path, enum aml_space space, uint64_t offset,
		    uint64_t len)
{
	aml_put_byte(b, AML_EXTENDED);
	aml_put_byte(b, AML_REGION);
	aml_put_path(b, path);
	aml_put_byte(b, space);
	aml_put_integer(b, offset);
	aml_put_integer(b, len);
}

void aml_put_byte_field(struct aml *b, const char *region, const char *name)
{
	size_t mark = aml_open_extended(b, AML_FIELD, region);

	aml_put_byte(b, FIELD_BYTE_ZEROS);
	aml_put_path(b, name);
	aml_put_byte(b, 8); /* bits, in the form of a PkgLength */
	aml_close(b, mark);
}

size_t aml_res_open(struct aml *b)
{
	aml_put_byte(b, AML_BUFFER);
	return b->len;
}

void aml_res_close(struct aml *b, size_t mark)
{
	uint8_t sum = AML_RES_END;
	uint8_t size[9];
	size_t size_len;
	uint8_t *p;

	if (b->error)
		return;
	for (size_t i = mark; i < b->len; i++)
		sum = (uint8_t)(sum + b->data[i]);
	aml_put_byte(b, AML_RES_END);
	aml_put_byte(b, (uint8_t)-sum);
	size_len = encode_integer(b->len - mark, size);
	p = aml_insert(b, mark, size_len);
	if (p)
		memcpy(p, size, size_len);
	aml_close(b, mark);
}

void aml_res_put_io(struct aml *b, uint16_t base, uint8_t len)
{
	aml_put_byte(b, AML_RES_IO);
	aml_put_byte(b, IO_DECODE_16);
	aml_put_le(b, base, 2);
	aml_put_le(b, base, 2);
	aml_put_byte(b, 1); /* alignment */
	aml_put_byte(b, len);
}

void aml_res_put_irq(struct aml *b, const struct aml_irq *irq)
{
	aml_put_byte(b, AML_RES_IRQ);
	aml_put_le(b, 6, 2);
	aml_put_byte(b, 1u | (irq->level ? 0 : 1u << 1) | (irq->active_low ? 1u << 2 : 0) |
				(irq->shared ? 1u << 3 : 0));
	aml_put_byte(b, 1); /* interrupts in this descriptor */
	aml_put_le(b, irq->gsi, 4);
}

/* Granularity and translation are 0: no range is aligned or seen at another address on its other
 * side. */
static void put_address(struct aml *b, enum aml_resource size, enum aml_address_type type,
			unsigned int flags, uint64_t first, uint64_t last)
{
	unsigned int bytes = size == AML_RES_WORD ? 2 : size == AML_RES_DWORD ? 4 : 8;
	unsigned int type_flags = type == AML_ADDRESS_MEMORY ? MEMORY_READ_WRITE
				  : type == AML_ADDRESS_IO   ? IO_ENTIRE_RANGE
							     : 0;

	uint64_t len = last - first + 1;

	if (last < first || !len || (bytes < 8 && len >> (8 * bytes))) {
		aml_fail(b, -EINVAL);
		return;
	}
	aml_put_byte(b, size);
	aml_put_le(b, 3 + 5 * bytes, 2);
	aml_put_byte(b, type);
	aml_put_byte(b, flags | ADDRESS_FIXED);
	aml_put_byte(b, type_flags);
	aml_put_le(b, 0, bytes);
	aml_put_le(b, first, bytes);
	aml_put_le(b, last, bytes);
	aml_put_le(b, 0, bytes);
	aml_put_le(b, len, bytes);
}

void aml_res_put_memory(struct aml *b, uint64_t base, uint64_t len)
{
	if (!len || len - 1 > UINT64_MAX - base) {
		aml_fail(b, -EINVAL);
		return;
	}
	if (len > UINT32_MAX || base > UINT32_MAX - (len - 1)) {
		put_address(b, AML_RES_QWORD, AML_ADDRESS_MEMORY, ADDRESS_CONSUMER, base,
			    base + len - 1);
		return;
	}
	aml_put_byte(b, AML_RES_MEMORY32_FIXED);
	aml_put_le(b, 9, 2);
	aml_put_byte(b, MEMORY_READ_WRITE);
	aml_put_le(b, base, 4);
	aml_put_le(b, len, 4);
}

void aml_res_put_io_window(struct aml *b, uint16_t first, uint16_t last)
{
	put_address(b, AML_RES_WORD, AML_ADDRESS_IO, 0, first, last);
}

void aml_res_put_bus_window(struct aml *b, uint8_t first, uint8_t last)
{
	put_address(b, AML_RES_WORD, AML_ADDRESS_BUS, 0, first, last);
}

void aml_res_put_memory_window32(struct aml *b, uint32_t first, uint32_t last)
{
	put_address(b, AML_RES_DWORD, AML_ADDRESS_MEMORY, 0, first, last);
}

void aml_res_put_memory_window64(struct aml *b, uint64_t first, uint64_t last)
{
	put_address(b, AML_RES_QWORD, AML_ADDRESS_MEMORY, 0, first, last);
}
