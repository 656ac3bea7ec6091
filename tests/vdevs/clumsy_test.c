/* SPDX-License-Identifier: Apache-2.0 */
/* What an author's mistakes lead to: a sentence. */
#include <qvm/x/test.h>
#include "../../vdevs/common/test_util.h"

static void mistakes(void **state)
{
	static const struct {
		const char *mistake, *words;
	} cases[] = {
		{ "device", "vio_init: it is a VirtIO device already" },
		{ "queue", "VirtIO queue: Invalid argument" },
		{ "far", "VirtIO queue: Invalid argument" },
		{ "bars", "it is a PCI function already" },
		{ "controller", "was answered 0 and none" },
		{ "instruction", "was answered 22" },
		{ "function", "was answered -1 and 0" }, /* that is VirtIO's, not its own */
	};
	char text[64];

	(void)state;
	vdevtest_end(test_start("ram 1m vdev clumsy"));
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "ram 1m vdev clumsy mistake %s", cases[i].mistake);
		test_refused(text, cases[i].words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(mistakes) };

	return cmocka_run_group_tests_name("clumsy", tests, NULL, NULL);
}
