/* SPDX-License-Identifier: Apache-2.0 */
/* What the golden files do not show: numbers, limits, places, and messages of later stages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf_fake.h"
#include "conf/conf_private.h"

static struct conf *parse_text(const char *text)
{
	struct conf *c = conf_new(&conf_fake_env);

	assert_non_null(c);
	assert_int_equal(conf_read_text(c, "t.qvmconf", text, strlen(text)), 0);
	assert_int_equal(conf_parse(c), 0);
	return c;
}

static void assert_rendered(const struct conf *c, const char *expected)
{
	struct strbuf out = { 0 };

	conf_render(c, &out);
	assert_string_equal(strbuf_text(&out), expected);
	strbuf_free(&out);
}

static void test_option_value(void **state)
{
	static const struct {
		enum qvmx_option_type type;
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{ QVMX_OPT_NUMBER, "10", 0, 10 },
		{ QVMX_OPT_NUMBER, "0x10", 0, 16 },
		{ QVMX_OPT_NUMBER, "0d10", 0, 10 },
		{ QVMX_OPT_NUMBER, "18446744073709551615", 0, UINT64_MAX },
		{ QVMX_OPT_NUMBER, "18446744073709551616", -ERANGE, 0 },
		{ QVMX_OPT_NUMBER, "", -EINVAL, 0 },
		{ QVMX_OPT_NUMBER, " 1", -EINVAL, 0 },
		{ QVMX_OPT_NUMBER, "1K", -EINVAL, 0 },
		{ QVMX_OPT_SIZE, "4k", 0, 4096 },
		{ QVMX_OPT_SIZE, "0x10M", 0, 16u << 20 },
		{ QVMX_OPT_SIZE, "17179869184G", -ERANGE, 0 },
		{ QVMX_OPT_SIZE, "K", -EINVAL, 0 },
		{ QVMX_OPT_ADDRESS, "10", 0, 16 },
		{ QVMX_OPT_ADDRESS, "0d10", 0, 10 },
		{ QVMX_OPT_ADDRESS, "10k", 0, 10240 },
		{ QVMX_OPT_ADDRESS, "0x10k", 0, 16384 },
		{ QVMX_OPT_BOOL, "yes", 0, 1 },
		{ QVMX_OPT_BOOL, "Disable", 0, 0 },
		{ QVMX_OPT_BOOL, "si", -EINVAL, 0 },
		{ QVMX_OPT_CHOICE, "two", 0, 1 },
		{ QVMX_OPT_CHOICE, "tw", -EINVAL, 0 },
		{ QVMX_OPT_CHOICE, "", -EINVAL, 0 },
		{ QVMX_OPT_SECONDS, "forever", 0, UINT64_MAX },
		{ QVMX_OPT_SECONDS, "7", 0, 7 },
		{ QVMX_OPT_MAC, "02:00:00:00:00:01", 0, 0 },
		{ QVMX_OPT_MAC, "02:00:00:00:00:1", -EINVAL, 0 },
		{ QVMX_OPT_PATH, "<", -EINVAL, 0 },
		{ QVMX_OPT_STRING, "", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct qvmx_option opt = { "opt", cases[i].type, .choices = "one|two|three" };
		uint64_t value = 99;

		assert_int_equal(conf_option_value(&opt, cases[i].text, &value), cases[i].result);
		assert_true(value == (cases[i].result ? 99 : cases[i].value));
	}
}

static void test_option_bounds(void **state)
{
	struct qvmx_option opt = { "opt", QVMX_OPT_NUMBER, .min = 5, .max = 7 };
	uint64_t value;

	(void)state;
	assert_int_equal(conf_option_value(&opt, "4", &value), -ERANGE);
	assert_int_equal(conf_option_value(&opt, "5", &value), 0);
	assert_int_equal(conf_option_value(&opt, "7", &value), 0);
	assert_int_equal(conf_option_value(&opt, "8", &value), -ERANGE);
	opt.max = 0;
	assert_int_equal(conf_option_value(&opt, "800", &value), 0);
}

static void test_defaults(void **state)
{
	struct conf *c = parse_text("");

	(void)state;
	assert_null(c->system.text);
	assert_int_equal(c->unsupported[CONF_UNSUP_INSTRUCTION], CONF_ACTION_FAIL);
	assert_int_equal(c->unsupported[CONF_UNSUP_REFERENCE], CONF_ACTION_IGNORE);
	assert_int_equal(c->unsupported[CONF_UNSUP_REGISTER], CONF_ACTION_FAIL);
	assert_int_equal(c->num_errors, 0);
	assert_rendered(c, "");
	conf_free(c);
}

static void test_places(void **state)
{
	struct conf *c = parse_text("system demo\n\tram 1m\nvdev ioapic name a\nvdev virtio-blk\n  "
				    "hostdev \"/a b\" intr a:3\n");
	const struct conf_vdev *v = &c->vdevs[1];

	(void)state;
	assert_int_equal(c->num_errors, 0);
	assert_int_equal(c->memories[0].pos.line, 2);
	assert_int_equal(c->memories[0].pos.col, 2);
	assert_int_equal(c->memories[0].pos.length, 3);
	assert_int_equal(v->num_options, 2);
	assert_int_equal(v->options[0].common, CONF_COMMON_NONE);
	assert_string_equal(v->options[0].opt->name, "hostdev");
	assert_string_equal(v->options[0].text, "/a b");
	assert_int_equal(v->options[0].text_pos.line, 5);
	assert_int_equal(v->options[0].text_pos.col, 11);
	assert_int_equal(v->options[0].text_pos.length, 6);
	assert_int_equal(v->options[1].common, CONF_COMMON_INTR);
	assert_int_equal(v->intrs[0].pic_vdev, 0);
	assert_int_equal(v->intrs[0].line, 3);
	conf_free(c);
}

static void test_words_number(void **state)
{
	struct conf *c = conf_new(&conf_fake_env);
	char *first[] = { "ram", "1m" }, *second[] = { "cpu", "ram", "x" };

	(void)state;
	assert_int_equal(conf_read_words(c, 1, first, 2), 0);
	assert_int_equal(conf_read_words(c, 5, second, 3), 0);
	assert_int_equal(conf_parse(c), 0);
	assert_int_equal(c->num_errors, 1);
	assert_int_equal(c->diags[0].pos.line, 7);
	assert_string_equal(conf_source_name(c, &c->diags[0].pos), "command line");
	conf_free(c);
}

/* One is there before the first word; a line of it says more about it and makes no second one. */
static void test_implicit_vdev(void **state)
{
	struct conf_env env = conf_fake_env;
	const char text[] = "safety vdev sober intr gic:33\nvdev gic name other set debug off\n"
			    "vdev sober name b intr other:34\n";
	struct strbuf out = { 0 };

	(void)state;
	env.implicit_vdev = "gic";
	struct conf *c = conf_new(&env);

	assert_non_null(c);
	assert_int_equal(conf_read_text(c, "x.qvmconf", text, sizeof(text) - 1), 0);
	assert_int_equal(conf_parse(c), 0);
	/* Its name is the one that counts at the end, for users before the line too. */
	assert_int_equal(c->num_errors, 1);
	assert_int_equal(c->diags[0].pos.line, 1);
	assert_int_equal(c->num_vdevs, 3);
	assert_string_equal(c->vdevs[0].name.text, "other");
	assert_int_equal(c->vdevs[0].pos.line, 2);
	assert_int_equal(c->sets[0].vdev, 0);
	assert_int_equal(c->vdevs[2].intrs[0].pic_vdev, 0);
	conf_free(c);

	c = conf_new(&env);
	assert_int_equal(conf_read_text(c, "x.qvmconf", "vdev sober intr gic:33\n", 23), 0);
	assert_int_equal(conf_parse(c), 0);
	assert_int_equal(c->num_errors, 0);
	conf_dump(c, &out);
	assert_string_equal(strbuf_text(&out), "vdev sober\n\tintr gic:33\n");
	strbuf_free(&out);
	conf_free(c);
}

static void test_later_stage(void **state)
{
	struct conf *c = parse_text("vdev virtio-blk loc 0x1000\nvdev virtio-net loc 0x1000\n");

	(void)state;
	conf_error(c, NULL, "no place at all");
	conf_error(c, &c->vdevs[1].loc.pos, "vdev %s lies over vdev %s", "virtio-net",
		   "virtio-blk");
	conf_expected(c, "a place of its own");
	conf_note(c, &c->vdevs[0].loc.pos, "the first owner");
	conf_warning(c, &c->vdevs[0].pos, "strange \x1b[31m thing\nof two lines");
	assert_int_equal(c->num_errors, 2);
	assert_rendered(c, "t.qvmconf:1:1: warning: strange \\x1b[31m thing\\x0aof two lines\n"
			   "vdev virtio-blk loc 0x1000\n"
			   "^~~~\n"
			   "t.qvmconf:2:21: error: vdev virtio-net lies over vdev virtio-blk\n"
			   "vdev virtio-net loc 0x1000\n"
			   "                    ^~~~~~\n"
			   "expected: a place of its own\n"
			   "t.qvmconf:1:21: note: the first owner\n"
			   "vdev virtio-blk loc 0x1000\n"
			   "                    ^~~~~~\n"
			   "error: no place at all\n");
	conf_free(c);
}

static void test_note_of_lost_error(void **state)
{
	struct conf *c = conf_new(NULL);

	(void)state;
	for (unsigned i = 0; i < CONF_MAX_ERRORS + 3; i++) {
		conf_error(c, NULL, "error %u", i);
		conf_note(c, NULL, "note %u", i);
	}
	assert_int_equal(c->num_errors, CONF_MAX_ERRORS + 3);
	assert_int_equal(c->num_diags, 2 * CONF_MAX_ERRORS);
	assert_string_equal(c->diags[c->num_diags - 1].text, "note 99");
	conf_free(c);
}

/* Warnings have an end, and take no error's place. */
static void test_error_behind_warnings(void **state)
{
	struct conf *c = conf_new(NULL);

	(void)state;
	for (unsigned i = 0; i < 5 * CONF_MAX_ERRORS; i++) {
		conf_warning(c, NULL, "warning %u", i);
		conf_note(c, NULL, "note %u", i);
	}
	assert_int_equal(c->num_diags, 4 * CONF_MAX_ERRORS);
	conf_error(c, NULL, "the error");
	conf_note(c, NULL, "its note");
	conf_warning(c, NULL, "one more");
	assert_int_equal(c->num_diags, 4 * CONF_MAX_ERRORS + 2);
	assert_string_equal(c->diags[c->num_diags - 2].text, "the error");
	assert_string_equal(c->diags[c->num_diags - 1].text, "its note");
	conf_free(c);
}

static void test_no_vdevs(void **state)
{
	static const char text[] = "vdev virtio-blk hostdev /a\nram 1m\n";
	struct conf *c = conf_new(NULL);

	(void)state;
	assert_int_equal(conf_read_text(c, "t", text, strlen(text)), 0);
	assert_int_equal(conf_parse(c), 0);
	assert_int_equal(c->num_errors, 1);
	assert_rendered(c, "t:1:6: error: no vdev called 'virtio-blk'\nvdev virtio-blk hostdev "
			   "/a\n     ^~~~~~~~~~\n");
	conf_free(c);
}

static void test_real_environment(void **state)
{
	static const char text[] = "cmdline $env{CONF_TEST_VARIABLE}\n";
	struct conf *c = conf_new(NULL);

	(void)state;
	setenv("CONF_TEST_VARIABLE", "from outside", 1);
	assert_int_equal(conf_read_text(c, "t", text, strlen(text)), 0);
	assert_int_equal(conf_parse(c), 0);
	assert_string_equal(c->cmdline.text, "from outside");
	conf_free(c);
}

/* The first message for a text of `count` times `piece` must hold `expected`. */
static void assert_limit(const char *piece, size_t count, const char *expected)
{
	struct conf *c = conf_new(&conf_fake_env);
	struct strbuf text = { 0 };

	while (count--)
		strbuf_add_text(&text, piece);
	assert_false(text.failed);
	assert_int_equal(conf_read_text(c, "t", text.data, text.len), 0);
	assert_int_equal(conf_parse(c), 0);
	assert_true(c->num_errors > 0);
	if (!strstr(c->diags[0].text, expected))
		fail_msg("'%s' instead of '%s'", c->diags[0].text, expected);
	strbuf_free(&text);
	conf_free(c);
}

static void test_limits(void **state)
{
	(void)state;
	assert_limit("# a line\n", CONF_MAX_FILE / 9 + 1,
		     "larger than a configuration file may be");
	assert_limit("cmdline x\n", CONF_MAX_WORDS / 2 + 1, "too many words");
	assert_limit("abcdefgh", CONF_MAX_WORD / 8 + 1, "longer than the limit");
	assert_limit("cpu\n", CONF_MAX_CPUS + 1, "too many vCPUs");
	assert_limit("vdev virtio-blk\n", CONF_MAX_VDEVS + 1, "too many vdevs");
	assert_limit("logger error stderr\n", LOG_MAX_SINKS + 1, "too many loggers");
}

static void test_variables(void **state)
{
	const struct conf_variable *v;
	unsigned count = 0;
	uint64_t value;

	(void)state;
	for (; (v = conf_variable(count)); count++) {
		assert_non_null(v->context);
		/* No file is the initial place of anything. */
		if (v->option.type != QVMX_OPT_PATH)
			assert_int_equal(conf_option_value(&v->option, v->initial, &value), 0);
	}
	assert_true(count >= 10);
}

static void test_loggers(void **state)
{
	struct conf *c = parse_text(
		"logger error,debug stdout logger fatal none\nvdev virtio-blk log info slog\n");

	(void)state;
	assert_int_equal(c->num_loggers, 2);
	assert_int_equal(c->loggers[0].mask, LOG_SEV_ERROR | LOG_SEV_DEBUG);
	assert_int_equal(c->loggers[0].dest, LOG_TO_STDOUT);
	assert_int_equal(c->loggers[1].mask, LOG_SEV_FATAL);
	assert_int_equal(c->loggers[1].dest, LOG_TO_NONE);
	assert_true(c->vdevs[0].log.given);
	assert_int_equal(c->vdevs[0].log.mask, LOG_SEV_INFO);
	assert_string_equal(c->vdevs[0].options[0].text, "info slog");
	conf_free(c);
}

/* The nearest of what is near enough, whichever comes first. */
static void test_nearest(void **state)
{
	struct conf_near near;

	(void)state;
	conf_near_start(&near, "block-a");
	conf_near_offer(&near, "block-b");
	conf_near_offer(&near, "blocc-b");
	assert_string_equal(near.best, "block-b");
	conf_near_start(&near, "block-a");
	conf_near_offer(&near, "blocc-b");
	assert_string_equal(near.best, "blocc-b");
	conf_near_offer(&near, "block-b");
	assert_string_equal(near.best, "block-b");
}

static void test_set_query(void **state)
{
	struct conf *c = parse_text("set ?\n");

	(void)state;
	assert_int_equal(c->set_query.source, 1);
	assert_int_equal(c->num_sets, 0);
	conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_option_value), cmocka_unit_test(test_option_bounds),
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_places),
		cmocka_unit_test(test_words_number), cmocka_unit_test(test_implicit_vdev),
		cmocka_unit_test(test_later_stage),  cmocka_unit_test(test_note_of_lost_error),
		cmocka_unit_test(test_no_vdevs),     cmocka_unit_test(test_real_environment),
		cmocka_unit_test(test_limits),	     cmocka_unit_test(test_variables),
		cmocka_unit_test(test_loggers),	     cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_set_query),    cmocka_unit_test(test_error_behind_warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
