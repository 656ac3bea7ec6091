/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a request, its reply, and the requests of QEMU's qtest. */
#include "vdevtest/qtest_private.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a bench that dies goes on, and why it did. One bench a process. */
static jmp_buf *landing;
static char died_of[256];

static void on_die(const char *why)
{
	if (!landing)
		return;
	snprintf(died_of, sizeof(died_of), "%s", why);
	longjmp(*landing, 1);
}

static void reply(struct qtest *q, enum qtest_result result, const char *word, const char *fmt,
		  va_list args)
{
	q->result = result;
	strbuf_reset(&q->reply);
	strbuf_add_text(&q->reply, word);
	strbuf_add_char(&q->reply, ' ');
	strbuf_vprintf(&q->reply, fmt, args);
}

void qtest_ok(struct qtest *q, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	reply(q, QTEST_OK, "OK", fmt, args);
	va_end(args);
}

void qtest_done(struct qtest *q)
{
	q->result = QTEST_OK;
	strbuf_reset(&q->reply);
	strbuf_add_text(&q->reply, "OK");
}

void qtest_no(struct qtest *q, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	reply(q, QTEST_FAIL, "FAIL", fmt, args);
	va_end(args);
}

void qtest_wrong(struct qtest *q, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	reply(q, QTEST_ERR, "ERR", fmt, args);
	va_end(args);
}

void qtest_event(struct qtest *q, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	pthread_mutex_lock(&q->lock);
	if (q->events.len < QTEST_MAX_EVENTS) {
		strbuf_vprintf(&q->events, fmt, args);
		strbuf_add_char(&q->events, '\n');
	}
	pthread_mutex_unlock(&q->lock);
	va_end(args);
}

bool qtest_number(const char *text, uint64_t *ret)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	uint64_t value = strtoull(text, &end, 0);

	if (*end || errno)
		return false;
	*ret = value;
	return true;
}

bool qtest_argument(struct qtest *q, unsigned i, uint64_t max, uint64_t *ret)
{
	uint64_t value;

	if (!qtest_number(q->words[i], &value)) {
		qtest_wrong(q, "'%s' is no number", q->words[i]);
		return false;
	}
	if (value > max) {
		qtest_wrong(q, "%s is too large: at most 0x%llx", q->words[i],
			    (unsigned long long)max);
		return false;
	}
	*ret = value;
	return true;
}

static int nibble(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch = (char)(ch | 0x20);
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

long qtest_hex(const char *text, uint8_t *buf, size_t size)
{
	size_t digits;

	if (text[0] != '0' || text[1] != 'x')
		return -1;
	text += 2;
	digits = strlen(text);
	if (digits % 2 || digits / 2 > size)
		return -1;
	for (size_t i = 0; i < digits; i += 2) {
		int high = nibble(text[i]), low = nibble(text[i + 1]);

		if (high < 0 || low < 0)
			return -1;
		buf[i / 2] = (uint8_t)(high << 4 | low);
	}
	return (long)(digits / 2);
}

void qtest_add_hex(struct strbuf *out, const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	strbuf_add_text(out, "0x");
	for (size_t i = 0; i < len; i++) {
		strbuf_add_char(out, digits[data[i] >> 4]);
		strbuf_add_char(out, digits[data[i] & 15]);
	}
}

/* Accesses */

static unsigned width_of(const char *name)
{
	switch (name[strlen(name) - 1]) {
	case 'b':
		return 1;
	case 'w':
		return 2;
	case 'l':
		return 4;
	default:
		return 8;
	}
}

static uint64_t load(struct qtest *q, uint64_t addr, unsigned len)
{
	const void *ram = vdevtest_ram_at(q->t, addr, len);
	uint64_t value = 0;

	if (!ram)
		return vdevtest_read(q->t, VDEVTEST_MEM, addr, len);
	memcpy(&value, ram, len);
	return value;
}

static void store(struct qtest *q, uint64_t addr, unsigned len, uint64_t value)
{
	void *ram = vdevtest_ram_at(q->t, addr, len);

	if (ram)
		memcpy(ram, &value, len);
	else
		vdevtest_write(q->t, VDEVTEST_MEM, addr, len, value);
}

static void do_out(struct qtest *q)
{
	uint64_t addr, value;

	if (!qtest_argument(q, 1, 0xffff, &addr) || !qtest_argument(q, 2, UINT64_MAX, &value))
		return;
	vdevtest_write(q->t, VDEVTEST_IO, addr, width_of(q->words[0]), value);
	qtest_done(q);
}

static void do_in(struct qtest *q)
{
	uint64_t addr;

	if (qtest_argument(q, 1, 0xffff, &addr))
		qtest_ok(q, "0x%04llx",
			 (unsigned long long)vdevtest_read(q->t, VDEVTEST_IO, addr,
							   width_of(q->words[0])));
}

static void do_write_width(struct qtest *q)
{
	uint64_t addr, value;

	if (!qtest_argument(q, 1, UINT64_MAX, &addr) || !qtest_argument(q, 2, UINT64_MAX, &value))
		return;
	store(q, addr, width_of(q->words[0]), value);
	qtest_done(q);
}

static void do_read_width(struct qtest *q)
{
	uint64_t addr;

	if (qtest_argument(q, 1, UINT64_MAX, &addr))
		qtest_ok(q, "0x%016llx", (unsigned long long)load(q, addr, width_of(q->words[0])));
}

/* The widest aligned access at addr that does not go beyond len. */
static unsigned piece(uint64_t addr, uint64_t len)
{
	unsigned n = 8;

	while (n > len || addr % n)
		n /= 2;
	return n;
}

static void load_block(struct qtest *q, uint64_t addr, uint8_t *buf, size_t len)
{
	const void *ram = vdevtest_ram_at(q->t, addr, len);

	if (ram) {
		memcpy(buf, ram, len);
		return;
	}
	while (len) {
		unsigned n = piece(addr, len);
		uint64_t value = load(q, addr, n);

		memcpy(buf, &value, n);
		addr += n;
		buf += n;
		len -= n;
	}
}

static void store_block(struct qtest *q, uint64_t addr, const uint8_t *buf, size_t len)
{
	void *ram = vdevtest_ram_at(q->t, addr, len);

	if (ram) {
		memcpy(ram, buf, len);
		return;
	}
	while (len) {
		unsigned n = piece(addr, len);
		uint64_t value = 0;

		memcpy(&value, buf, n);
		store(q, addr, n, value);
		addr += n;
		buf += n;
		len -= n;
	}
}

/* Address and size of a block, and zeroed memory of that size; NULL: ERR was said. */
static uint8_t *block(struct qtest *q, bool may_be_empty, uint64_t *ret_addr, uint64_t *ret_len)
{
	if (!qtest_argument(q, 1, UINT64_MAX, ret_addr) ||
	    !qtest_argument(q, 2, QTEST_MAX_BLOCK, ret_len))
		return NULL;
	if (!*ret_len && !may_be_empty) {
		qtest_wrong(q, "a size of 0");
		return NULL;
	}
	if (*ret_len && *ret_addr > UINT64_MAX - (*ret_len - 1)) {
		qtest_wrong(q, "it reaches beyond the last address");
		return NULL;
	}
	/* The session's, since an access may end the request at once. */
	free(q->block);
	q->block = calloc(1, *ret_len + 1);
	if (!q->block)
		qtest_wrong(q, "out of memory");
	return q->block;
}

static void do_read(struct qtest *q)
{
	uint64_t addr, len;
	uint8_t *buf = block(q, false, &addr, &len);

	if (!buf)
		return;
	load_block(q, addr, buf, len);
	qtest_done(q);
	strbuf_add_char(&q->reply, ' ');
	qtest_add_hex(&q->reply, buf, len);
}

static void do_write(struct qtest *q)
{
	uint64_t addr, len;
	uint8_t *buf = block(q, false, &addr, &len);

	if (!buf)
		return;
	/* Too long is cut, too short is filled with zeros. */
	if (strlen(q->words[3]) > 2 + 2 * len)
		q->words[3][2 + 2 * len] = '\0';
	if (qtest_hex(q->words[3], buf, len) < 0) {
		qtest_wrong(q, "the data is not 0x and pairs of hexadecimal digits");
	} else {
		store_block(q, addr, buf, len);
		qtest_done(q);
	}
}

static void do_memset(struct qtest *q)
{
	uint64_t addr, len, value;
	uint8_t *buf;

	if (!qtest_argument(q, 3, UINT64_MAX, &value))
		return;
	buf = block(q, true, &addr, &len);
	if (!buf)
		return;
	memset(buf, (int)(value & 0xff), len);
	store_block(q, addr, buf, len);
	qtest_done(q);
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void do_b64read(struct qtest *q)
{
	uint64_t addr, len;
	uint8_t *buf = block(q, false, &addr, &len);

	if (!buf)
		return;
	load_block(q, addr, buf, len);
	qtest_done(q);
	strbuf_add_char(&q->reply, ' ');
	for (size_t i = 0; i < len; i += 3) {
		size_t n = MIN(len - i, 3u);
		uint32_t bits = (uint32_t)buf[i] << 16 | (n > 1 ? (uint32_t)buf[i + 1] << 8 : 0) |
				(n > 2 ? buf[i + 2] : 0);

		for (unsigned k = 0; k < 4; k++)
			strbuf_add_char(&q->reply,
					k <= n ? base64[bits >> (18 - 6 * k) & 63] : '=');
	}
}

/* Returns how many bytes, -1: it is no base 64. */
static long decode_base64(const char *text, uint8_t *buf, size_t size)
{
	size_t n = 0;
	uint32_t bits = 0;
	unsigned have = 0;

	for (; *text && *text != '='; text++) {
		const char *at = strchr(base64, *text);

		if (!at)
			return -1;
		bits = bits << 6 | (uint32_t)(at - base64);
		have += 6;
		if (have >= 8) {
			have -= 8;
			if (n < size)
				buf[n++] = (uint8_t)(bits >> have);
		}
	}
	return strspn(text, "=") == strlen(text) ? (long)n : -1;
}

static void do_b64write(struct qtest *q)
{
	uint64_t addr, len;
	uint8_t *buf = block(q, false, &addr, &len);
	long n;

	if (!buf)
		return;
	n = decode_base64(q->words[3], buf, len);
	if (n < 0) {
		qtest_wrong(q, "the data is not in base 64");
	} else {
		store_block(q, addr, buf, (size_t)n);
		qtest_done(q);
	}
}

static void do_endianness(struct qtest *q)
{
	qtest_ok(q, "little");
}

/* Time */

static void set_clock(struct qtest *q, uint64_t ns)
{
	if (vdevtest_clock_set(q->t, ns))
		qtest_ok(q, "%llu", (unsigned long long)vdevtest_clock(q->t));
	else
		qtest_no(q, "%llu", (unsigned long long)vdevtest_clock(q->t));
}

static void do_clock_step(struct qtest *q)
{
	uint64_t ns = 0, now = vdevtest_clock(q->t);

	if (q->num_words > 1) {
		if (qtest_argument(q, 1, UINT64_MAX - now, &ns))
			set_clock(q, now + ns);
	} else if (vdevtest_clock_next(q->t, &ns)) {
		set_clock(q, MAX(ns, now));
	} else {
		qtest_no(q, "%s", "no timer is running");
	}
}

static void do_clock_set(struct qtest *q)
{
	uint64_t ns;

	if (qtest_argument(q, 1, UINT64_MAX, &ns))
		set_clock(q, ns);
}

/* Interrupts */

static void on_line(void *ctx, const char *pic, unsigned pin, bool level)
{
	struct qtest *q = ctx;
	const char *word = level ? "raise" : "lower";

	for (unsigned i = 0; i < q->num_intercepts; i++) {
		const struct qtest_intercept *in = &q->intercepts[i];

		if (strcmp(in->pic, pic) == 0 && in->pin < 0)
			qtest_event(q, "IRQ %s %u", word, pin);
		else if (strcmp(in->pic, pic) == 0 && (unsigned)in->pin == pin)
			qtest_event(q, "IRQ %s 0", word);
	}
}

static void intercept(struct qtest *q, const char *pic, int pin)
{
	if (q->num_intercepts == QTEST_MAX_INTERCEPTS) {
		qtest_no(q, "at most %d are intercepted", QTEST_MAX_INTERCEPTS);
		return;
	}
	struct qtest_intercept *in = &q->intercepts[q->num_intercepts];

	in->pic = strdup(pic);
	in->pin = pin;
	if (!in->pic) {
		qtest_no(q, "out of memory");
		return;
	}
	q->num_intercepts++;
	q->watch.line = on_line;
	vdevtest_set_watch(q->t, &q->watch);
	qtest_done(q);
}

/* A path of QEMU ends with the device's name. */
static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void do_irq_intercept_in(struct qtest *q)
{
	const char *name = last_part(q->words[1]);

	if (vdevtest_has_pic(q->t, name))
		intercept(q, name, -1);
	else
		qtest_no(q, "Unknown device '%s': no interrupt controller has that name", name);
}

static void do_irq_intercept_out(struct qtest *q)
{
	const char *name = last_part(q->words[1]), *pic;
	unsigned pin;

	if (!vdevtest_has_vdev(q->t, name, &pic, &pin))
		qtest_no(q, "Unknown device '%s'", name);
	else if (!pic)
		qtest_no(q,
			 "'%s' has no interrupt line; the pin of a PCI function is an input of a "
			 "controller: irq_intercept_in",
			 name);
	else
		intercept(q, pic, (int)pin);
}

static void do_set_irq_in(struct qtest *q)
{
	uint64_t pin, level;

	if (!qtest_argument(q, 3, UINT32_MAX, &pin) || !qtest_argument(q, 4, UINT32_MAX, &level))
		return;
	if (vdevtest_line_set(q->t, last_part(q->words[1]), (unsigned)pin, level != 0))
		qtest_done(q);
	else
		qtest_no(q, "'%s' has no input %llu", q->words[1], (unsigned long long)pin);
}

static const struct qtest_request requests[] = {
	{ "outb", do_out, 3, 3, false },
	{ "outw", do_out, 3, 3, false },
	{ "outl", do_out, 3, 3, false },
	{ "inb", do_in, 2, 2, true },
	{ "inw", do_in, 2, 2, true },
	{ "inl", do_in, 2, 2, true },
	{ "writeb", do_write_width, 3, 3, false },
	{ "writew", do_write_width, 3, 3, false },
	{ "writel", do_write_width, 3, 3, false },
	{ "writeq", do_write_width, 3, 3, false },
	{ "readb", do_read_width, 2, 2, true },
	{ "readw", do_read_width, 2, 2, true },
	{ "readl", do_read_width, 2, 2, true },
	{ "readq", do_read_width, 2, 2, true },
	{ "read", do_read, 3, 3, true },
	{ "write", do_write, 4, 4, false },
	{ "b64read", do_b64read, 3, 3, true },
	{ "b64write", do_b64write, 4, 4, false },
	{ "memset", do_memset, 4, 4, false },
	{ "endianness", do_endianness, 1, 1, true },
	{ "clock_step", do_clock_step, 1, 2, false },
	{ "clock_set", do_clock_set, 2, 2, false },
	{ "irq_intercept_in", do_irq_intercept_in, 2, 2, true },
	{ "irq_intercept_out", do_irq_intercept_out, 2, 3, true },
	{ "set_irq_in", do_set_irq_in, 5, 5, false },
	{ NULL, NULL, 0, 0, false },
};

static const struct qtest_request *const tables[] = { requests, qtest_virtio, qtest_extensions };

static const struct qtest_request *request_find(const char *name)
{
	for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct qtest_request *r = tables[i]; r->name; r++)
			if (strcmp(r->name, name) == 0)
				return r;
	return NULL;
}

const char *qtest_name(unsigned index)
{
	for (unsigned i = 0; i < ARRAY_LEN(tables); i++)
		for (const struct qtest_request *r = tables[i]; r->name; r++)
			if (index-- == 0)
				return r->name;
	return NULL;
}

/* False: the reply says why not. */
static bool cut(struct qtest *q, const char *line, size_t len)
{
	if (len >= q->text_size) {
		char *grown = realloc(q->text, len + 1);

		if (!grown) {
			qtest_wrong(q, "out of memory");
			return false;
		}
		q->text = grown;
		q->text_size = len + 1;
	}
	memcpy(q->text, line, len);
	q->text[len] = '\0';
	q->num_words = 0;
	if (memchr(line, '\0', len)) {
		qtest_wrong(q, "a byte of value 0 in the line");
		return false;
	}
	for (char *at = q->text, *word; (word = strtok_r(at, " \t\r", &at));) {
		if (q->num_words == QTEST_MAX_WORDS) {
			qtest_wrong(q, "more than %d words", QTEST_MAX_WORDS);
			return false;
		}
		q->words[q->num_words++] = word;
	}
	if (!q->num_words)
		qtest_wrong(q, "an empty line");
	return q->num_words;
}

static void say_events(struct qtest *q)
{
	pthread_mutex_lock(&q->lock);
	const char *at = strbuf_text(&q->events), *end;

	while ((end = strchr(at, '\n'))) {
		q->say(q->ctx, at, (size_t)(end - at));
		at = end + 1;
	}
	strbuf_reset(&q->events);
	pthread_mutex_unlock(&q->lock);
}

static void run(struct qtest *q, const struct qtest_request *r)
{
	jmp_buf here;

	landing = &here;
	if (setjmp(here)) {
		qtest_no(q, "%s", died_of);
		if (strncmp(died_of, "a vdev failed", strlen("a vdev failed")) == 0)
			q->result = QTEST_BROKEN;
	} else {
		r->func(q);
		if (!r->quiet)
			vdevtest_run(q->t);
	}
	landing = NULL;
	if (!r->quiet && q->watch.message)
		(void)vdevtest_messages(q->t, 0, NULL, NULL);
}

enum qtest_result qtest_line(struct qtest *q, const char *line, size_t len)
{
	if (cut(q, line, len)) {
		const struct qtest_request *r = request_find(q->words[0]);

		if (!r) {
			qtest_no(q, "Unknown command '%s'", q->words[0]);
			q->result = QTEST_ERR;
		} else if (q->num_words < r->min_words || q->num_words > r->max_words) {
			qtest_wrong(q, "%s takes %u to %u words, not %u", r->name, r->min_words - 1,
				    r->max_words - 1, q->num_words - 1);
		} else {
			run(q, r);
		}
	}
	say_events(q);
	const char *text = strbuf_text(&q->reply);

	q->say(q->ctx, text, strlen(text));
	if (q->result != QTEST_UNEXPECTED) {
		strbuf_reset(&q->last);
		strbuf_add_text(&q->last, text);
	}
	return q->result;
}

struct qtest *qtest_create(struct vdevtest *t, void (*say)(void *ctx, const char *line, size_t len),
			   void *ctx)
{
	struct qtest *q = calloc(1, sizeof(*q));

	if (!q || qtest_virtio_init(q))
		vdevtest_die("out of memory");
	q->t = t;
	q->say = say;
	q->ctx = ctx;
	q->watch.ctx = q;
	pthread_mutex_init(&q->lock, NULL);
	vdevtest_on_die(on_die);
	return q;
}

void qtest_free(struct qtest *q)
{
	static const struct vdevtest_watch nobody;

	vdevtest_set_watch(q->t, &nobody);
	qtest_virtio_free(q);
	qtest_extend_free(q);
	for (unsigned i = 0; i < q->num_intercepts; i++)
		free(q->intercepts[i].pic);
	strbuf_free(&q->reply);
	strbuf_free(&q->last);
	strbuf_free(&q->events);
	pthread_mutex_destroy(&q->lock);
	free(q->block);
	free(q->text);
	free(q);
}
