/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <qvm/x/loop.h>
#include <qvm/x/test.h>
#include "../common/test_config.h"
#include "../common/test_util.h"

#define EXPORTED   __attribute__((visibility("default"))) /* to the vdev */
#define DEV	   1
#define RX	   0
#define TX	   1
#define QUEUE_SIZE 64
#define CHUNK	   9000u	   /* more than a pipe takes at once or not at all */
#define MANY	   (1865u * CHUNK) /* 16 MiB */
#define F_SIZE	   (UINT64_C(1) << 0)
#define ALL	   UINT64_MAX

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static uint64_t buffer(struct vdevtest *t, const void *data, size_t len)
{
	uint64_t gpa = vdevtest_alloc(t, len, 1);

	memcpy(vdevtest_ram(t, gpa, len), data, len);
	return gpa;
}

static void add(struct vdevtest_virtio *v, unsigned queue, uint64_t gpa, size_t len)
{
	vdevtest_virtio_add(v, queue, &(struct vdevtest_buf){ gpa, (uint32_t)len, queue == RX }, 1);
}

static uint32_t used(struct vdevtest_virtio *v, unsigned queue)
{
	unsigned head;
	uint32_t len;

	if (!vdevtest_virtio_used(v, queue, WAIT_MS, &head, &len))
		fail_msg("no buffer came back");
	return len;
}

static void pause_ms(unsigned ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000l }, NULL);
}

struct bench {
	struct test_dir dir;
	int in, out;
	struct vdevtest *t;
	struct vdevtest_virtio *v;
};

static void begin(struct bench *b)
{
	test_dir_make(&b->dir);
	b->in = open(b->dir.in, O_RDWR | O_NONBLOCK);
	b->out = open(b->dir.out, O_RDWR | O_NONBLOCK);
	assert_true(b->in >= 0 && b->out >= 0);
	b->t = test_start("ram 8m vdev virtio-console hostdev <%s hostdev >%s", b->dir.in,
			  b->dir.out);
	b->v = vdevtest_virtio_start(b->t, DEV, ALL, QUEUE_SIZE);
}

static void end(struct bench *b)
{
	vdevtest_virtio_end(b->v);
	vdevtest_end(b->t);
	close(b->in);
	close(b->out);
	test_dir_remove(&b->dir);
}

static void identity(void **state)
{
	struct bench b;

	(void)state;
	begin(&b);
	assert_int_equal(vdevtest_virtio_id(b.v), 3);
	if (vdevtest_virtio_on_pci(b.v))
		assert_int_equal(vdevtest_pci_read(b.t, DEV, 8, 4) >> 8, 0x078000);
	assert_int_equal(vdevtest_virtio_features(b.v) & 3, 0); /* no terminal, one port */
	assert_int_equal(vdevtest_virtio_config(b.v, 0, 4), 0);
	end(&b);
}

static void output_parts(void **state)
{
	struct vdevtest_buf parts[4];
	struct bench b;
	uint8_t buf[16];

	(void)state;
	begin(&b);
	parts[0] = (struct vdevtest_buf){ buffer(b.t, "he", 2), 2, false };
	parts[1] = (struct vdevtest_buf){ buffer(b.t, "l", 1), 1, false };
	parts[2] = (struct vdevtest_buf){ buffer(b.t, "lo ", 3), 3, false };
	parts[3] = (struct vdevtest_buf){ buffer(b.t, "world", 5), 5, false };
	vdevtest_virtio_add(b.v, TX, parts, 3);
	vdevtest_virtio_add(b.v, TX, parts + 3, 1);
	vdevtest_virtio_kick(b.v, TX);
	assert_int_equal(used(b.v, TX), 0);
	assert_int_equal(used(b.v, TX), 0);
	test_read_all(b.out, buf, 11);
	assert_memory_equal(buf, "hello world", 11);
	end(&b);
}

struct reader {
	int fd;
	size_t total, wrong;
};

/* Slow: it begins late and pauses now and then. */
static void *slow_reader(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[3000];

	nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	while (r->total < MANY) {
		ssize_t n = read(r->fd, buf, sizeof(buf));

		for (ssize_t i = 0; i < n; i++)
			r->wrong += buf[i] != pattern(r->total++);
		if (n < 0 || r->total % 7 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 300000 }, NULL);
	}
	return NULL;
}

static void slow_reader_gets_everything(void **state)
{
	struct reader reader = { 0 };
	uint64_t gpa[QUEUE_SIZE];
	pthread_t thread;
	struct bench b;
	size_t sent = 0, back = 0;

	(void)state;
	begin(&b);
	reader.fd = b.out;
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		gpa[i] = vdevtest_alloc(b.t, CHUNK, 16);
	assert_int_equal(pthread_create(&thread, NULL, slow_reader, &reader), 0);
	while (back < MANY / CHUNK) {
		while (sent < MANY / CHUNK && sent - back < QUEUE_SIZE) {
			uint8_t *data = vdevtest_ram(b.t, gpa[sent % QUEUE_SIZE], CHUNK);

			for (size_t i = 0; i < CHUNK; i++)
				data[i] = pattern(sent * CHUNK + i);
			add(b.v, TX, gpa[sent++ % QUEUE_SIZE], CHUNK);
		}
		vdevtest_virtio_kick(b.v, TX);
		used(b.v, TX);
		back++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(reader.total, MANY);
	assert_int_equal(reader.wrong, 0);
	end(&b);
}

static void no_reader_holds_the_driver(void **state)
{
	unsigned head, done = 0;
	struct bench b;
	uint64_t gpa;
	uint32_t len;
	uint8_t c;

	(void)state;
	begin(&b);
	gpa = vdevtest_alloc(b.t, CHUNK, 16);
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		add(b.v, TX, gpa, CHUNK);
	vdevtest_virtio_kick(b.v, TX);
	while (vdevtest_virtio_used(b.v, TX, 100, &head, &len))
		done++;
	assert_true(done < QUEUE_SIZE);			   /* a pipe holds 64 KiB */
	vdevtest_virtio_end(b.v);			   /* a reset gets through meanwhile */
	memset(vdevtest_ram(b.t, gpa, CHUNK), 'S', CHUNK); /* nobody looks there any more */
	b.v = vdevtest_virtio_start(b.t, DEV, ALL, QUEUE_SIZE);
	while (read(b.out, &c, 1) == 1)
		assert_int_equal(c, 0);
	pause_ms(50);
	assert_int_equal(read(b.out, &c, 1), -1);
	add(b.v, TX, buffer(b.t, "x", 1), 1);
	vdevtest_virtio_kick(b.v, TX);
	used(b.v, TX);
	test_read_all(b.out, &c, 1);
	assert_int_equal(c, 'x');
	end(&b);
}

static void input_waits_for_buffers(void **state)
{
	struct bench b;
	uint64_t gpa;
	int waiting = 0;
	clock_t cpu;

	(void)state;
	begin(&b);
	assert_int_equal(write(b.in, "abc", 3), 3);
	cpu = clock();
	pause_ms(300);
	assert_true(clock() - cpu < CLOCKS_PER_SEC / 100); /* it waits for them asleep */
	assert_int_equal(ioctl(b.in, FIONREAD, &waiting), 0);
	assert_int_equal(waiting, 3);
	gpa = vdevtest_alloc(b.t, 2, 1);
	add(b.v, RX, gpa, 2);
	vdevtest_virtio_kick(b.v, RX);
	assert_int_equal(used(b.v, RX), 2);
	assert_memory_equal(vdevtest_ram(b.t, gpa, 2), "ab", 2);
	add(b.v, RX, gpa, 2);
	vdevtest_virtio_kick(b.v, RX);
	assert_int_equal(used(b.v, RX), 1);
	assert_memory_equal(vdevtest_ram(b.t, gpa, 1), "c", 1);
	add(b.v, RX, gpa, 2);
	vdevtest_virtio_kick(b.v, RX);
	pause_ms(20);
	assert_int_equal(write(b.in, "d", 1), 1); /* the buffer was there first */
	assert_int_equal(used(b.v, RX), 1);
	assert_memory_equal(vdevtest_ram(b.t, gpa, 1), "d", 1);
	end(&b);
}

static void file_as_input(void **state)
{
	static uint8_t data[200000];
	struct vdevtest_virtio *v;
	struct test_dir dir;
	struct vdevtest *t;
	size_t total = 0;
	uint64_t gpa;
	int fd;

	(void)state;
	test_dir_make(&dir);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	fd = open(dir.file, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
	close(fd);
	t = test_start("ram 8m vdev virtio-console hostdev <%s", dir.file);
	v = vdevtest_virtio_start(t, DEV, ALL, QUEUE_SIZE);
	gpa = vdevtest_alloc(t, CHUNK, 16);
	while (total < sizeof(data)) {
		uint32_t len;

		add(v, RX, gpa, CHUNK);
		vdevtest_virtio_kick(v, RX);
		len = used(v, RX);
		assert_memory_equal(vdevtest_ram(t, gpa, len), data + total, len);
		total += len;
	}
	vdevtest_virtio_end(v);
	vdevtest_end(t);
	test_dir_remove(&dir);
}

/* DRV-34 */
static void wrong_direction(void **state)
{
	struct bench b;
	uint64_t gpa;

	(void)state;
	begin(&b);
	gpa = vdevtest_alloc(b.t, 16, 16);
	vdevtest_virtio_add(b.v, RX, &(struct vdevtest_buf){ gpa, 16, false }, 1);
	vdevtest_virtio_kick(b.v, RX);
	assert_int_equal(used(b.v, RX), 0);
	vdevtest_virtio_add(b.v, TX, &(struct vdevtest_buf){ gpa, 16, true }, 1);
	vdevtest_virtio_kick(b.v, TX);
	assert_int_equal(used(b.v, TX), 0);
	add(b.v, TX, gpa, 1); /* it still works */
	vdevtest_virtio_kick(b.v, TX);
	assert_int_equal(used(b.v, TX), 0);
	end(&b);
}

/* CON-2 */
static void emergency_output(void **state)
{
	struct bench b;
	uint8_t buf[2];

	(void)state;
	begin(&b);
	vdevtest_virtio_config_write(b.v, 8, 4, 0x11223341);
	vdevtest_virtio_config_write(b.v, 8, 1, 'B');
	test_read_all(b.out, buf, 2);
	assert_memory_equal(buf, "AB", 2);
	for (unsigned i = 0; i < 100000; i++) /* bounded */
		vdevtest_virtio_config_write(b.v, 8, 1, 'x');
	for (unsigned i = 0; i < 16; i++) { /* and nothing else can be written */
		vdevtest_virtio_config_write(b.v, i == 8 ? 9 : i, 1, 0xff);
		vdevtest_virtio_config(b.v, i, 1);
	}
	end(&b);
}

/* A host that takes its time, if that is wanted. */
static atomic_bool slow;
static _Atomic uint64_t written;

EXPORTED ssize_t writev(int fd, const struct iovec *iov, int n)
{
	ssize_t len = syscall(SYS_writev, fd, iov, n);

	if (slow && len > 0) {
		written += (uint64_t)len;
		pause_ms(5);
	}
	return len;
}

/* The host has no memory for the next call. */
static _Atomic bool call_fails;

EXPORTED int qvmx_loop_call(vdev_t *vdp, qvmx_watch_func_t *func, void *data)
{
	int (*real)(vdev_t *, qvmx_watch_func_t *, void *);

	*(void **)&real = dlsym(RTLD_NEXT, "qvmx_loop_call");
	return atomic_exchange(&call_fails, false) ? ENOMEM : real(vdp, func, data);
}

/* One long chain does not hold up a reset, nor the end of the VM. */
static void long_chain(void **state)
{
	enum { PART = 4 << 20 };
	struct vdevtest *t = test_start("ram 8m vdev virtio-console hostdev >/dev/null");
	struct vdevtest_virtio *v = vdevtest_virtio_start(t, DEV, ALL, QUEUE_SIZE);
	struct vdevtest_buf parts[QUEUE_SIZE];

	(void)state;
	for (unsigned i = 0; i < QUEUE_SIZE; i++)
		parts[i] = (struct vdevtest_buf){ 0x100000, PART, false };
	slow = true;
	vdevtest_virtio_add(v, TX, parts, 1);
	vdevtest_virtio_kick(v, TX);
	used(v, TX);
	wait_until(written == PART); /* all of it, in several turns */
	written = 0;
	call_fails = true;
	vdevtest_virtio_add(v, TX, parts, 1);
	vdevtest_virtio_kick(v, TX);
	used(v, TX);
	wait_until(written == PART);
	assert_false(call_fails);
	written = 0;
	vdevtest_virtio_add(v, TX, parts, QUEUE_SIZE);
	vdevtest_virtio_kick(v, TX);
	wait_until(written > 0);
	vdevtest_virtio_end(v);
	slow = false;
	assert_true(written < (uint64_t)QUEUE_SIZE * PART);
	vdevtest_end(t);
}

static void host_end_that_fails(void **state)
{
	struct vdevtest *t = test_start("ram 8m vdev virtio-console hostdev >/dev/full");
	struct vdevtest_virtio *v = vdevtest_virtio_start(t, DEV, ALL, QUEUE_SIZE);

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		add(v, TX, buffer(t, "x", 1), 1);
		vdevtest_virtio_kick(v, TX);
		used(v, TX);
	}
	vdevtest_virtio_end(v);
	vdevtest_end(t);
}

/* Another vCPU writes Ctrl-] q here as soon as the device has read from the host. */
static _Atomic(uint8_t *) forged;

EXPORTED ssize_t read(int fd, void *buf, size_t len)
{
	ssize_t n = syscall(SYS_read, fd, buf, len);
	uint8_t *at = forged;

	if (at && n > 0 && isatty(fd))
		memcpy(at, "\x1dq", 2);
	return n;
}

/* A process that has the pty as its terminal. */
struct terminal {
	int master, fd;
	struct vdevtest *t;
	struct vdevtest_virtio *v;
};

static void resize(const struct terminal *term, unsigned short cols)
{
	struct winsize size = { .ws_col = cols, .ws_row = 25 };

	ioctl(term->fd, TIOCSWINSZ, &size);
}

static bool has_size(const struct terminal *term, unsigned cols)
{
	return vdevtest_virtio_config(term->v, 0, 4) == (25 << 16 | cols);
}

static bool begin_on_terminal(struct terminal *term, const char *option)
{
	char text[64];
	sigset_t all;

	sigfillset(&all); /* as qvm does */
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	setsid();
	term->fd = open(ptsname(term->master), O_RDWR);
	resize(term, 80);
	dup2(term->fd, 0);
	dup2(term->fd, 1);
	snprintf(text, sizeof(text), "ram 8m vdev virtio-console %s", option);
	term->t = vdevtest_start(text);
	if (!term->t)
		return false;
	term->v = vdevtest_virtio_start(term->t, DEV, ALL, QUEUE_SIZE);
	return vdevtest_virtio_features(term->v) & F_SIZE;
}

static int end_on_terminal(struct terminal *term)
{
	vdevtest_virtio_end(term->v);
	vdevtest_end(term->t);
	return 0;
}

/* The functions for such a process return its exit status. */
static int size_in_child(struct terminal *term)
{
	unsigned messages;

	if (!begin_on_terminal(term, ""))
		return 10;
	if (!has_size(term, 80))
		return 11;
	resize(term, 132);
	messages = vdevtest_virtio_interrupts(term->v, WAIT_MS);
	if (messages != 1 || !has_size(term, 132))
		return 12;
	return end_on_terminal(term);
}

static int delayed_size_in_child(struct terminal *term)
{
	if (!begin_on_terminal(term, "delayed"))
		return 10;
	if (vdevtest_virtio_interrupts(term->v, WAIT_MS) != 1 || !has_size(term, 80))
		return 11;
	resize(term, 132);
	if (vdevtest_virtio_interrupts(term->v, WAIT_MS) != 1 || !has_size(term, 132))
		return 12;
	return end_on_terminal(term);
}

/* A new size is not seen with the old generation. */
static int whole_size_in_child(struct terminal *term)
{
	uint64_t early, value;

	if (!begin_on_terminal(term, ""))
		return 10;
	look_begin(term->v, 0, 4);
	resize(term, 132);
	if (!look_end(&early, &value))
		return 11;
	if (early == (25 << 16 | 132))
		return 12;
	return value == (25 << 16 | 132) ? end_on_terminal(term) : 13;
}

/* What is typed counts, not what the guest makes of its buffer. */
static int forged_escape_in_child(struct terminal *term)
{
	uint32_t len = 0;
	bool back = false;
	unsigned head;
	uint64_t gpa;

	if (!begin_on_terminal(term, ""))
		return 10;
	gpa = vdevtest_alloc(term->t, 16, 16);
	forged = vdevtest_ram(term->t, gpa, 16);
	add(term->v, RX, gpa, 16);
	vdevtest_virtio_kick(term->v, RX);
	if (write(term->master, "ab", 2) != 2)
		return 11;
	for (unsigned ms = 0; ms < WAIT_MS && !back && vdevtest_ended(term->t) < 0; ms += 10)
		back = vdevtest_virtio_used(term->v, RX, 10, &head, &len);
	forged = NULL;
	if (vdevtest_ended(term->t) >= 0)
		return 12;
	if (len != 2 || memcmp(vdevtest_ram(term->t, gpa, 2), "ab", 2) != 0)
		return 13;
	add(term->v, RX, gpa, 16);
	vdevtest_virtio_kick(term->v, RX);
	if (write(term->master, "\x1dq", 2) != 2)
		return 14;
	for (unsigned ms = 0; ms < WAIT_MS && vdevtest_ended(term->t) < 0; ms++)
		pause_ms(1);
	return vdevtest_ended(term->t) < 0 ? 15 : end_on_terminal(term);
}

static void in_child(int (*func)(struct terminal *term))
{
	struct terminal term = { .master = posix_openpt(O_RDWR | O_NOCTTY) };
	int status;
	pid_t child;

	assert_true(term.master >= 0 && grantpt(term.master) == 0 && unlockpt(term.master) == 0);
	child = fork();
	if (child == 0)
		_exit(func(&term));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(term.master);
}

/* CON-8 */
static void terminal_size(void **state)
{
	(void)state;
	in_child(size_in_child);
	in_child(delayed_size_in_child);
}

/* PCI-14, GEN-14, MMIO-7 */
static void terminal_size_is_whole(void **state)
{
	(void)state;
	in_child(whole_size_in_child);
}

static void forged_escape(void **state)
{
	(void)state;
	in_child(forged_escape_in_child);
}

static void what_is_refused(void **state)
{
	(void)state;
	test_refused("ram 1m vdev virtio-console legacy", "0.9.5");
	test_refused("ram 1m vdev virtio-console hostdev /no/such/device", "No such file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),
		cmocka_unit_test(output_parts),
		cmocka_unit_test(slow_reader_gets_everything),
		cmocka_unit_test(no_reader_holds_the_driver),
		cmocka_unit_test(input_waits_for_buffers),
		cmocka_unit_test(file_as_input),
		cmocka_unit_test(wrong_direction),
		cmocka_unit_test(emergency_output),
		cmocka_unit_test(long_chain),
		cmocka_unit_test(host_end_that_fails),
		cmocka_unit_test(terminal_size),
		cmocka_unit_test(terminal_size_is_whole),
		cmocka_unit_test(forged_escape),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests_name("virtio-console", tests, NULL, NULL);
}
