/* Waits in every way that takes a time, and says whether the clock of the view agrees. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/aio_abi.h>
static double now(int clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static struct timespec at(double t) {
    struct timespec s = {(long)t, (long)((t - (long)t) * 1e9)};
    return s;
}
static double begin;
static void start(void) { begin = now(CLOCK_MONOTONIC); }
static void end(const char *name, double want, int fine) {
    double took = now(CLOCK_MONOTONIC) - begin;
    /* A busy machine makes every wait longer: four real seconds are allowed. */
    if (!fine || took < want * 0.99 || took > want + 400)
        printf("%s: %f for %f, %d (%s)\n", name, took, want, fine, strerror(errno));
    else printf("%s ok\n", name);
}
static void near(const char *name, double have, double low, double high) {
    if (have < low || have > high) printf("%s: %f is not in %f..%f\n", name, have, low, high);
    else printf("%s ok\n", name);
}
static volatile int rings;
static void ring(int s) { (void)s; rings++; }
static void handler(int s, int flags) {
    struct sigaction a = {.sa_handler = ring, .sa_flags = flags};
    sigaction(s, &a, 0);
}
int main(void) {
    struct timespec ts, rem; struct timeval tv; uint64_t count; int r, fd;
    int nul[2]; if (pipe(nul)) return 1;
    /* absolute sleeps */
    int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    for (int i = 0; i < 4; i++) {
        start(); ts = at(now(clocks[i]) + 10);
        r = clock_nanosleep(clocks[i], TIMER_ABSTIME, &ts, 0); end("abs sleep", 10, r == 0);
    }
    start(); ts = at(5); clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, 0);
    end("abs past", 0, 1);
    /* interrupted, remaining */
    handler(SIGALRM, 0); start(); alarm(20); ts = at(1000); r = nanosleep(&ts, &rem);
    end("nanosleep EINTR", 20, r == -1 && errno == EINTR);
    near("remaining", rem.tv_sec + rem.tv_nsec / 1e9, 500, 981);
    near("alarm gives", (alarm(500), alarm(0)), 100, 500);
    handler(SIGALRM, SA_RESTART); start(); alarm(10); ts = at(30); r = nanosleep(&ts, &rem);
    end("nanosleep SA_RESTART", 10, r == -1 && errno == EINTR);
    /* futexes; with a time they are not restarted behind a handler, whatever it says */
    int word = 1; rings = 0;
    start(); ts = at(10); r = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, &ts, 0, 0);
    end("futex wait", 10, r == -1 && errno == ETIMEDOUT);
    start(); ts = at(now(CLOCK_MONOTONIC) + 10);
    r = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, &ts, 0, -1);
    end("futex bitset", 10, r == -1 && errno == ETIMEDOUT);
    start(); ts = at(now(CLOCK_REALTIME) + 10);
    r = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 1, &ts, 0, -1);
    end("futex real", 10, r == -1 && errno == ETIMEDOUT);
    start(); alarm(5); ts = at(now(CLOCK_MONOTONIC) + 20);
    r = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 1, &ts, 0, -1);
    end("futex EINTR", 5, r == -1 && errno == EINTR && rings == 1);
    struct { uint64_t val, uaddr; uint32_t flags, res; } w = {1, (uint64_t)&word, 2 | 128, 0};
    start(); ts = at(now(CLOCK_MONOTONIC) + 10);
    r = syscall(449, &w, 1, 0, &ts, CLOCK_MONOTONIC);
    end("futex_waitv", 10, r == -1 && errno == ETIMEDOUT);
    /* poll and its kin */
    struct pollfd p = {nul[0], POLLIN, 0};
    start(); ts = at(10); r = syscall(SYS_ppoll, &p, 1, &ts, 0, 8); end("ppoll", 10, r == 0);
    near("ppoll left", ts.tv_sec + ts.tv_nsec / 1e9, 0, 0);
    start(); tv.tv_sec = 10; tv.tv_usec = 0; fd_set s; FD_ZERO(&s); FD_SET(nul[0], &s);
    r = syscall(SYS_select, nul[0] + 1, &s, 0, 0, &tv); end("select", 10, r == 0);
    near("select left", tv.tv_sec, 0, 0);
    start(); ts = at(10); FD_SET(nul[0], &s);
    r = syscall(SYS_pselect6, nul[0] + 1, &s, 0, 0, &ts, 0); end("pselect", 10, r == 0);
    handler(SIGALRM, 0); start(); alarm(20); tv.tv_sec = 1000; tv.tv_usec = 0;
    FD_SET(nul[0], &s); r = select(nul[0] + 1, &s, 0, 0, &tv);
    end("select EINTR", 20, r == -1 && errno == EINTR);
    near("select left", tv.tv_sec, 500, 981);
    int ep = epoll_create1(0); struct epoll_event ev = {.events = EPOLLIN};
    epoll_ctl(ep, EPOLL_CTL_ADD, nul[0], &ev);
    start(); r = epoll_wait(ep, &ev, 1, 10000); end("epoll_wait", 10, r == 0);
    start(); r = epoll_pwait(ep, &ev, 1, 10, 0); end("epoll_pwait 10 ms", 0.01, r == 0);
    start(); ts = at(10); r = syscall(SYS_epoll_pwait2, ep, &ev, 1, &ts, 0, 8);
    end("epoll_pwait2", 10, r == 0);
    start(); r = poll(&p, 1, 100000); end("poll 100 s", 100, r == 0);
    /* timers */
    fd = timerfd_create(CLOCK_REALTIME, 0); struct itimerspec it = {{2, 0}, {10, 0}}, old;
    start(); timerfd_settime(fd, 0, &it, 0); timerfd_gettime(fd, &old);
    near("timerfd left", old.it_value.tv_sec + 1, 1, 10.5);
    near("timerfd every", old.it_interval.tv_sec + old.it_interval.tv_nsec / 1e9, 1.99, 2.01);
    r = read(fd, &count, 8); end("timerfd", 10, r == 8);
    start(); it.it_value = at(now(CLOCK_REALTIME) + 10); it.it_interval = at(0);
    timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, &old); r = read(fd, &count, 8);
    end("timerfd abs", 10, r == 8 && count == 1);
    timer_t timer; struct sigevent se = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    handler(SIGUSR2, 0);
    timer_create(CLOCK_MONOTONIC, &se, &timer); it.it_value = at(10); start();
    timer_settime(timer, 0, &it, 0); pause(); end("timer", 10, 1);
    it.it_value = at(now(CLOCK_MONOTONIC) + 10); start();
    timer_settime(timer, TIMER_ABSTIME, &it, 0); timer_gettime(timer, &old);
    near("timer left", old.it_value.tv_sec + old.it_value.tv_nsec / 1e9, 0.1, 10); pause();
    end("timer abs", 10, 1);
    timer_create(CLOCK_PROCESS_CPUTIME_ID, &se, &timer); it.it_value = at(1000);
    timer_settime(timer, 0, &it, 0); timer_gettime(timer, &old);
    near("CPU timer", old.it_value.tv_sec, 990, 1000);
    /* the rest */
    int sem = semget(IPC_PRIVATE, 1, 0600); struct sembuf sb = {0, -1, 0};
    start(); ts = at(10); r = semtimedop(sem, &sb, 1, &ts);
    end("semtimedop", 10, r == -1 && errno == EAGAIN); semctl(sem, 0, IPC_RMID);
    struct mq_attr ma = {.mq_maxmsg = 1, .mq_msgsize = 8}; char name[40], buf[8];
    sprintf(name, "/viewos-test-%d", getpid());
    mqd_t mq = mq_open(name, O_RDWR | O_CREAT, 0600, &ma); mq_unlink(name);
    if (mq != (mqd_t)-1) {
        start(); ts = at(now(CLOCK_REALTIME) + 10); r = mq_timedreceive(mq, buf, 8, 0, &ts);
        end("mq", 10, r == -1 && errno == ETIMEDOUT);
    }
    sigset_t ss; sigemptyset(&ss); sigaddset(&ss, SIGUSR1); sigprocmask(SIG_BLOCK, &ss, 0);
    start(); ts = at(10); r = sigtimedwait(&ss, 0, &ts);
    end("sigtimedwait", 10, r == -1 && errno == EAGAIN);
    int so[2]; socketpair(AF_UNIX, SOCK_DGRAM, 0, so); write(so[1], "x", 1);
    struct iovec io = {buf, 8};
    struct mmsghdr mm[2] = {{.msg_hdr = {.msg_iov = &io, .msg_iovlen = 1}}};
    ts = at(1000); r = recvmmsg(so[0], mm, 1, 0, &ts); near("recvmmsg", r, 1, 1);
    near("recvmmsg left", ts.tv_sec, 600, 1000);
    aio_context_t ctx = 0; syscall(SYS_io_setup, 4, &ctx); struct io_event ie;
    start(); ts = at(10); r = syscall(SYS_io_getevents, ctx, 1, 1, &ie, &ts);
    end("io_getevents", 10, r == 0);
    /* readings */
    /* Each reading between two of the other clock: a busy machine may wait anywhere. */
    struct tms tms; double m1 = now(CLOCK_MONOTONIC), a = times(&tms), m2 = now(CLOCK_MONOTONIC); sleep(10);
    double m3 = now(CLOCK_MONOTONIC), b = times(&tms), m4 = now(CLOCK_MONOTONIC);
    near("times", (b - a) / 100, m3 - m2 - 2, m4 - m1 + 2);
    struct sysinfo si; sysinfo(&si); near("sysinfo", si.uptime - now(CLOCK_BOOTTIME), -100, 2);
    struct timex tx = {0}; r = clock_adjtime(CLOCK_REALTIME, &tx);
    near("adjtime", tx.time.tv_sec - now(CLOCK_REALTIME), -100, 2);
    tx.modes = ADJ_FREQUENCY; r = adjtimex(&tx);
    near("adjtime refused", r == -1 && errno == EPERM, 1, 1);
    /* stop and continue while sleeping */
    pid_t child = fork();
    if (!child) { ts = at(100); r = nanosleep(&ts, 0); _exit(r == 0 ? 0 : 1); }
    start(); ts = at(20); nanosleep(&ts, 0); kill(child, SIGSTOP); ts = at(20);
    nanosleep(&ts, 0); kill(child, SIGCONT); int st; waitpid(child, &st, 0);
    end("stopped", 100, WIFEXITED(st) && WEXITSTATUS(st) == 0);
    ts.tv_sec = 0; ts.tv_nsec = 1000000000; r = nanosleep(&ts, 0);
    near("invalid", r == -1 && errno == EINVAL, 1, 1);
    r = syscall(SYS_nanosleep, 8, 0); near("bad address", r == -1 && errno == EFAULT, 1, 1);
    puts("done");
    return 0;
}
