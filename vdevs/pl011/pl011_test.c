/* SPDX-License-Identifier: Apache-2.0 */
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define BASE 0x1c090000
#define PIC  "ram 1m vdev ioapic name gic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define LINE 4
#define FIFO 16

enum { DR = 0, RSR = 4, FR = 0x18, LCR_H = 0x2c, CR = 0x30, IFLS = 0x34, IMSC = 0x38, RIS = 0x3c };
enum { MIS = 0x40, ICR = 0x44, ID = 0xfe0 };
enum { RXFE = 0x10, TXFF = 0x20, RXFF = 0x40, INT_RX = 0x10, INT_TX = 0x20, INT_RT = 0x40 };
enum { INT_OE = 0x400, FEN = 0x10, LBE = 0x80 };

static uint32_t in(struct vdevtest *t, unsigned reg)
{
	return (uint32_t)vdevtest_read(t, VDEVTEST_MEM, BASE + reg, 4);
}

static void out(struct vdevtest *t, unsigned reg, uint32_t value)
{
	vdevtest_write(t, VDEVTEST_MEM, BASE + reg, 4, value);
}

/* The files, and the configuration with them. */
static const char *with_pipes(struct test_dir *dir, int *in_fd, int *out_fd)
{
	static char text[512];

	test_dir_make(dir);
	*in_fd = open(dir->in, O_RDWR | O_NONBLOCK);
	*out_fd = open(dir->out, O_RDWR | O_NONBLOCK);
	assert_true(*in_fd >= 0 && *out_fd >= 0);
	snprintf(text, sizeof(text), PIC "vdev pl011 intr gic:4 hostdev <%s hostdev >%s", dir->in,
		 dir->out);
	return text;
}

static struct vdevtest *start(struct test_dir *dir, int *in_fd, int *out_fd)
{
	return test_start("%s", with_pipes(dir, in_fd, out_fd));
}

static struct vdevtest *start_stepped(struct test_dir *dir, int *in_fd, int *out_fd)
{
	return test_start_stepped(with_pipes(dir, in_fd, out_fd));
}

static void end(struct vdevtest *t, const struct test_dir *dir, int in_fd, int out_fd)
{
	vdevtest_end(t);
	close(in_fd);
	close(out_fd);
	test_dir_remove(dir);
}

/* The bus driver of an operating system reads these to know what it is. */
static void it_is_a_primecell(void **state)
{
	static const uint8_t id[] = { 0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1 };
	struct vdevtest *t = test_start(PIC "vdev pl011 intr gic:4 hostdev >-");

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(in(t, ID + 4 * i), id[i]);
	assert_int_equal(in(t, CR), 0x300);
	assert_int_equal(in(t, FR) & (RXFE | TXFF), RXFE);
	out(t, IMSC, 0xffff);
	assert_int_equal(in(t, IMSC), 0x7ff);
	assert_int_equal(vdevtest_read(t, VDEVTEST_MEM, BASE + LCR_H + 1, 1), 0);
	vdevtest_end(t);
}

static void characters_go_out(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start(&dir, &in_fd, &out_fd);
	uint8_t buf[3];
	unsigned edges;

	(void)state;
	out(t, IMSC, INT_TX);
	assert_false(vdevtest_line(t, LINE, &edges));
	out(t, DR, 'a');
	vdevtest_write(t, VDEVTEST_MEM, BASE + DR, 1, 'b'); /* as early consoles do */
	vdevtest_write(t, VDEVTEST_MEM, BASE + DR, 2, 'c');
	assert_true(vdevtest_line(t, LINE, &edges));
	assert_int_equal(in(t, MIS), INT_TX);
	out(t, ICR, INT_TX);
	assert_false(vdevtest_line(t, LINE, &edges));
	test_read_all(out_fd, buf, sizeof(buf));
	assert_memory_equal(buf, "abc", 3);
	end(t, &dir, in_fd, out_fd);
}

/* A guest that heeds TXFF loses nothing; one that does not hurts nobody. */
static void a_slow_reader_fills_the_transmitter(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_stepped(&dir, &in_fd, &out_fd);
	size_t sent = 0, got = 0;
	unsigned full_ms = 0;

	(void)state;
	while (full_ms < 50) {
		if (!(in(t, FR) & TXFF)) {
			out(t, DR, (uint8_t)sent++);
			full_ms = 0;
			assert_true(sent < 1024 * 1024);
		} else {
			test_pass_ms(t, 1);
			full_ms++;
		}
	}
	for (unsigned i = 0; i < 100; i++)
		out(t, DR, 'x');
	out(t, ICR, INT_TX);
	assert_int_equal(in(t, RIS) & INT_TX, 0);
	for (; got < sent; got++)
		assert_int_equal(test_read_stepped(t, out_fd), (uint8_t)got);
	test_pass_ms(t, 10);
	assert_true(in(t, RIS) & INT_TX);
	assert_false(in(t, FR) & TXFF);
	end(t, &dir, in_fd, out_fd);
}

static void characters_come_in(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start(&dir, &in_fd, &out_fd);
	unsigned edges;

	(void)state;
	out(t, LCR_H, FEN);
	out(t, IMSC, INT_RX | INT_RT);
	assert_int_equal(write(in_fd, "0123456789abcdefXYZ", 19), 19);
	wait_until(in(t, FR) & RXFF);
	assert_true(vdevtest_line(t, LINE, &edges));
	assert_int_equal(in(t, MIS), INT_RX | INT_RT);
	for (unsigned i = 0; i < FIFO; i++)
		assert_int_equal(in(t, DR), "0123456789abcdef"[i]);
	/* What waited follows, and nothing was lost. */
	for (unsigned i = 0; i < 3; i++) {
		wait_until(!(in(t, FR) & RXFE));
		assert_int_equal(in(t, DR), "XYZ"[i]);
	}
	assert_int_equal(in(t, RIS) & (INT_RX | INT_RT | INT_OE), 0);
	assert_false(vdevtest_line(t, LINE, &edges));
	end(t, &dir, in_fd, out_fd);
}

static void the_loopback_overruns(void **state)
{
	struct vdevtest *t = test_start(PIC "vdev pl011 intr gic:4 hostdev >-");

	(void)state;
	out(t, LCR_H, FEN);
	out(t, CR, LBE);
	out(t, IFLS, 4 << 3); /* seven eighths */
	for (unsigned i = 0; i < 13; i++)
		out(t, DR, i);
	assert_int_equal(in(t, RIS) & (INT_RX | INT_RT), INT_RT);
	for (unsigned i = 13; i < 18; i++)
		out(t, DR, i);
	assert_int_equal(in(t, RIS) & (INT_RX | INT_OE), INT_RX | INT_OE);
	assert_int_equal(in(t, RSR), 8);
	out(t, RSR, 0);
	assert_int_equal(in(t, RSR), 0);
	/* With each character until there is room for a new one. */
	assert_int_equal(in(t, DR), 0x800);
	assert_int_equal(in(t, DR), 0x801);
	out(t, DR, 16);
	for (unsigned i = 2; i < FIFO + 1; i++)
		assert_int_equal(in(t, DR), i);
	assert_true(in(t, FR) & RXFE);
	out(t, LCR_H, 0); /* one character deep */
	out(t, DR, 'a');
	assert_true(in(t, FR) & RXFF);
	out(t, DR, 'b');
	assert_int_equal(in(t, DR), 'a' | 0x800);
	out(t, DR, 'c');
	assert_int_equal(in(t, DR), 'c');
	assert_int_equal(in(t, RSR), 8);
	vdevtest_end(t);
}

static void it_needs_an_interrupt(void **state)
{
	(void)state;
	assert_null(vdevtest_start("ram 1m vdev pl011 loc 0x1c090000"));
	assert_non_null(strstr(vdevtest_errors(), "vdev pl011 needs an interrupt"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_a_primecell),
		cmocka_unit_test(characters_go_out),
		cmocka_unit_test(a_slow_reader_fills_the_transmitter),
		cmocka_unit_test(characters_come_in),
		cmocka_unit_test(the_loopback_overruns),
		cmocka_unit_test(it_needs_an_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
