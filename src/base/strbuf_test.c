/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/strbuf.h"

static void test_empty(void **state)
{
	struct strbuf b = { 0 };

	(void)state;
	assert_string_equal(strbuf_text(&b), "");
	strbuf_add(&b, "", 0);
	assert_string_equal(strbuf_text(&b), "");
	strbuf_free(&b);
}

static void test_pieces(void **state)
{
	struct strbuf b = { 0 };

	(void)state;
	strbuf_add_text(&b, "one ");
	strbuf_add_char(&b, '2');
	strbuf_fill(&b, '-', 3);
	strbuf_printf(&b, "%d %s", 4, "five");
	strbuf_add(&b, "\0x", 2);
	assert_int_equal(b.len, 16);
	assert_memory_equal(b.data, "one 2---4 five\0x", 17);
	strbuf_reset(&b);
	assert_string_equal(strbuf_text(&b), "");
	strbuf_free(&b);
	assert_null(b.data);
}

static void test_growth(void **state)
{
	struct strbuf b = { 0 };

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		strbuf_printf(&b, "%u,", i);
	assert_false(b.failed);
	assert_int_equal(b.len, 48890);
	assert_int_equal(strlen(b.data), b.len);
	assert_true(strstr(b.data, ",5000,5001,") != NULL);
	strbuf_free(&b);
}

static void test_failure_sticks(void **state)
{
	struct strbuf b = { 0 };

	(void)state;
	strbuf_add_text(&b, "kept");
	strbuf_fill(&b, 'x', SIZE_MAX / 2);
	assert_true(b.failed);
	strbuf_add_text(&b, "lost");
	assert_string_equal(strbuf_text(&b), "kept");
	strbuf_reset(&b);
	strbuf_add_text(&b, "again");
	assert_string_equal(strbuf_text(&b), "again");
	strbuf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_failure_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
