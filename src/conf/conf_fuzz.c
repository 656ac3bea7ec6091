/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fuzz target: any bytes as a configuration file. It must come back, every message must be
 * clean text, and what was understood must be understood the same when it is written out and read
 * again.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/conf_fake.h"
#include "base/fuzz.h"

static void fuzz_check_clean(const struct strbuf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		unsigned char ch = (unsigned char)text->data[i];

		fuzz_require((ch >= 0x20 || ch == '\n') && ch != 0x7f);
	}
}

static void fuzz_check_again(const struct conf *c)
{
	struct conf *again = conf_new(&conf_fake_env);
	struct strbuf one = { 0 }, two = { 0 };

	fuzz_require(again != NULL);
	conf_dump(c, &one);
	fuzz_require(
		!conf_read_text(again, "again", strbuf_text(&one), MIN(one.len, CONF_MAX_FILE)));
	fuzz_require(!conf_parse(again));
	if (one.len <= CONF_MAX_FILE) {
		fuzz_require(!again->num_errors);
		conf_dump(again, &two);
		fuzz_require(!strcmp(strbuf_text(&one), strbuf_text(&two)));
	}
	strbuf_free(&one);
	strbuf_free(&two);
	conf_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c = conf_new(&conf_fake_env);
	struct strbuf out = { 0 };

	fuzz_require(c != NULL);
	fuzz_require(!conf_read_text(c, "fuzz", (const char *)data, size));
	fuzz_require(!conf_parse(c));
	conf_render(c, &out);
	fuzz_require(!out.failed);
	fuzz_check_clean(&out);
	if (!c->num_errors)
		fuzz_check_again(c);
	strbuf_free(&out);
	conf_free(c);
	return 0;
}
