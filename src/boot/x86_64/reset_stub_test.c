/* SPDX-License-Identifier: Apache-2.0 */
#include "boot/x86_64/reset_stub.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_code(void **state)
{
	static const uint8_t want[RESET_STUB_LEN] = { 0xba, 0x02, 0x06, 0xb0, 0xa5,
						      0xee, 0xfa, 0xf4, 0xeb, 0xfd };
	uint8_t code[RESET_STUB_LEN + 1] = { [RESET_STUB_LEN] = 0x77 };

	(void)state;
	reset_stub_write(0x602, 0xa5, code);
	assert_memory_equal(code, want, sizeof(want));
	assert_int_equal(code[RESET_STUB_LEN], 0x77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
