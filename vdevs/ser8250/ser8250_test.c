/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <qvm/guest.h>
#include <qvm/x/test.h>
#include "../common/test_util.h"

#define PORT	     0x3f8
#define PICS	     "ram 1m vdev ioapic name pic vdev 8259 loc 0x20 vdev 8259 loc 0xa0 "
#define MANY	     (256 * 1024)
#define LINE	     4
#define THRE	     0x60
#define THREAD_COUNT 4

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };

static uint8_t in(struct vdevtest *t, unsigned reg)
{
	return (uint8_t)vdevtest_read(t, VDEVTEST_IO, PORT + reg, 1);
}

static void out(struct vdevtest *t, unsigned reg, unsigned value)
{
	vdevtest_write(t, VDEVTEST_IO, PORT + reg, 1, value);
}

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 3);
}

/* In virtual time. */
static struct vdevtest *start_stepped(const char *options, const char *path)
{
	char text[256];

	snprintf(text, sizeof(text), "ram 1m vdev ser8250 %s%s", options, path);
	return test_start_stepped(text);
}

static const char *with_pipes(struct test_dir *dir, int *in_fd, int *out_fd)
{
	static char text[512];

	test_dir_make(dir);
	*in_fd = open(dir->in, O_RDWR | O_NONBLOCK);
	*out_fd = open(dir->out, O_RDWR | O_NONBLOCK);
	assert_true(*in_fd >= 0 && *out_fd >= 0);
	snprintf(text, sizeof(text), PICS "vdev ser8250 intr pic:4 hostdev <%s hostdev >%s",
		 dir->in, dir->out);
	return text;
}

static struct vdevtest *start_with_pipes(struct test_dir *dir, int *in_fd, int *out_fd)
{
	return test_start("%s", with_pipes(dir, in_fd, out_fd));
}

static void end(struct vdevtest *t, const struct test_dir *dir, int in_fd, int out_fd)
{
	vdevtest_end(t);
	close(in_fd);
	close(out_fd);
	test_dir_remove(dir);
}

static void output_reaches_a_file(void **state)
{
	static uint8_t buf[MANY];
	struct test_dir dir;
	struct vdevtest *t;
	int fd;

	(void)state;
	test_dir_make(&dir);
	t = test_start("ram 1m vdev ser8250 hostdev >%s", dir.file);
	for (size_t i = 0; i < MANY; i++) {
		if (i % 16 == 0)
			wait_until((in(t, LSR) & THRE) == THRE);
		out(t, DATA, pattern(i));
	}
	vdevtest_end(t);
	fd = open(dir.file, O_RDONLY);
	assert_int_equal(read(fd, buf, sizeof(buf)), MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(buf[i], pattern(i));
	close(fd);
	test_dir_remove(&dir);
}

static void a_character_is_not_kept_back(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);
	uint8_t c;

	(void)state;
	out(t, DATA, 'x');
	test_read_all(out_fd, &c, 1);
	assert_int_equal(c, 'x');
	end(t, &dir, in_fd, out_fd);
}

static void slow_reader_stops_the_transmitter(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = test_start_stepped(with_pipes(&dir, &in_fd, &out_fd));
	size_t sent = 0, read_back = 0;
	unsigned edges, before, full_ms = 0;

	(void)state;
	/* Nobody reads: pipe and buffer fill up, and that is all that is taken. */
	while (full_ms < 50) {
		if (in(t, LSR) & THRE) {
			out(t, DATA, pattern(sent++));
			full_ms = 0;
			assert_true(sent < 1024 * 1024);
		} else {
			test_pass_ms(t, 1);
			full_ms++;
		}
	}
	out(t, IER, 2);
	assert_int_equal(in(t, IIR), 1);
	vdevtest_line(t, LINE, &before);
	for (; read_back < sent; read_back++)
		assert_int_equal(test_read_stepped(t, out_fd), pattern(read_back));
	test_pass_ms(t, 10);
	assert_int_equal(in(t, LSR) & THRE, THRE);
	vdevtest_line(t, LINE, &edges);
	assert_true(edges > before);
	assert_int_equal(in(t, IIR), 2);
	end(t, &dir, in_fd, out_fd);
}

/* A guest that does not look at LSR, and a reader that never comes: the end waits for it, not for
 * ever. */
static void output_without_room_is_bounded(void **state)
{
	struct test_dir dir;
	int fd, n = 0;

	(void)state;
	test_dir_make(&dir);
	fd = open(dir.out, O_RDWR | O_NONBLOCK);
	struct vdevtest *t = start_stepped("hostdev >", dir.out);

	for (size_t i = 0; i < MANY; i++) {
		out(t, DATA, 'x');
		if (i % 1024 == 0)
			assert_true(vdevtest_clock_set(t, i * UINT64_C(10000)));
	}
	vdevtest_end(t);
	assert_true(ioctl(fd, FIONREAD, &n) == 0 && n >= 4096 && n < MANY);
	close(fd);
	test_dir_remove(&dir);
}

static void steady_output_flows(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);
	int64_t since = test_now_ms();
	size_t sent = 0, back = 0;
	uint8_t buf[4096];
	ssize_t n = 0;

	(void)state;
	while (test_now_ms() - since < 300) {
		if (in(t, LSR) & THRE)
			out(t, DATA, pattern(sent++));
		if (sent % 64 == 0 && (n = read(out_fd, buf, sizeof(buf))) > 0)
			back += (size_t)n;
	}
	while (back < sent) { /* the last ones come without a push from behind */
		wait_until((n = read(out_fd, buf, sizeof(buf))) > 0);
		back += (size_t)n;
	}
	end(t, &dir, in_fd, out_fd);
}

static void batch_waits_for_quiet(void **state)
{
	struct test_dir dir;
	struct vdevtest *t;
	uint8_t buf[64];
	int fd;

	(void)state;
	test_dir_make(&dir);
	fd = open(dir.out, O_RDWR | O_NONBLOCK);
	t = start_stepped("batch 1000000 hostdev >", dir.out);
	for (unsigned i = 0; i < 6; i++) { /* over a second without a quiet one */
		out(t, DATA, 'a' + i);
		assert_true(vdevtest_clock_set(t, (i + 1) * UINT64_C(250000000)));
		assert_int_equal(read(fd, buf, sizeof(buf)), -1);
	}
	assert_true(vdevtest_clock_set(t, UINT64_C(3250000001)));
	test_read_all(fd, buf, 6);
	assert_memory_equal(buf, "abcdef", 6);
	out(t, DATA, 'g');
	vdevtest_end(t); /* what is kept back is written at the end */
	test_read_all(fd, buf, 1);
	assert_int_equal(buf[0], 'g');
	close(fd);
	test_dir_remove(&dir);
}

static void transmitter_interrupt(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);
	unsigned edges, before;

	(void)state;
	assert_int_equal(in(t, IIR), 1);
	assert_false(vdevtest_line(t, LINE, NULL));
	out(t, IER, 2); /* enabling tells of the empty transmitter */
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(in(t, IIR), 2);
	assert_false(vdevtest_line(t, LINE, NULL));
	assert_int_equal(in(t, IIR), 1);
	vdevtest_line(t, LINE, &before);
	out(t, DATA, 'a'); /* and so does each character that has left */
	assert_true(vdevtest_line(t, LINE, &edges));
	assert_int_equal(edges, before + 1);
	assert_int_equal(in(t, IIR), 2);
	out(t, IER, 0);
	out(t, IER, 2);
	assert_int_equal(in(t, IIR), 2);
	end(t, &dir, in_fd, out_fd);
}

static void what_drivers_probe(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);

	(void)state;
	out(t, IER, 0xff);
	assert_int_equal(in(t, IER), 0x0f);
	out(t, IER, 0);
	out(t, SCR, 0xa5);
	assert_int_equal(in(t, SCR), 0xa5);
	out(t, LCR, 0x83);
	out(t, DATA, 0x34);
	out(t, IER, 0x12);
	assert_int_equal(in(t, DATA), 0x34);
	assert_int_equal(in(t, IER), 0x12);
	out(t, LCR, 0x03);
	assert_int_equal(in(t, IER), 0);
	assert_int_equal(in(t, IIR) & 0xc0, 0);
	out(t, FCR, 1); /* a 16550A with a FIFO that works */
	assert_int_equal(in(t, IIR) & 0xc0, 0xc0);
	assert_int_equal(in(t, MSR) & 0xf0, 0xb0);
	out(t, MCR, 0x1a); /* loopback: RTS to CTS, OUT2 to DCD */
	assert_int_equal(in(t, MSR) & 0xf0, 0x90);
	assert_int_equal(in(t, MSR) & 0x0f, 0);
	out(t, IER, 8);
	out(t, MCR, 0x1b); /* DTR to DSR: a modem interrupt */
	assert_int_equal(in(t, IIR) & 0x0f, 0);
	assert_true(vdevtest_line(t, LINE, NULL));
	assert_int_equal(in(t, MSR), 0xb2);
	assert_false(vdevtest_line(t, LINE, NULL));
	end(t, &dir, in_fd, out_fd);
}

static void loopback_fifo(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);
	uint8_t c;

	(void)state;
	out(t, FCR, 0x81); /* trigger at 8 */
	out(t, MCR, 0x10);
	out(t, IER, 5);
	for (unsigned i = 0; i < 7; i++)
		out(t, DATA, 'a' + i);
	assert_int_equal(in(t, IIR), 0xcc);
	out(t, DATA, 'h');
	assert_int_equal(in(t, IIR), 0xc4);
	for (unsigned i = 8; i < 16; i++)
		out(t, DATA, 'a' + i);
	assert_int_equal(in(t, LSR), 0x61);
	out(t, DATA, 'q'); /* one too many */
	assert_int_equal(in(t, IIR), 0xc6);
	assert_int_equal(in(t, LSR), 0x63);
	assert_int_equal(in(t, LSR), 0x61);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(in(t, DATA), 'a' + i);
	assert_int_equal(in(t, LSR), 0x60);
	assert_int_equal(in(t, DATA), 'p'); /* as the chip: the last one again */
	assert_false(vdevtest_line(t, LINE, NULL));
	out(t, DATA, 'x');
	out(t, FCR, 0x03);
	assert_int_equal(in(t, LSR), 0x60);
	assert_int_equal(read(out_fd, &c, 1), -1); /* nothing left the chip */
	out(t, MCR, 0);
	out(t, DATA, 'z'); /* nor is it on its way: this is the first to arrive */
	test_read_all(out_fd, &c, 1);
	assert_int_equal(c, 'z');
	end(t, &dir, in_fd, out_fd);
}

static void input_interrupts(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);

	(void)state;
	out(t, FCR, 1);
	out(t, IER, 1);
	assert_int_equal(write(in_fd, "hi", 2), 2);
	wait_until(vdevtest_line(t, LINE, NULL));
	assert_int_equal(in(t, IIR), 0xc4);
	assert_int_equal(in(t, DATA), 'h');
	wait_until(in(t, LSR) & 1);
	assert_int_equal(in(t, DATA), 'i');
	assert_false(vdevtest_line(t, LINE, NULL));
	assert_int_equal(in(t, IIR), 0xc1);
	end(t, &dir, in_fd, out_fd);
}

static void input_is_not_lost(void **state)
{
	struct test_dir dir;
	struct vdevtest *t;
	int fd;

	(void)state;
	test_dir_make(&dir);
	fd = open(dir.file, O_WRONLY | O_CREAT, 0600);
	for (size_t i = 0; i < MANY / 4; i++)
		assert_int_equal(write(fd, &(uint8_t){ pattern(i) }, 1), 1);
	close(fd);
	t = start_stepped("hostdev <", dir.file);
	for (size_t i = 0; i < MANY / 4; i++) {
		vdevtest_run(t);
		assert_int_equal(in(t, LSR) & 1, 1);
		assert_int_equal(in(t, DATA), pattern(i));
		if (i == 1000)
			out(t, MCR, 0x10); /* cut off for a while */
		if (i == 1000 || i == 1016) {
			while (in(t, LSR) & 1)
				assert_int_equal(in(t, DATA), pattern(++i));
			out(t, MCR, 0);
		}
	}
	assert_int_equal(in(t, LSR), 0x60); /* the end of the file is no error */
	vdevtest_end(t);
	test_dir_remove(&dir);
}

static void delayed_opens_at_first_use(void **state)
{
	struct test_dir dir;
	struct vdevtest *t;

	(void)state;
	test_dir_make(&dir);
	t = test_start("ram 1m vdev ser8250 delayed hostdev >%s", dir.file);
	assert_int_not_equal(access(dir.file, F_OK), 0);
	in(t, LSR);
	wait_until(access(dir.file, F_OK) == 0);
	vdevtest_end(t);
	test_dir_remove(&dir);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused("ram 1m vdev ser8250 hostdev /no/such/device", "No such file");
	test_refused("ram 1m vdev ser8250 hostdev >/tmp", "no character device");
	test_refused("ram 1m vdev ser8250 hostdev </dev/null hostdev </dev/zero", "already");
	test_refused("ram 1m vdev ser8250 hostdev \">|cat\"", "not built");
	test_refused("ram 1m vdev ser8250 batch 0", "batch");
}

static void other_places(void **state)
{
	struct vdevtest *t = test_start("ram 1m vdev ser8250 loc 0x2f8 hostdev </dev/null "
					"vdev ser8250 hostdev </dev/null");

	(void)state;
	vdevtest_write(t, VDEVTEST_IO, 0x2ff, 1, 0x11);
	out(t, SCR, 0x22);
	assert_int_equal(vdevtest_read(t, VDEVTEST_IO, 0x2ff, 1), 0x11);
	assert_int_equal(in(t, SCR), 0x22);
	vdevtest_end(t);
}

static bool same_mode(const struct termios *a, const struct termios *b)
{
	return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag &&
	       a->c_lflag == b->c_lflag && memcmp(a->c_cc, b->c_cc, sizeof(a->c_cc)) == 0;
}

static void pty_is_raw_meanwhile(void **state)
{
	struct termios before, during, after;
	struct vdevtest *t;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), slave;
	uint8_t buf[3];

	(void)state;
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_int_equal(tcgetattr(slave, &before), 0);
	t = test_start("ram 1m vdev ser8250 hostdev %s", ptsname(master));
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_false(during.c_lflag & (ICANON | ECHO | ISIG));
	assert_false(during.c_oflag & OPOST);
	assert_int_equal(write(master, "\x1dq", 2), 2); /* no escapes here */
	wait_until(in(t, LSR) & 1);
	assert_int_equal(in(t, DATA), 0x1d);
	wait_until(in(t, LSR) & 1);
	assert_int_equal(in(t, DATA), 'q');
	assert_int_equal(vdevtest_ended(t), -1);
	out(t, DATA, '\n');
	test_read_all(master, buf, 1);
	assert_int_equal(buf[0], '\n');
	vdevtest_end(t);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_true(same_mode(&before, &after));
	close(slave);
	close(master);
}

/* In a process that has the pty as its terminal: returns its exit status. */
static int on_own_terminal(const char *slave_name)
{
	struct termios before, during, after;
	struct vdevtest *t;
	int fd, flags;

	setsid();
	fd = open(slave_name, O_RDWR); /* becomes the controlling terminal */
	dup2(fd, 0);
	dup2(fd, 1);
	tcgetattr(0, &before);
	t = vdevtest_start("ram 1m vdev ser8250");
	if (!t)
		return 10;
	tcgetattr(0, &during);
	if ((during.c_lflag & (ICANON | ECHO | ISIG)) || !(during.c_oflag & OPOST))
		return 11;
	out(t, DATA, 'R'); /* ready */
	wait_until(in(t, LSR) & 1);
	if (in(t, DATA) != 3) /* Ctrl-C is the guest's */
		return 12;
	wait_until(in(t, LSR) & 1);
	if (in(t, DATA) != 0x1d)
		return 13;
	wait_until(vdevtest_ended(t) == GTC_POWER_CUT);
	flags = fcntl(0, F_GETFL) | fcntl(1, F_GETFL);
	vdevtest_end(t);
	tcgetattr(0, &after);
	if (!same_mode(&before, &after))
		return 14;
	return flags & O_NONBLOCK ? 15 : 0;
}

static void own_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), status;
	uint8_t c = 0;
	pid_t child;

	(void)state;
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	child = fork();
	if (child == 0)
		_exit(on_own_terminal(ptsname(master)));
	do
		test_read_all(master, &c, 1);
	while (c != 'R');
	assert_int_equal(write(master, "\x03\x1d\x1d\x1dz\x1dq", 7), 7);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(master);
}

static void *hammer(void *arg)
{
	struct vdevtest *t = arg;
	struct vdevtest_cpu *cpu = vdevtest_cpu_create(t);
	uint32_t x = 12345;

	for (unsigned i = 0; i < 50000; i++) {
		x = x * 1664525 + 1013904223;
		if (x & 0x80000000)
			vdevtest_cpu_write(cpu, VDEVTEST_IO, PORT + (x >> 8) % 8, 1, x >> 16);
		else
			vdevtest_cpu_read(cpu, VDEVTEST_IO, PORT + (x >> 8) % 8,
					  1u << (x >> 12) % 3);
	}
	vdevtest_cpu_free(cpu);
	return NULL;
}

static void hostile_registers(void **state)
{
	struct test_dir dir;
	int in_fd, out_fd;
	struct vdevtest *t = start_with_pipes(&dir, &in_fd, &out_fd);
	pthread_t threads[THREAD_COUNT];

	(void)state;
	assert_int_equal(write(in_fd, "0123456789012345678901234567890123456789", 40), 40);
	for (unsigned i = 0; i < THREAD_COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, t), 0);
	for (unsigned i = 0; i < THREAD_COUNT; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(vdevtest_ended(t), -1);
	end(t, &dir, in_fd, out_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_reaches_a_file),
		cmocka_unit_test(a_character_is_not_kept_back),
		cmocka_unit_test(slow_reader_stops_the_transmitter),
		cmocka_unit_test(output_without_room_is_bounded),
		cmocka_unit_test(steady_output_flows),
		cmocka_unit_test(batch_waits_for_quiet),
		cmocka_unit_test(transmitter_interrupt),
		cmocka_unit_test(what_drivers_probe),
		cmocka_unit_test(loopback_fifo),
		cmocka_unit_test(input_interrupts),
		cmocka_unit_test(input_is_not_lost),
		cmocka_unit_test(delayed_opens_at_first_use),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(other_places),
		cmocka_unit_test(pty_is_raw_meanwhile),
		cmocka_unit_test(own_terminal),
		cmocka_unit_test(hostile_registers),
	};

	return cmocka_run_group_tests_name("ser8250", tests, NULL, NULL);
}
