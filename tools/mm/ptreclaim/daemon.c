// SPDX-License-Identifier: GPL-2.0
/*
 * ptreclaim daemon: an event loop that makes a pass when memory is short, or at intervals.
 * A pass runs to its end in the loop; only SIGTERM and SIGINT reach it.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <cap-ng.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "command.h"
#include "config.h"
#include "journal.h"
#include "metrics.h"
#include "pass.h"
#include "privileges.h"
#include "procs.h"
#include "psi.h"
#include "size.h"

#define CONFIG_FILE	"/etc/ptreclaim.conf"
#define USEC		UINT64_C(1000000)
#define RETRY		(10 * USEC)	/* until a cgroup is looked for again */

struct options {
	const char *config;		/* NULL: the default, which may be missing */
	const char *sysroot;
	bool once;
	bool check;
};

struct daemon;

/* Whose pressure is watched. */
struct watch {
	struct daemon *daemon;
	const char *cgroup;		/* NULL: the system's */
	sd_event_source *source;	/* NULL: not now */
	int fd;
};

struct daemon {
	const struct options *options;
	struct config config;
	struct procs procs;
	struct pass pass;
	sd_event *event;
	sd_event_source *timer;
	sd_event_source *retry;
	struct watch watches[CONFIG_CGROUPS + 1];
	size_t watch_count;
};

/* Set by SIGTERM and SIGINT while a pass runs; at other times the event loop takes these. */
static volatile int cancel;

static void on_stop_in_pass(int number)
{
	(void)number;
	cancel = 1;
}

static void print_help(void)
{
	puts("Usage: ptreclaim daemon [OPTION...]\n\n"
	     "Free empty page tables of processes when memory is short, or at intervals.\n\n"
	     "  -c, --config FILE    instead of " CONFIG_FILE "\n"
	     "      --once           make one pass and exit\n"
	     "      --check          print the configuration that is in force and exit\n"
	     "      --sysroot DIR    processes of a captured tree; nothing is freed\n"
	     "  -h, --help\n\n"
	     "See ptreclaim(8) and ptreclaim.conf(5).");
}

enum { OPTION_ONCE = 256, OPTION_CHECK, OPTION_SYSROOT };

static struct options parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "once", no_argument, NULL, OPTION_ONCE },
		{ "check", no_argument, NULL, OPTION_CHECK },
		{ "sysroot", required_argument, NULL, OPTION_SYSROOT },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct options options = { .once = false };
	int option;

	while ((option = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			options.config = optarg;
			break;
		case OPTION_ONCE:
			options.once = true;
			break;
		case OPTION_CHECK:
			options.check = true;
			break;
		case OPTION_SYSROOT:
			options.sysroot = optarg;
			break;
		case 'h':
			print_help();
			exit(EXIT_SUCCESS);
		default:
			try_help("daemon");
		}
	}
	if (optind < argc) {
		warnx("daemon takes no argument, as %s is one", argv[optind]);
		try_help("daemon");
	}
	return options;
}

/* What is wrong with it was said if this is not 0. */
static int read_config(const struct options *options, struct config *config)
{
	const char *path = options->config ? options->config : CONFIG_FILE;
	struct config_error error;
	int ret = config_read(config, path, &error);

	if (ret == -ENOENT && !options->config) {
		config_defaults(config);
		return 0;
	}
	if (ret && error.line)
		say(LOG_ERR, "%s:%u: %s", path, error.line, error.text);
	else if (ret)
		say(LOG_ERR, "%s: %s", path, error.text);
	if (ret || options->once || options->check || options->sysroot)
		return ret;
	if (!config->system && !config->cgroup_count && !config->interval) {
		say(LOG_ERR, "%s: there is nothing to do: set an interval, or system or cgroup in [pressure]",
		    path);
		config_free(config);
		ret = -EINVAL;
	}
	return ret;
}

static void alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

static void write_metrics(struct daemon *d)
{
	struct metrics *m = &d->pass.metrics;
	int ret = d->config.metrics ? metrics_write(m, d->config.metrics) : 0;

	/* Said once, and again after it has worked. */
	if (ret && !m->unwritten)
		say(LOG_WARNING, "cannot write the metrics to %s: %s", d->config.metrics,
		    strerror(-ret));
	m->errors[ERROR_METRICS] += ret != 0;
	m->unwritten = ret != 0;
}

static void show_status(const struct daemon *d)
{
	char bytes[SIZE_TEXT];

	size_format(d->pass.metrics.bytes, bytes);
	sd_notifyf(0, "STATUS=%s of page tables freed", bytes);
}

/* Signals that end the daemon, blocked or not. */
static void stop_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(how, &set, NULL);
}

static int run_pass(struct daemon *d, enum trigger trigger, const char *cgroup)
{
	struct pass_result result;
	int ret;

	stop_signals(SIG_UNBLOCK);
	ret = pass_run(&d->pass, trigger, cgroup, &result);
	stop_signals(SIG_BLOCK);
	say_pass(trigger, cgroup, &result, d->options->once);
	if (ret && ret != -ECANCELED)
		say(LOG_WARNING, "cannot list the processes%s%s: %s", cgroup ? " of " : "",
		    cgroup ? cgroup : "", strerror(-ret));
	write_metrics(d);
	show_status(d);
	if (cancel && d->event)
		sd_event_exit(d->event, 0);
	return ret;
}

static const char *name_of(const struct watch *w)
{
	return w->cgroup ? w->cgroup : "the system";
}

static void close_watch(struct watch *w)
{
	if (!w->source)
		return;
	w->source = sd_event_source_disable_unref(w->source);
	close(w->fd);
}

static void arm_retry(struct daemon *d);

static int on_pressure(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct watch *w = arg;

	(void)source;
	(void)fd;
	if (events & EPOLLERR) {
		say(LOG_NOTICE, "the cgroup %s is gone: it is watched again when it is back",
		    name_of(w));
		close_watch(w);
		arm_retry(w->daemon);
		return 0;
	}
	run_pass(w->daemon, w->cgroup ? TRIGGER_CGROUP : TRIGGER_PRESSURE, w->cgroup);
	return 0;
}

static const char *advice(const struct watch *w, int error)
{
	if (error == -EACCES || error == -EPERM)
		return ": the daemon's user has to be able to write to it";
	if (!w->cgroup && (error == -ENOENT || error == -EOPNOTSUPP))
		return ": boot with psi=1, or set an interval and system = no";
	return "";
}

static int open_psi(struct daemon *d, const struct watch *w)
{
	char file[PATH_MAX];

	if (!w->cgroup)
		return psi_open(d->procs.proc, "pressure/memory", d->config.threshold);
	if (d->procs.cgroups < 0)
		return -ENOENT;
	snprintf(file, sizeof(file), ".%s/memory.pressure", w->cgroup);
	return psi_open(d->procs.cgroups, file, d->config.threshold);
}

/* Errors are said the first time only. */
static int open_watch(struct daemon *d, struct watch *w, bool first)
{
	int ret = open_psi(d, w);

	if (ret >= 0) {
		w->fd = ret;
		ret = sd_event_add_io(d->event, &w->source, w->fd, EPOLLPRI, on_pressure, w);
		if (ret < 0)
			close(w->fd);
	}
	if (ret < 0 && first) {
		d->pass.metrics.errors[ERROR_TRIGGER]++;
		say(LOG_WARNING, "cannot watch the memory pressure of %s: %s%s", name_of(w),
		    strerror(-ret), advice(w, ret));
	}
	return ret < 0 ? ret : 0;
}

/* Looks for cgroups again as long as some do not exist. */
static void open_watches(struct daemon *d, bool first)
{
	bool missing = false;
	size_t i;

	for (i = 0; i < d->watch_count; i++)
		if (!d->watches[i].source && open_watch(d, &d->watches[i], first) == -ENOENT &&
		    d->watches[i].cgroup)
			missing = true;
	if (missing)
		arm_retry(d);
}

static int on_retry(sd_event_source *source, uint64_t now, void *arg)
{
	(void)source;
	(void)now;
	open_watches(arg, false);
	return 0;
}

static void arm(struct daemon *d, sd_event_source **timer, uint64_t usec,
		sd_event_time_handler_t handler)
{
	int ret;

	if (*timer) {
		ret = sd_event_source_set_time_relative(*timer, usec);
		if (ret >= 0)
			ret = sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
	} else {
		ret = sd_event_add_time_relative(d->event, timer, CLOCK_MONOTONIC, usec, 0, handler,
						 d);
	}
	if (ret < 0)
		errx(EXIT_FAILURE, "cannot set a timer: %s", strerror(-ret));
}

static void arm_retry(struct daemon *d)
{
	arm(d, &d->retry, RETRY, on_retry);
}

static int on_interval(sd_event_source *source, uint64_t now, void *arg)
{
	struct daemon *d = arg;

	(void)source;
	(void)now;
	run_pass(d, TRIGGER_INTERVAL, NULL);
	arm(d, &d->timer, d->config.interval * USEC, on_interval);
	return 0;
}

static void add_watch(struct daemon *d, const char *cgroup)
{
	d->watches[d->watch_count++] = (struct watch){ .daemon = d, .cgroup = cgroup };
}

/* All that the configuration wants to be woken by. */
static void start_sources(struct daemon *d)
{
	size_t i;

	d->watch_count = 0;
	if (d->config.system && !d->options->sysroot)
		add_watch(d, NULL);
	for (i = 0; i < d->config.cgroup_count && !d->options->sysroot; i++)
		add_watch(d, d->config.cgroups[i]);
	open_watches(d, true);
	if (d->config.interval)
		arm(d, &d->timer, d->config.interval * USEC, on_interval);
}

/* False if nothing will ever wake it up. */
static bool has_sources(const struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->watch_count; i++)
		if (d->watches[i].source)
			return true;
	return d->timer || d->retry || d->options->sysroot;
}

static void stop_sources(struct daemon *d)
{
	size_t i;

	for (i = 0; i < d->watch_count; i++)
		close_watch(&d->watches[i]);
	d->timer = sd_event_source_disable_unref(d->timer);
	d->retry = sd_event_source_disable_unref(d->retry);
}

/* A file that is wrong leaves all as it was. */
static bool reload(struct daemon *d)
{
	static struct config new;
	struct config old = d->config;

	if (read_config(d->options, &new))
		return false;
	if (pass_configure(&d->pass, &new)) {
		say(LOG_ERR, "there is no memory to remember so many processes");
		config_free(&new);
		return false;
	}
	stop_sources(d);
	d->config = new;
	d->pass.config = &d->config;
	config_free(&old);
	start_sources(d);
	return true;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct daemon *d = arg;
	struct timespec now;
	bool good;

	(void)source;
	(void)info;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)now.tv_sec * USEC + (unsigned long long)now.tv_nsec / 1000);
	good = reload(d);
	d->pass.metrics.config_good = good;
	if (good)
		d->pass.metrics.reloads_good++;
	else
		d->pass.metrics.reloads_bad++;
	say(good ? LOG_INFO : LOG_ERR, good ? "the configuration was read anew" :
					      "the configuration stays as it was");
	write_metrics(d);
	sd_notify(0, "READY=1");
	return 0;
}

static int on_request(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	(void)source;
	(void)info;
	run_pass(arg, TRIGGER_REQUEST, NULL);
	return 0;
}

static void must(int ret, const char *what)
{
	if (ret < 0)
		errx(EXIT_FAILURE, "cannot %s: %s", what, strerror(-ret));
}

static void add_signal(struct daemon *d, int number, sd_event_signal_handler_t handler)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
	must(sd_event_add_signal(d->event, NULL, number, handler, handler ? d : NULL),
	     "take signals");
}

static void start_signals(struct daemon *d)
{
	const struct sigaction stop = { .sa_handler = on_stop_in_pass };

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	if (!d->event)
		return;
	/* Without a handler: the end of the loop. */
	add_signal(d, SIGTERM, NULL);
	add_signal(d, SIGINT, NULL);
	add_signal(d, SIGHUP, on_reload);
	add_signal(d, SIGUSR1, on_request);
}

/* Whether anything can come of it at all. */
static int check_machine(void)
{
	enum ptreclaim_support why;

	if (ptreclaim_probe(&why)) {
		say(LOG_ERR, "%s", ptreclaim_support_text(why));
		return EXIT_NO_ADVICE;
	}
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_NICE) ||
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_PTRACE)) {
		say(LOG_ERR, "CAP_SYS_NICE and CAP_SYS_PTRACE are needed: start it as root or by its unit");
		return EXIT_DENIED;
	}
	return 0;
}

static int loop(struct daemon *d)
{
	int ret;

	must(sd_event_new(&d->event), "make an event loop");
	start_signals(d);
	must(sd_event_set_watchdog(d->event, true), "feed the watchdog");
	start_sources(d);
	if (!has_sources(d)) {
		say(LOG_ERR, "there is nothing to wait for");
		return EXIT_USAGE;
	}
	write_metrics(d);
	sd_notify(0, "READY=1");
	ret = sd_event_loop(d->event);
	sd_notify(0, "STOPPING=1");
	write_metrics(d);
	stop_sources(d);
	sd_event_unref(d->event);
	must(ret, "wait for events");
	return EXIT_SUCCESS;
}

static int once(struct daemon *d)
{
	int ret;

	start_signals(d);
	ret = run_pass(d, TRIGGER_REQUEST, NULL);
	if (ret == -ECANCELED)
		return EXIT_INTERRUPTED;
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int start(struct daemon *d)
{
	int ret = d->options->sysroot ? 0 : check_machine();

	if (ret)
		return ret;
	ret = procs_open(&d->procs, d->options->sysroot);
	if (ret) {
		say(LOG_ERR, "cannot open %s/proc: %s",
		    d->options->sysroot ? d->options->sysroot : "", strerror(-ret));
		return EXIT_FAILURE;
	}
	d->pass = (struct pass){
		.procs = &d->procs, .config = &d->config, .cancel = &cancel, .alive = alive,
		.metrics.config_good = 1,
	};
	ret = EXIT_FAILURE;
	if (pass_init(&d->pass)) {
		say(LOG_ERR, "there is no memory to remember so many processes");
	} else {
		ret = d->options->once ? once(d) : loop(d);
		pass_free(&d->pass);
	}
	procs_close(&d->procs);
	return ret;
}

int cmd_daemon(int argc, char **argv)
{
	const struct options options = parse_options(argc, argv);
	static struct daemon daemon;
	int ret;

	daemon.options = &options;
	if (read_config(&options, &daemon.config))
		return EXIT_USAGE;
	if (options.check) {
		config_print(&daemon.config, stdout);
		ret = EXIT_SUCCESS;
	} else {
		ret = start(&daemon);
	}
	config_free(&daemon.config);
	return ret;
}
