/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/cpu.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

/* FIPS 180-2's examples: "abc", and a million times "a". */
#define ABC	"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define MILLION "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

struct files {
	struct test_dir dir;
	char million[64];
};

static void files_make(struct files *f)
{
	test_dir_make(&f->dir);
	FILE *file = fopen(f->dir.file, "w");

	assert_non_null(file);
	fputs("abc", file);
	fclose(file);
	snprintf(f->million, sizeof(f->million), "%s/million", f->dir.path);
	file = fopen(f->million, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < 1000000; i++)
		fputc('a', file);
	fclose(file);
}

static void files_remove(const struct files *f)
{
	unlink(f->million);
	test_dir_remove(&f->dir);
}

static void refused(const char *word, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void refused(const char *word, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	test_refused(text, word);
}

static void right_digests_start(void **state)
{
	struct files f;

	(void)state;
	files_make(&f);
	struct vdevtest *t =
		test_start("ram 4m load 0x1000,%s data load 0x200000,%s "
			   "vdev verified-boot digest " ABC ",%s digest " MILLION ",%s",
			   f.dir.file, f.million, f.dir.file, f.million);

	assert_memory_equal(vdevtest_ram(t, 0x1000, 3), "abc", 3);
	vdevtest_end(t);
	files_remove(&f);
}

static void wrong_digests_do_not(void **state)
{
	struct files f;

	(void)state;
	files_make(&f);
	refused("another SHA-256 digest",
		"ram 1m load 0x1000,%s vdev verified-boot digest " MILLION ",%s", f.dir.file,
		f.dir.file);
	refused("another SHA-256 digest",
		"ram 4m load 0x1000,%s data load 0x200000,%s vdev verified-boot digest " ABC
		",%s digest " ABC ",%s",
		f.dir.file, f.million, f.dir.file, f.million);
	files_remove(&f);
}

/* The digest is that of the file; the last byte of it in memory is another one. */
static void memory_that_differs_does_not(void **state)
{
	struct files f;

	(void)state;
	files_make(&f);
	refused("does not hold what is in",
		"ram 4m load 0x100000,%s data load 0x1f423d,%s vdev verified-boot digest " ABC
		",%s digest " MILLION ",%s",
		f.million, f.dir.file, f.dir.file, f.million);
	files_remove(&f);
}

static void every_load_has_a_digest_and_every_digest_a_load(void **state)
{
	struct files f;

	(void)state;
	files_make(&f);
	refused("has no digest",
		"ram 4m load 0x1000,%s data load 0x200000,%s vdev verified-boot digest " ABC ",%s",
		f.dir.file, f.million, f.dir.file);
	refused("is not loaded",
		"ram 4m load 0x1000,%s vdev verified-boot digest " ABC ",%s digest " MILLION ",%s",
		f.dir.file, f.dir.file, f.million);
	files_remove(&f);
}

static void patches(void **state)
{
	struct files f;

	(void)state;
	files_make(&f);
	struct vdevtest *t =
		test_start("ram 1m load 0x1000,%s vdev verified-boot digest " ABC ",%s "
			   "patch 1001,5AfF patch 0x2000,01 patch 4k,7f "
			   "register rsi,1234 register r15,0xffffffffffffffff "
			   "register rip,fff0 register rsi,5678",
			   f.dir.file, f.dir.file);

	assert_memory_equal(vdevtest_ram(t, 0x1000, 3), "\x7f\x5a\xff", 3);
	assert_int_equal(*(uint8_t *)vdevtest_ram(t, 0x2000, 1), 1);
	assert_int_equal(vdevtest_register(t, offsetof(struct qvmx_cpu_registers, rsi)), 0x5678);
	assert_int_equal(vdevtest_register(t, offsetof(struct qvmx_cpu_registers, r15)),
			 UINT64_MAX);
	assert_int_equal(vdevtest_register(t, offsetof(struct qvmx_cpu_registers, rip)), 0xfff0);
	assert_int_equal(vdevtest_register(t, offsetof(struct qvmx_cpu_registers, rax)), 0);
	vdevtest_end(t);
	refused("not in the guest's RAM",
		"ram 1m load 0x1000,%s vdev verified-boot digest " ABC ",%s patch fffff,0102",
		f.dir.file, f.dir.file);
	files_remove(&f);
}

static void refusals(void **state)
{
	static const char *const patches[] = { "1000",	  "1000,", ",00",	"1000,0",
					       "1000,0g", "x,00",  "1000,00,00" };
	static const char *const registers[] = { "rsi",	  "rsi,",  "rs,1", "rsix,1",
						 "cr3,1", "rsi,x", ",1" };

	(void)state;
	test_refused("ram 1m vdev verified-boot", "digest");
	test_refused("ram 1m vdev verified-boot digest abc,/f", "64 hexadecimal digits");
	test_refused("ram 1m vdev verified-boot digest " ABC, "64 hexadecimal digits");
	test_refused("ram 1m vdev verified-boot digest " ABC ",", "64 hexadecimal digits");
	test_refused("ram 1m vdev verified-boot digest g" ABC ",/f", "64 hexadecimal digits");
	test_refused("ram 1m vdev verified-boot digest " ABC ",/f digest " MILLION ",/f",
		     "there is a digest of '/f' already");
	for (unsigned i = 0; i < sizeof(patches) / sizeof(patches[0]); i++)
		refused("is not ADDRESS,BYTES",
			"ram 1m vdev verified-boot digest " ABC ",/f patch \"%s\"", patches[i]);
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		refused("is not NAME,VALUE",
			"ram 1m vdev verified-boot digest " ABC ",/f register \"%s\"",
			registers[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_digests_start),
		cmocka_unit_test(wrong_digests_do_not),
		cmocka_unit_test(memory_that_differs_does_not),
		cmocka_unit_test(every_load_has_a_digest_and_every_digest_a_load),
		cmocka_unit_test(patches),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("verified-boot", tests, NULL, NULL);
}
