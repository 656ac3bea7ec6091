/* SPDX-License-Identifier: Apache-2.0 */
#include "vdevtest/coverage.h"

#include <string.h>

#include "base/util.h"

enum { MAX_SECTIONS = 64 };

static uint8_t seen[COVERAGE_SIZE];
static uint32_t num_guards;
static bool there;
static struct {
	uint8_t *start, *end;
} sections[MAX_SECTIONS];
static unsigned num_sections;
static uint64_t values[COVERAGE_VALUES];
static unsigned num_values;

/* The compiler's names; a vdev's shared object calls them. */
#define EXPORT __attribute__((visibility("default")))
EXPORT void __sanitizer_cov_trace_pc(void);
EXPORT void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *end);
EXPORT void __sanitizer_cov_trace_pc_guard(uint32_t *guard);
EXPORT void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *end);
EXPORT void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *end);
EXPORT void __sanitizer_cov_trace_cmp1(uint8_t a, uint8_t b);
EXPORT void __sanitizer_cov_trace_cmp2(uint16_t a, uint16_t b);
EXPORT void __sanitizer_cov_trace_cmp4(uint32_t a, uint32_t b);
EXPORT void __sanitizer_cov_trace_cmp8(uint64_t a, uint64_t b);
EXPORT void __sanitizer_cov_trace_const_cmp1(uint8_t a, uint8_t b);
EXPORT void __sanitizer_cov_trace_const_cmp2(uint16_t a, uint16_t b);
EXPORT void __sanitizer_cov_trace_const_cmp4(uint32_t a, uint32_t b);
EXPORT void __sanitizer_cov_trace_const_cmp8(uint64_t a, uint64_t b);
EXPORT void __sanitizer_cov_trace_cmpf(float a, float b);
EXPORT void __sanitizer_cov_trace_cmpd(double a, double b);
EXPORT void __sanitizer_cov_trace_switch(uint64_t value, void *table);

static void count(uint32_t place)
{
	uint8_t *n = &seen[place % COVERAGE_SIZE];

	*n = (uint8_t)(*n + (*n < UINT8_MAX));
}

void __sanitizer_cov_trace_pc(void)
{
	uintptr_t pc = (uintptr_t)__builtin_return_address(0);

	there = true;
	count((uint32_t)((pc * UINT64_C(0x9e3779b97f4a7c15)) >> 40));
}

void __sanitizer_cov_trace_pc_guard_init(uint32_t *start, uint32_t *end)
{
	there = true;
	for (uint32_t *guard = start; guard < end; guard++)
		if (!*guard)
			*guard = ++num_guards;
}

void __sanitizer_cov_trace_pc_guard(uint32_t *guard)
{
	count(*guard);
}

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *end)
{
	there = true;
	if (num_sections == MAX_SECTIONS)
		return;
	sections[num_sections].start = start;
	sections[num_sections++].end = end;
}

void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *end)
{
	(void)start, (void)end;
}

static void compared(uint64_t a, uint64_t b)
{
	if (a != b && a > 1)
		values[num_values++ % COVERAGE_VALUES] = a;
}

void __sanitizer_cov_trace_cmp1(uint8_t a, uint8_t b)
{
	(void)a, (void)b;
}

void __sanitizer_cov_trace_cmp2(uint16_t a, uint16_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_cmp4(uint32_t a, uint32_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_cmp8(uint64_t a, uint64_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_const_cmp1(uint8_t a, uint8_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_const_cmp2(uint16_t a, uint16_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_const_cmp4(uint32_t a, uint32_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_const_cmp8(uint64_t a, uint64_t b)
{
	compared(a, b);
}

void __sanitizer_cov_trace_cmpf(float a, float b)
{
	(void)a, (void)b;
}

void __sanitizer_cov_trace_cmpd(double a, double b)
{
	(void)a, (void)b;
}

/* table: how many, the width in bits, then the values. */
void __sanitizer_cov_trace_switch(uint64_t value, void *table)
{
	const uint64_t *cases = table;

	if (cases[0])
		compared(cases[2 + value % cases[0]], value);
}

void coverage_reset(void)
{
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < num_sections; i++)
		memset(sections[i].start, 0, (size_t)(sections[i].end - sections[i].start));
}

/* 1, 2, 3, 4-7, 8-15, 16-31, 32-127, more: one bit each. */
static uint8_t bucket(uint8_t n)
{
	static const uint8_t limits[] = { 1, 2, 3, 7, 15, 31, 127 };
	unsigned i = 0;

	while (i < ARRAY_LEN(limits) && n > limits[i])
		i++;
	return (uint8_t)(n ? 1u << i : 0u);
}

bool coverage_merge(uint8_t *known, bool counts, unsigned *ret_places)
{
	uint32_t place = num_guards + 1;
	bool fresh = false;
	unsigned places = 0;

	for (unsigned i = 0; i < num_sections; i++) {
		for (uint8_t *p = sections[i].start; p < sections[i].end; p++, place++)
			if (*p > seen[place % COVERAGE_SIZE])
				seen[place % COVERAGE_SIZE] = *p;
	}
	for (unsigned i = 0; i < COVERAGE_SIZE; i += sizeof(uint64_t)) {
		uint64_t eight;

		memcpy(&eight, &seen[i], sizeof(eight));
		for (unsigned k = i; eight && k < i + sizeof(eight); k++) {
			uint8_t bit = bucket(seen[k]);

			places += bit != 0 ? 1u : 0u;
			fresh |= counts ? (bit & (unsigned)~known[k]) != 0 : bit && !known[k];
			known[k] = (uint8_t)(known[k] | bit);
		}
	}
	*ret_places = places;
	return fresh;
}

bool coverage_is_there(void)
{
	return there;
}

bool coverage_value(uint64_t dice, uint64_t *ret_value)
{
	unsigned n = MIN(num_values, (unsigned)COVERAGE_VALUES);

	if (n)
		*ret_value = values[dice % n];
	return n;
}
