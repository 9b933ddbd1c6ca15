/* Looks at one clock, or waits for six seconds in one way: what a time of one's own must reach. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define WAIT 6

static double of(struct timespec t) { return t.tv_sec + t.tv_nsec / 1e9; }

static double cpu(void) {
    struct timespec t;
    syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &t);
    return of(t);
}

static double now(int clock, int raw) {
    struct timespec t;
    if (raw) syscall(SYS_clock_gettime, clock, &t); else clock_gettime(clock, &t);
    return of(t);
}

/* How many of its seconds a clock counts in a second of the processor. */
static double pace(int clock, int raw) {
    double begin = now(clock, raw), from = cpu();
    while (cpu() < from + 0.2) {}
    return (now(clock, raw) - begin) / 0.2;
}

static void caught(int unused) { (void)unused; }

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    struct timespec wait = { WAIT, 0 };
    signal(SIGALRM, caught);
    if (!strcmp(what, "wall")) printf("%.0f\n", now(CLOCK_REALTIME, 0));
    else if (!strcmp(what, "wall-call")) printf("%.0f\n", now(CLOCK_REALTIME, 1));
    else if (!strcmp(what, "steady")) printf("%.0f\n", pace(CLOCK_MONOTONIC, 0));
    else if (!strcmp(what, "steady-call")) printf("%.0f\n", pace(CLOCK_MONOTONIC, 1));
    else if (!strcmp(what, "cpu")) {
        double begin = now(CLOCK_PROCESS_CPUTIME_ID, 0), from = cpu();
        while (cpu() < from + 0.2) {}
        printf("%.0f\n", (now(CLOCK_PROCESS_CPUTIME_ID, 0) - begin) / 0.2);
    } else if (!strcmp(what, "nanosleep")) nanosleep(&wait, 0);
    else if (!strcmp(what, "nanosleep-call")) syscall(SYS_nanosleep, &wait, 0);
    else if (!strcmp(what, "poll")) poll(0, 0, WAIT * 1000);
    else if (!strcmp(what, "select")) { struct timeval t = { WAIT, 0 }; select(0, 0, 0, 0, &t); }
    else if (!strcmp(what, "epoll")) { struct epoll_event e; epoll_wait(epoll_create1(0), &e, 1, WAIT * 1000); }
    else if (!strcmp(what, "alarm")) { alarm(WAIT); pause(); }
    else if (!strcmp(what, "setitimer")) { struct itimerval t = { { 0, 0 }, { WAIT, 0 } }; setitimer(ITIMER_REAL, &t, 0); pause(); }
    else if (!strcmp(what, "timerfd")) {
        struct itimerspec t = { { 0, 0 }, { WAIT, 0 } };
        uint64_t count;
        int fd = timerfd_create(CLOCK_MONOTONIC, 0);
        timerfd_settime(fd, 0, &t, 0);
        if (read(fd, &count, sizeof count) < 0) return 1;
    } else if (!strcmp(what, "condition")) {
        pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += WAIT;
        pthread_mutex_lock(&mutex);
        pthread_cond_timedwait(&cond, &mutex, &until);
    } else return 2;
    return 0;
}
